"""Whoever is killed at whatever step of a write: it is done once or not at all."""

from pathlib import Path

import httpx
import pytest

from tests.torture.failpoints import Client, kill_at
from tests.torture.launcher import STEPS
from tests.torture.scene import VICTIMS, Scene


@pytest.mark.slow
def test_66_kills_at_each_step_of_a_write_leave_nothing_half_done(tmp_path: Path) -> None:
    rounds = 2
    with Scene(tmp_path / "scene", seed=2, rewrite_store_log="false") as scene:
        client = Client(scene)
        came = {
            (round_, step, victim): kill_at(
                scene, step, victim, client, f"{round_}-{list(STEPS).index(step)}-{victim}"
            )
            for round_ in range(rounds)
            for step in STEPS
            for victim in VICTIMS
        }

        assert scene.judge("default", [client]) == []
        assert all(came.values()), [at for at, did in came.items() if not did]
        assert len(came) == 66
        assert scene.answers_as_one_that_starts_anew()
        assert httpx.get(f"{scene.services[0].url}/health/ready").status_code == 200
