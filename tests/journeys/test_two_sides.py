"""A comparator of two encoders through HTTP: names find drawings, and drawings find names."""

import pytest

from tests.bundles import make_bundle
from tests.drawings import as_json, draw, part
from tests.services import Service
from tests.two_sided_bundles import make_two_sided_bundle, name_of

ENROLLED, OUTSIDE = range(30), range(100, 200)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    make_two_sided_bundle(root)
    make_bundle(root, "tiny", cohort=400, dimension=32)
    service = Service(tmp_path_factory.mktemp("two") / "var", root).start().wait_ready()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def drawings(client):
    """A gallery of drawings."""
    created = client.post("/galleries", json={"name": "drawings", "comparator": "signs"})
    assert created.status_code == 201
    for sign in ENROLLED:
        enroll(client, "drawings", sign, [as_json(draw(sign, take)) for take in (0, 1)])
    return created.json()


@pytest.fixture(scope="module")
def names(client):
    """A gallery of names."""
    asked = {"name": "names", "comparator": "signs", "references": "a"}
    created = client.post("/galleries", json=asked)
    assert created.status_code == 201
    for sign in ENROLLED:
        enroll(client, "names", sign, [{"text": name_of(sign)}])
    return created.json()


def enroll(client, gallery, sign, files):
    body = {"gallery": gallery, "identity": f"id-{sign}", "files": files}
    answer = client.post("/enroll", json=body)
    assert answer.status_code == 201, answer.text


def identify(client, gallery, files, **asked):
    answer = client.post("/identify", json={"gallery": gallery, "files": files} | asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_names_find_drawings(client, drawings):
    results = identify(client, "drawings", [{"text": name_of(sign)} for sign in ENROLLED])

    assert drawings["references"] == "b"
    assert drawings["modalities"] == {"references": "image", "probes": "text"}
    assert [r["identity"] for r in results] == [f"id-{sign}" for sign in ENROLLED]


def test_drawings_find_names(client, names):
    results = identify(client, "names", [as_json(draw(sign, 3)) for sign in ENROLLED])

    assert names["references"] == "a"
    assert names["modalities"] == {"references": "text", "probes": "image"}
    assert client.get("/galleries/names").json()["probes"] == "b"
    assert [r["identity"] for r in results] == [f"id-{sign}" for sign in ENROLLED]


def test_a_file_is_what_its_side_takes(client, drawings):
    answer = client.post(
        "/identify",
        data={"gallery": "drawings"},
        files=[("files", ("name.txt", name_of(4).encode(), "text/plain"))],
    )

    assert answer.json()["results"][0]["identity"] == "id-4"


@pytest.mark.parametrize(
    ("gallery", "path", "sample", "side", "takes"),
    [
        ("drawings", "/enroll", {"text": "sign1"}, "b", "image"),
        ("names", "/identify", {"text": "sign1"}, "b", "image"),
    ],
)
def test_a_text_on_the_side_of_drawings_is_refused(
    client, drawings, names, gallery, path, sample, side, takes
):
    body = {"gallery": gallery, "files": [sample]}
    body |= {"identity": "wrong"} if path == "/enroll" else {}
    answer = client.post(path, json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("#model-mismatch")
    assert answer.json()["detail"] == f"side {side} of signs@1 compares {takes}, got text"


@pytest.mark.parametrize(("gallery", "path"), [("names", "/enroll"), ("drawings", "/identify")])
def test_a_drawing_on_the_side_of_names_is_refused(client, drawings, names, gallery, path):
    data = {"gallery": gallery} | ({"identity": "wrong"} if path == "/enroll" else {})
    answer = client.post(path, data=data, files=[part(draw(1))])

    assert answer.status_code == 422
    assert answer.json()["detail"] == "expected text in UTF-8"


def test_verify_takes_a_name_and_then_a_drawing(client):
    name, drawing = {"text": name_of(5)}, as_json(draw(5, 2))

    right = client.post("/verify", json={"comparator": "signs", "a": name, "b": drawing})
    wrong = client.post("/verify", json={"comparator": "signs", "a": drawing, "b": name})

    assert right.json()["match"]
    assert wrong.status_code == 422


@pytest.mark.parametrize("gallery", ["drawings", "names"])
def test_each_direction_keeps_its_promise_by_its_own_strangers(client, drawings, names, gallery):
    of_text = gallery == "drawings"
    probes = [{"text": name_of(sign)} if of_text else as_json(draw(sign, 5)) for sign in OUTSIDE]

    results = identify(client, gallery, probes, target_fpir=0.1)

    assert client.get(f"/galleries/{gallery}").json()["cohort_identities"] == 100
    named = [r["index"] for r in results if r["outcome"] == "match"]
    assert 0 < len(named) <= 22  # of 100, asked 10 %; 99.9 % of the time


def test_the_two_directions_have_thresholds_of_their_own(client, drawings, names):
    (by_name,) = identify(client, "drawings", [{"text": name_of(150)}])
    (by_drawing,) = identify(client, "names", [as_json(draw(150, 5))])

    assert by_name["threshold"] != by_drawing["threshold"]
    assert by_name["expected_fnir"] is not None
    assert by_drawing["expected_fnir_reason"] == "no-calibration"


def test_a_gallery_of_one_side_is_not_tried_against_itself(client, drawings):
    (result,) = identify(client, "drawings", [{"text": name_of(1)}])
    health = client.get("/galleries/drawings/health?few=3").json()

    assert result["evidence"]["own_trials"] == 0
    assert result["evidence"]["kinship"] == 0
    assert "compares across two encoders" in health["reason"]
    lists = ("mislabelled", "duplicates", "goats", "hubs", "wrong_names")
    assert [health[name] for name in lists] == [None] * 5
    assert health["judged_identities"] == 0
    assert len(health["few_samples"]) == 30


def test_strangers_of_a_gallery_are_of_the_side_of_its_probes(client, drawings):
    signs = range(60, 90)
    drawn = client.post("/galleries", json={"name": "own", "comparator": "signs"})
    assert drawn.status_code == 201
    enroll(client, "own", 1, [as_json(draw(1))])

    refused = client.post("/galleries/own/cohort", files=[part(draw(sign)) for sign in signs])
    taken = client.post(
        "/galleries/own/cohort", json={"files": [{"text": name_of(sign)} for sign in signs]}
    )

    assert refused.status_code == 422
    assert taken.json()["cohort_identities"] == 30


def test_samples_of_each_side_are_clustered_by_that_sides_cut(client, drawings):
    takes = [as_json(draw(sign, take)) for sign in (1, 2) for take in (0, 1, 2)]

    drawn = client.post("/cluster", json={"comparator": "signs", "side": "b", "files": takes})
    named = client.post(
        "/cluster", json={"comparator": "signs", "files": [{"text": "sign1"}, {"text": "sign2"}]}
    )
    enrolled = client.post("/cluster", json={"gallery": "drawings"})

    assert drawn.json()["labels"] == [0, 0, 0, 1, 1, 1]
    assert [each.json()["threshold"] for each in (drawn, named, enrolled)] == [0.6, 0.99, 0.6]
    assert len(enrolled.json()["clusters"]) == 30


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"target_fmr": 0.01, "files": [{"text": "sign1"}], "comparator": "signs"}, "target_fmr"),
        ({"gallery": "drawings", "side": "a"}, "side"),
        ({"comparator": "signs", "files": [{"text": "sign1"}], "side": "c"}, "side"),
    ],
)
def test_a_cluster_across_or_of_no_side_is_refused(client, drawings, asked, where):
    answer = client.post("/cluster", json=asked)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(where)


def test_an_unknown_side_of_references_is_refused(client):
    answer = client.post("/galleries", json={"name": "none", "references": "c"})

    assert answer.status_code == 422


def test_a_siamese_comparator_is_asked_from_either_side(client):
    asked = {"name": "either", "comparator": "tiny", "references": "a"}
    assert client.post("/galleries", json=asked).status_code == 201
    enroll(client, "either", 1, [as_json(draw(1))])

    (result,) = identify(client, "either", [as_json(draw(1, 1))])

    assert result["candidates"][0]["identity"] == "id-1"


def test_the_side_of_references_outlives_a_restart(service, names):
    service.stop()
    service.start().wait_ready()

    with service.client() as client:
        (result,) = identify(client, "names", [as_json(draw(3, 3))])

    assert result["identity"] == "id-3"


def test_the_default_comparator_has_one_encoder(service):
    with service.client() as client:
        assert client.get("/galleries/default").json()["comparator"] == "tiny@1"
