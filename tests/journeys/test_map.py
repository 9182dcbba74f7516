"""A gallery as a map: at once, then better, always the same for the same gallery."""

import time
from pathlib import Path

import numpy as np
import pytest

from kindred import Client
from tests.bundles import make_bundle
from tests.drawings import draw, part
from tests.keys import bearing, entry, write
from tests.refusals import assert_refused
from tests.services import Service
from tests.two_sided_bundles import make_two_sided_bundle

DIMENSION = 32
PER_SAMPLE = ("identities", "x", "y", "clusters", "outcomes")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    make_bundle(root, cohort=400, dimension=DIMENSION)
    return root


@pytest.fixture(scope="module")
def served(tmp_path_factory, bundles):
    service = Service(tmp_path_factory.mktemp("map") / "var", bundles, map_samples=3000)
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


@pytest.fixture(scope="module")
def client(served):
    with served.client() as client:
        yield client


def enroll(client, gallery, identity, drawings):
    files = [part(draw(*each)) for each in drawings]
    fields = {"gallery": gallery, "identity": identity}
    answer = client.post("/enroll", data=fields, files=files)
    assert answer.status_code == 201, answer.text
    return [sample["id"] for sample in answer.json()["samples"]]


def scraped(client):
    """Return the value of each series, as it is written."""
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


@pytest.fixture
def drawn(client, request):
    """A gallery of twelve, one of them under two names, and one with a stray sample."""
    name = f"drawn-{abs(hash(request.node.nodeid)) % 10**8}"
    assert client.post("/galleries", json={"name": name}).status_code == 201
    for i in range(12):
        enroll(client, name, f"c{i}", [(i, take) for take in (1, 2, 3)])
    enroll(client, name, "d3", [(3, 4), (3, 5)])
    enroll(client, name, "lone", [(50, 1)])
    yield name
    client.delete(f"/galleries/{name}")


def done(client, gallery, **asked):
    """Ask until the map stays as it is."""
    until = time.monotonic() + 120
    while (answer := client.get(f"/galleries/{gallery}/map", params=asked)).json()["progress"] < 1:
        assert time.monotonic() < until
        time.sleep(0.1)
    return answer


def test_a_map_is_there_at_once_and_its_layout_follows(client, drawn):
    first = client.get(f"/galleries/{drawn}/map").json()
    found = done(client, drawn).json()

    assert first["layout"] == "pca"
    assert first["progress"] < 1
    assert len(first["x"]) == len(first["samples"]) == 39
    assert found["layout"] == "tsne"
    assert found["reason"] is None
    assert (found["enrolled_samples"], found["enrolled_identities"]) == (39, 14)
    assert found["samples"] == first["samples"]
    for column in PER_SAMPLE:
        assert len(found[column]) == 39
    assert found["x"] != first["x"]
    assert max(map(abs, found["x"] + found["y"])) == 1
    told = scraped(client)
    assert told['kindred_layouts_total{outcome="done"}'] >= 1
    count = told["kindred_layout_duration_seconds_count"]
    assert count == told['kindred_layouts_total{outcome="done"}']
    assert told["kindred_layout_duration_seconds_sum"] > 0
    assert told["kindred_maps_in_progress"] == 0


def test_doubles_and_strays_stand_out(client, drawn):
    found = done(client, drawn).json()

    outcomes = dict(zip(found["samples"], found["outcomes"], strict=True))
    whose = dict(zip(found["samples"], found["identities"], strict=True))
    odd = {whose[sample] for sample, outcome in outcomes.items() if outcome != "own"}
    assert {whose[s] for s, outcome in outcomes.items() if outcome == "alone"} == {"lone"}
    assert odd <= {"c3", "d3", "lone"}
    assert found["linked"] == len(found["links"]) > 0
    for i, j, score in found["links"]:
        assert {found["identities"][i], found["identities"][j]} == {"c3", "d3"}
        assert score >= found["threshold"]
    clusters = dict(zip(found["identities"], found["clusters"], strict=True))
    assert clusters["c3"] == clusters["d3"] != clusters["c4"]


def test_an_outcome_is_what_identifying_the_sample_says_once_it_is_forgotten(client, drawn):
    [stray] = enroll(client, drawn, "c7", [(8, 9)])
    found = done(client, drawn).json()
    assert found["outcomes"][found["samples"].index(stray)] == "another"

    client.delete(f"/galleries/{drawn}/identities/c7/samples/{stray}")
    files = [part(draw(8, 9))]
    [result] = client.post("/identify", data={"gallery": drawn}, files=files).json()["results"]

    assert result["identity"] == "c8"


def test_an_edit_moves_nothing_and_what_is_forgotten_is_gone(client, drawn):
    before = done(client, drawn).json()
    moved = before["samples"][before["identities"].index("d3")]
    fields = {"identity": "d3", "samples": [moved], "into": "c3"}
    assert client.post(f"/galleries/{drawn}/split", json=fields).status_code == 200

    at_once = client.get(f"/galleries/{drawn}/map").json()
    after = done(client, drawn).json()

    assert at_once["layout"] == "tsne"
    for found in (at_once, after):
        assert found["version"] > before["version"]
        assert (found["x"], found["y"]) == (before["x"], before["y"])
        assert found["identities"][found["samples"].index(moved)] == "c3"

    client.delete(f"/galleries/{drawn}/identities/c3/samples/{moved}")
    found = client.get(f"/galleries/{drawn}/map").json()
    assert moved not in found["samples"]
    assert found["layout"] == "pca"


@pytest.mark.slow
def test_the_same_gallery_has_the_same_map_after_a_restart(tmp_path, bundles):
    contents = []
    for _ in range(2):
        service = Service(tmp_path / "var", bundles).start().wait_ready()
        try:
            with service.client() as client:
                for i in range(5):
                    enroll(client, "default", f"c{i}", [(i, take) for take in (1, 2, 3)])
                contents.append(done(client, "default").content)
        finally:
            assert service.stop() == 0

    assert contents[0] == contents[1]


def test_at_most_twenty_samples_of_an_identity_and_as_many_as_asked_are_shown(client, served):
    client.post("/galleries", json={"name": "many"})
    with Client(served.url) as ours:
        rows = rows_around(3, 30)
        names = [f"m{i // 30}" for i in range(90)]
        assert len([*ours.enroll_many(zip(names, rows, strict=True), gallery="many")]) == 90

        all_shown = ours.map_gallery("many")
        ten = ours.map_gallery("many", limit=10)

    assert (len(all_shown.samples), all_shown.enrolled_samples) == (60, 90)
    assert {len(ten.samples), len(ten.x)} == {10}
    assert set(ten.identities) == {"m0", "m1", "m2"}
    assert all_shown.progress < 1
    assert all_shown.links is None or all(len(link) == 3 for link in all_shown.links)


def rows_around(identities, each, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.normal(size=(identities, DIMENSION)), each, axis=0)
    rows += 0.3 * rng.normal(size=rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_of_two_encoders_nothing_is_said_that_would_compare_references(tmp_path):
    make_two_sided_bundle(tmp_path / "bundles")
    service = Service(tmp_path / "var", tmp_path / "bundles").start().wait_ready()
    try:
        with service.client() as client:
            for i in range(12):
                enroll(client, "default", f"c{i}", [(i, 1)])
            found = done(client, "default").json()
    finally:
        assert service.stop() == 0

    assert found["layout"] == "tsne"
    assert (found["outcomes"], found["links"], found["linked"]) == (None, None, None)


def test_few_samples_stay_on_the_principal_plane_and_nobody_has_no_map(client):
    client.post("/galleries", json={"name": "few"})

    empty = done(client, "few").json()
    enroll(client, "few", "a", [(1, 1), (1, 2)])
    few = done(client, "few").json()

    assert (empty["samples"], empty["threshold"]) == ([], None)
    assert few["layout"] == "pca"
    assert "fewer than 12" in few["reason"]
    assert few["outcomes"] == ["own", "own"]
    assert few["clusters"] is None


@pytest.mark.parametrize("limit", ["0", "-1", "3001", "ten", "1e3", ""])
def test_a_limit_is_a_number_within_what_is_allowed(client, limit):
    assert_refused(
        client.get("/galleries/default/map", params={"limit": limit}), 422, "invalid-parameter"
    )


def test_what_is_not_there_is_not_found_and_nothing_is_written(client):
    assert_refused(client.get("/galleries/nobody/map"), 404, "not-found")
    assert_refused(client.post("/galleries/default/map"), 405, "method-not-allowed")


def test_a_map_takes_a_key_that_may_see_scores(tmp_path, bundles):
    keys = write(tmp_path / "keys.toml", entry("reader", "read"), entry("decider", "decide"))
    service = Service(tmp_path / "var", bundles, keys_file=keys).start().wait_ready()
    try:
        with service.client() as client:
            assert client.get("/galleries/default/map").status_code == 401
            url = "/galleries/default/map"
            assert client.get(url, headers=bearing("reader")).status_code == 200
            assert_refused(client.get(url, headers=bearing("decider")), 403, "forbidden")
    finally:
        assert service.stop() == 0


def test_a_layout_that_fails_is_told_and_the_rest_is_there(tmp_path, bundles):
    service = Service(tmp_path / "var", bundles, map_seconds=0.05).start().wait_ready()
    try:
        with service.client() as client:
            for i in range(5):
                enroll(client, "default", f"c{i}", [(i, take) for take in (1, 2, 3)])
            found = done(client, "default").json()
            told = scraped(client)
    finally:
        assert service.stop() == 0

    assert told['kindred_layouts_total{outcome="late"}'] == 1
    assert told["kindred_layout_duration_seconds_count"] == 0
    assert found["layout"] == "pca"
    assert found["reason"] == "it took more than 0.05 seconds"
    assert len(found["outcomes"]) == 15


def layouts(service):
    """Processes of a service that lay out maps."""
    parent = service.process.pid
    pids = [
        pid
        for thread in Path(f"/proc/{parent}/task").iterdir()
        for pid in (thread / "children").read_text().split()
    ]
    return [pid for pid in pids if b"evaluation.layout" in _command(pid)]


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def wait_until(holds):
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_gallery_that_is_deleted_leaves_no_work_behind(client, served):
    client.post("/galleries", json={"name": "gone"})
    with Client(served.url) as ours:
        names = [f"g{i // 10}" for i in range(3000)]
        rows = rows_around(300, 10)
        assert len([*ours.enroll_many(zip(names, rows, strict=True), gallery="gone")]) == 3000
    client.get("/galleries/gone/map")
    wait_until(lambda: layouts(served))

    assert client.get("/galleries/gone/map").json()["progress"] < 1
    before = scraped(client)
    assert before["kindred_maps_in_progress"] == 1
    client.delete("/galleries/gone")

    wait_until(lambda: not layouts(served))
    wait_until(lambda: scraped(client)["kindred_maps_in_progress"] == 0)
    abandoned = 'kindred_layouts_total{outcome="abandoned"}'
    assert scraped(client)[abandoned] == before[abandoned] + 1
    assert_refused(client.get("/galleries/gone/map"), 404, "not-found")
