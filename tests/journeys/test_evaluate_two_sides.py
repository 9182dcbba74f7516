"""Evaluate a comparator of two encoders through HTTP: names and drawings under the same labels."""

import io
import zipfile

import httpx
import pytest

from tests.bundles import make_bundle
from tests.drawings import as_json, draw
from tests.services import Service
from tests.two_sided_bundles import make_two_sided_bundle, name_of

WAIT = 900  # seconds that an evaluation may take on a machine that others keep busy
SIGNS, TAKES = range(40), range(2)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    make_two_sided_bundle(root)
    make_bundle(root, "tiny", cohort=40)
    data = tmp_path_factory.mktemp("sides") / "var"
    service = Service(data, root, evaluation_deadline=WAIT).start().wait_ready()
    yield service
    assert service.stop() == 0, service.log.read_text()


@pytest.fixture(scope="module")
def client(service):
    with httpx.Client(base_url=service.url, timeout=WAIT) as client:
        yield client


def labelled():
    """Return the samples of each sign, a name and then drawings, with identity and side."""
    for sign in SIGNS:
        yield {"text": name_of(sign)}, f"id-{sign}", "a"
        for take in TAKES:
            yield as_json(draw(sign, take)), f"id-{sign}", "b"


def sent(**fields):
    files, identities, sides = zip(*labelled(), strict=True)
    lists = {"files": files, "identities": identities, "sides": sides}
    return {"json": {"comparator": "signs"} | lists | fields}


def packed(around=""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{around}LICENCE", "mine")
        archive.writestr(f"{around}a/about.txt", "names")
        for sign in SIGNS:
            archive.writestr(f"{around}a/id-{sign}/name.txt", name_of(sign))
            for take in TAKES:
                archive.writestr(f"{around}b/id-{sign}/{take}.png", draw(sign, take))
    return buffer.getvalue()


def evaluate(client, **sent):
    answer = client.post("/evaluate", **sent)
    assert answer.status_code == 200, answer.text[:2000]
    return answer.json()


@pytest.fixture(scope="module")
def answer(client):
    return evaluate(client, **sent(html=True))


@pytest.mark.slow
def test_names_are_compared_with_drawings_and_each_side_asks_the_other(answer):
    report = answer["report"]

    assert (answer["samples"], answer["identities"], answer["failures"]) == (120, 40, [])
    assert report["about"]["sides"] == {"samples": [40, 80], "identities": [40, 40], "on_both": 40}
    assert (report["pairs"]["genuine"], report["pairs"]["impostor"]) == (80, 40 * 39 * 2)
    assert report["pairs"]["auc"]["value"] > 0.9
    assert report["pairs"]["reliability"]
    found = {(r["probes"], r["references"], r["rank"]) for r in report["retrieval"]["rows"]}
    assert {(probes, "one of each", rank) for probes in "ab" for rank in (1, 5, 10)} <= found
    served = {
        row["probes"]
        for row in report["open_set"]["rows"]
        if (row["decision"], row["strangers"]) == ("served", "as-served")
    }
    assert served == {"a", "b"}


@pytest.mark.slow
def test_what_is_not_told_of_two_encoders_has_a_reason_in_the_report_and_on_the_page(answer):
    report = answer["report"]

    assert report["posterior"]["rows"] == []
    assert len(report["posterior"]["too_few"]) == 2
    for reason in report["absent"].values():
        assert reason in answer["html"]


@pytest.mark.slow
def test_a_mistake_shows_the_drawing_beside_the_name(answer):
    each = answer["report"]["confusions"]["impostor"][0]

    assert each["pictures"][0] is None
    assert each["pictures"][1].startswith("data:image/png;base64,")


@pytest.mark.slow
@pytest.mark.parametrize("around", ["", "my signs/"])
def test_a_zip_of_both_sides_says_what_its_samples_say(client, answer, around):
    found = evaluate(client, data={"comparator": "signs"}, files={"archive": packed(around)})

    assert found["report"]["pairs"] == answer["report"]["pairs"]
    assert found["report"]["about"]["groups"] is None
    assert found["report"]["confusions"]["impostor"][0]["names"][0].startswith("a/id-")


@pytest.mark.slow
def test_embeddings_of_both_sides_say_what_their_samples_say(client, answer):
    files = []
    for side in "ab":
        some = [one for one, _, of in labelled() if of == side]
        body = {"comparator": "signs", "side": side, "files": some}
        rows = client.post("/embed", json=body).json()["embeddings"]
        files += [{"embedding": row} for row in rows]
    whose = [[who for _, who, of in labelled() if of == side] for side in "ab"]

    found = evaluate(
        client,
        **sent(files=files, identities=[*whose[0], *whose[1]], sides=["a"] * 40 + ["b"] * 80),
    )

    assert found["report"]["pairs"] == answer["report"]["pairs"]


@pytest.mark.slow
def test_what_a_gallery_has_enrolled_is_told_of_the_side_of_its_references(client):
    client.post("/galleries", json={"name": "drawn", "comparator": "signs"})
    body = {"gallery": "drawn", "identity": "Ada", "files": [as_json(draw(3, 0))]}
    assert client.post("/enroll", json=body).status_code == 201

    found = evaluate(client, **sent(gallery="drawn"))

    (seen,) = found["seen"]
    assert (seen["index"], seen["identity"], seen["enrolled_as"]) == (10, "id-3", "Ada")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sides": None}, "sides: expected a or b for each file"),
        ({"sides": ["a"]}, "sides: expected one for each of 120 files, got 1"),
        ({"sides": ["c"] * 120}, "sides"),
        ({"comparator": "tiny"}, "sides: expected none of a comparator of one encoder"),
        ({"identities": None}, "sides: expected identities beside them"),
    ],
)
def test_sides_that_cannot_be_told_are_refused_with_the_reason(client, fields, told):
    refused = client.post("/evaluate", **sent(**fields))

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(told)


def test_folders_without_sides_are_refused_with_the_reason(client):
    files = [
        ("files", (f"{who}/{i}.txt", name_of(i).encode(), "text/plain"))
        for i, who in enumerate(("ada", "bob"))
    ]

    refused = client.post("/evaluate", data={"comparator": "signs"}, files=files)

    assert refused.status_code == 422
    assert "expected a folder `a` and a folder `b`" in refused.json()["detail"]


def test_one_side_alone_is_refused_with_the_reason(client):
    body = {"comparator": "signs", "identities": ["x", "y"], "sides": ["a", "a"]}
    files = [{"text": name_of(1)}, {"text": name_of(2)}]

    refused = client.post("/evaluate", json=body | {"files": files})

    assert refused.status_code == 422
    assert refused.json()["detail"] == "expected samples of both sides, got none of side b"


def test_two_encoders_are_not_applied_to_a_gallery(client):
    client.post("/galleries", json={"name": "asked", "comparator": "signs"})

    refused = client.post("/evaluate", **sent(gallery="asked", apply=True))

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("apply: expected a comparator of one encoder")
