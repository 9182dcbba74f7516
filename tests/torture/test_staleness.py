"""How old an answer may be, and how a client and an operator are told; the store is a real one."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.torture.audit import draw_samples
from tests.torture.scene import DIMENSION, Scene

pytestmark = pytest.mark.slow

BOUND = 3  # seconds
SERIES = re.compile(
    r'^kindred_replica_staleness_seconds\{gallery="default"\} (\S+)$', re.MULTILINE
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path / "scene", seed=8, store_timeout=30, max_staleness=BOUND) as scene:
        yield scene


def identify(scene: Scene) -> httpx.Response:
    [probe] = draw_samples(np.random.default_rng(0), 1, DIMENSION)
    body: dict[str, Any] = {"files": [{"embedding": probe.values.tolist()}]}
    return httpx.post(f"{scene.services[0].url}/identify", json=body, timeout=60)


def staleness(scene: Scene) -> float:
    """What the service's metrics say; not a number before they say it."""
    said = httpx.get(f"{scene.services[0].url}/metrics", timeout=60).text
    return float((*SERIES.findall(said), "nan")[0])


def test_answers_tell_how_old_they_are_and_end_at_a_bound_until_the_store_is_back(
    scene: Scene,
) -> None:
    """All in one outage: waiting for it is what takes the time."""
    url = scene.services[0].url
    scene.wait_until(lambda: 0 < staleness(scene) < BOUND)
    stopped = time.monotonic()
    scene.store.stop()

    scene.wait_until(lambda: not scene.services[0].is_ready())
    noticed = time.monotonic() - stopped
    scene.wait_until(lambda: identify(scene).status_code == 503)
    refused, outage = identify(scene), time.monotonic() - stopped
    scene.wait_until(lambda: staleness(scene) > BOUND)
    told, since = staleness(scene), time.monotonic() - stopped
    curve = httpx.get(f"{url}/galleries/default/operating-curve", timeout=60)
    clusters = httpx.post(f"{url}/cluster", json={"gallery": "default"}, timeout=60)
    pair = draw_samples(np.random.default_rng(1), 2, DIMENSION)
    sides = {side: {"embedding": p.values.tolist()} for side, p in zip("ab", pair, strict=True)}
    verified = httpx.post(f"{url}/verify", json=sides, timeout=60)
    scene.store.cont()
    scene.services[0].wait_ready()

    assert noticed < 20  # 3 s of a quiet machine; a write may take 30
    assert outage > BOUND - 1
    assert told < since + 1
    for answer in (refused, curve, clusters):
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("#replica-behind")
        assert f"answers for {BOUND} s" in answer.json()["detail"]
    assert verified.status_code == 200
    assert identify(scene).status_code == 200
    scene.wait_until(lambda: staleness(scene) < BOUND)


def test_the_age_of_an_answer_grows_while_the_store_is_away(scene: Scene) -> None:
    ages = [int(identify(scene).headers["x-staleness"])]
    scene.store.stop()
    begun = time.monotonic()
    while (answer := identify(scene)).status_code == 200:
        ages.append(int(answer.headers["x-staleness"]))
        time.sleep(0.2)
    outage = time.monotonic() - begun
    scene.store.cont()

    assert ages == sorted(ages)
    assert ages[-1] >= ages[0] + 1
    assert max(ages) <= min(BOUND, outage + 1)
