"""Series that tell whether answers are as right as they were promised to be."""

import json
import time

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.drawings import as_json, draw, part
from tests.services import Service

pytestmark = pytest.mark.slow

PATIENCE = 60  # seconds


def shown(client: httpx.Client) -> dict[tuple[str, str], float]:
    """Each sample of `/metrics` by its name and its gallery or comparator, if it has one."""
    return {
        (sample.name, sample.labels.get("gallery") or sample.labels.get("comparator") or ""): (
            sample.value
        )
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if not {"le", "outcome", "route", "verdict"} & sample.labels.keys()
    }


def wait_for(client: httpx.Client, holds) -> dict[tuple[str, str], float]:
    """Return the series once something holds of them."""
    deadline = time.monotonic() + PATIENCE
    while not holds(found := shown(client)):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def enroll(client: httpx.Client, characters: range, gallery: str = "default") -> None:
    lines = [
        json.dumps({"identity": f"glyph-{c}", **as_json(draw(c, take))})
        for c in characters
        for take in (1, 2)
    ]
    answer = client.post("/enroll/bulk", params={"gallery": gallery}, content="\n".join(lines))
    assert answer.status_code == 200
    assert "problem" not in answer.text


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("accuracy") / "var"


@pytest.fixture(scope="module")
def client(data_dir, bundles):
    """A service that replays its canaries all the time, against four galleries."""
    names = "default,held,wrong,judged"
    service = Service(data_dir, bundles, canary_interval=0.5, metrics_galleries=names)
    with service.start().wait_ready().client() as client:
        for name in ("held", "wrong", "judged"):
            client.post("/galleries", json={"name": name}).raise_for_status()
        yield client
    assert service.stop() == 0, service.log.read_text()


def test_known_strangers_are_replayed_and_are_no_traffic(client):
    assert ("kindred_canary_fpir_ratio", "held") not in shown(client)

    enroll(client, range(30), "held")
    found = wait_for(client, lambda series: ("kindred_canary_fpir_ratio", "held") in series)

    target = found["kindred_gallery_target_fpir_ratio", "held"]
    assert 0 <= found["kindred_canary_fpir_ratio", "held"] <= 2 * target
    assert found["kindred_score_drift_window_samples", "tiny@1"] == 0
    assert found["kindred_identify_score_count", "tiny@1"] == 0
    assert found["kindred_canary_wrong_total", "tiny@1"] == 0
    lines = client.get("/metrics").text.splitlines()
    identified = [line for line in lines if line.startswith("kindred_identify_results_total")]
    assert {line.rpartition(" ")[2] for line in identified} == {"0.0"}


def test_a_promise_that_rests_on_the_wrong_strangers_is_seen_not_to_be_held(client):
    """Own strangers whom nobody resembles: others reach any threshold drawn from them."""
    enroll(client, range(30), "wrong")
    files = [part(draw(character)) for character in range(30)]
    known = np.array(client.post("/embed", files=files).json()["embeddings"])
    away = -known.mean(axis=0) + np.random.default_rng(0).normal(size=(59, 32)) / 100
    away /= np.linalg.norm(away, axis=1, keepdims=True)

    answer = client.post(
        "/galleries/wrong/cohort", json={"files": [{"embedding": row.tolist()} for row in away]}
    )

    assert answer.status_code == 201, answer.text
    wait_for(
        client,
        lambda series: (
            series.get(("kindred_canary_fpir_ratio", "wrong"), 0)
            > 2 * series.get(("kindred_gallery_target_fpir_ratio", "wrong"), 1)
        ),
    )


def test_an_erasure_is_pending_until_no_file_holds_it(client):
    enroll(client, range(3))

    client.delete("/galleries/default/identities/glyph-1").raise_for_status()

    wait_for(client, lambda series: series["kindred_erasure_oldest_pending_seconds", ""])
    wait_for(client, lambda series: not series["kindred_erasure_oldest_pending_seconds", ""])


def test_what_the_enrolled_are_expected_to_miss_is_shown_once_it_is_known(client):
    enroll(client, range(3), "judged")
    few = wait_for(client, lambda series: series["kindred_gallery_identities", "judged"] == 3)
    enroll(client, range(60), "judged")
    many = wait_for(
        client, lambda series: ("kindred_gallery_expected_fnir_ratio", "judged") in series
    )
    curve = client.get("/galleries/judged/operating-curve").json()

    assert ("kindred_gallery_expected_fnir_ratio", "judged") not in few
    [point] = [each for each in curve["points"] if each["target_fpir"] == curve["target_fpir"]]
    assert many["kindred_gallery_expected_fnir_ratio", "judged"] == point["expected_fnir"]


def test_the_age_of_a_calibration_outlives_the_service(start_service):
    name = ("kindred_gallery_calibration_timestamp_seconds", "default")
    service = start_service()
    with service.client() as client:
        of_bundle = wait_for(client, lambda series: name in series)[name]
        before = time.time()
        files = [part(draw(100 + stranger)) for stranger in range(30)]
        assert client.post("/galleries/default/cohort", files=files).status_code == 201
        own = wait_for(client, lambda series: series[name] != of_bundle)[name]
    assert service.stop() == 0

    with start_service().client() as client:
        after = wait_for(client, lambda series: name in series)[name]

    assert of_bundle == 1793491200  # 1 November 2026, as the bundle says
    assert before - 1 <= own <= time.time() + 1
    assert after == own
