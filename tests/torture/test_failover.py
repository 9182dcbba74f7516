"""Sentinel makes another server the primary while clients write."""

from pathlib import Path

import httpx
import pytest

from tests.torture import network
from tests.torture.failover import Failover


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_a_failover_loses_nothing_that_was_acknowledged(tmp_path: Path, how: str) -> None:
    with Failover(tmp_path / "scene", seed=3, services=2) as scene:
        scene.fail_over("g", how)

        assert scene.tally.violations == []
        enrolled = [o for o in scene.history.operations if o.acknowledged and o.kind == "enroll"]
        assert any(o.begun < scene.failed_over for o in enrolled)
        assert any(o.begun > scene.failed_over for o in enrolled)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 6])
def test_a_primary_that_is_parted_from_the_others_acknowledges_nothing_that_is_lost(
    tmp_path: Path, seed: int
) -> None:
    """It goes on meanwhile, with a service and clients on its side, as if it were the primary."""
    if reason := network.why_not():
        pytest.skip(reason)

    tally = network.partition(tmp_path / "scene", seed=seed)

    assert tally.violations == []
    assert tally.acknowledged > 0
    assert tally.unknown > 0  # what the parted primary took, and nobody else had


@pytest.mark.slow
def test_a_primary_without_its_replicas_acknowledges_nothing(tmp_path: Path) -> None:
    with Failover(tmp_path / "scene", seed=4) as scene:
        body = {"identity": "a", "files": [{"embedding": [1.0, *[0.0] * 7]}]}
        url = scene.services[0].url
        first = httpx.post(f"{url}/enroll", json=body)
        for replica in scene.servers[1:]:
            replica.stop()

        refused = httpx.post(f"{url}/enroll", json={**body, "identity": "b"}, timeout=30)

        assert first.status_code == 201
        assert refused.status_code == 503
        assert refused.json()["type"].endswith("#not-durable")
        assert refused.json()["outcome"] == "unknown"
