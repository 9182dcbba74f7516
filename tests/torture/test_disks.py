"""A full disk and a slow one, with kills in the middle: nothing acknowledged is lost."""

from pathlib import Path

import pytest

from tests.torture.disks import FSYNC, NoDisk, OnSmallDisk, kill_while_slow
from tests.torture.failpoints import STRACE
from tests.torture.scene import Scene

FULL, SLOW = 5, 5  # times; `python -m tests.torture full slow` has 50 of each


@pytest.mark.slow
def test_5_full_disks_and_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    try:
        scene = OnSmallDisk(tmp_path / "scene", seed=6, rewrite_store_log="false")
    except NoDisk as reason:
        pytest.skip(str(reason))
    with scene:
        for number in range(FULL):
            scene.fill_up(f"g{number}")
            scene.drop_gallery(f"g{number}")

    assert scene.tally.violations == []
    assert scene.tally.kills == {"store": FULL}
    assert scene.tally.acknowledged > 5 * FULL
    assert scene.tally.unknown > 0


@pytest.mark.slow
@pytest.mark.skipif(STRACE is None, reason="no strace on this machine")
def test_5_kills_in_the_middle_of_slow_fsyncs_lose_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    with Scene(tmp_path / "scene", seed=7, store_timeout=4 * FSYNC) as scene:
        kill_while_slow(scene, "g", SLOW)

        assert scene.tally.violations == []
        assert scene.tally.kills == {"store": SLOW}
        assert scene.tally.acknowledged > SLOW
        assert scene.tally.unknown > 0
