"""Service and store are killed while clients write; nothing that was acknowledged is lost."""

from pathlib import Path

import pytest

from tests.torture.clients import Mix
from tests.torture.kills import torment
from tests.torture.scene import Scene


@pytest.mark.slow
def test_40_kills_of_service_and_store_lose_nothing(tmp_path: Path) -> None:
    with Scene(tmp_path / "scene", seed=1) as scene:
        torment(scene, kills=40, kills_in_a_gallery=20, clients=4, mix=Mix(bulk=20, bulks=0.1))

        tally = scene.tally
        assert sum(tally.kills.values()) == 40
        assert tally.acknowledged > 100
        assert tally.forgotten > 10
        assert tally.retried > 0
        assert tally.violations == []
        assert scene.answers_as_one_that_starts_anew()


@pytest.mark.slow
def test_kills_in_the_middle_of_bulk_lose_nothing_of_it(tmp_path: Path) -> None:
    mix = Mix(bulk=600, bulks=0.97, forgets=0.01, finds=0.01)
    with Scene(tmp_path / "scene", seed=2) as scene:
        torment(scene, kills=6, kills_in_a_gallery=6, clients=2, mix=mix, pause=(0.1, 0.8))

        tally = scene.tally
        assert sum(tally.kills.values()) == 6
        assert tally.acknowledged > 600
        assert tally.retried > 0
        assert tally.violations == []
