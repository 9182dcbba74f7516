"""Parameters, names and vectors that break a rule: named, with the rule, and never quoted."""

import json
from urllib.parse import quote

import pytest

from tests.drawings import as_json, draw, part
from tests.refusals import CANARY, assert_refused, cheap

INVALID, DEGENERATE, NOT_FOUND = "invalid-parameter", "degenerate-input", "not-found"
MISMATCH, UNRESOLVABLE = "model-mismatch", "target-unresolvable"
UNIT = [1.0] + [0.0] * 31


def vector(*values):
    return json.dumps({"files": [{"embedding": list(values)}]})


FIELDS = {
    "P1 nan": ("/identify", {"threshold": "nan"}, 422, INVALID, "threshold"),
    "P1 inf": ("/identify", {"threshold": "inf"}, 422, INVALID, "threshold"),
    "P1 -inf": ("/identify", {"target_fpir": "-inf"}, 422, INVALID, "target_fpir"),
    "P1 verify": ("/cluster", {"target_fmr": "NaN"}, 422, INVALID, "target_fmr"),
    "P2 above": ("/identify", {"threshold": "1.01"}, 422, INVALID, "threshold"),
    "P2 below": ("/identify", {"threshold": "-1e-9"}, 422, INVALID, "threshold"),
    "P2 no rate": ("/identify", {"target_fpir": "0"}, 422, INVALID, "target_fpir"),
    "P2 next to no rate": ("/identify", {"target_fpir": "1e-320"}, 422, UNRESOLVABLE, "resolve"),
    "P3 0": ("/identify", {"k": "0"}, 422, INVALID, "k"),
    "P3 -1": ("/identify", {"k": "-1"}, 422, INVALID, "k"),
    "P3 10⁹": ("/identify", {"k": "1000000000"}, 422, INVALID, "k"),
    "P3 10⁹⁹⁹⁹": ("/identify", {"k": "9" * 9999}, 422, INVALID, "k"),
    "P3 1_0": ("/identify", {"k": "1_0"}, 422, INVALID, "k"),
    "P3 full width": ("/identify", {"k": "１２"}, 422, INVALID, "k"),
    "P3 words": ("/identify", {"top": CANARY}, 422, INVALID, "top"),
    "P10 gallery": ("/identify", {"gallery": CANARY + "/"}, 422, INVALID, "gallery"),
    "P10 braces": ("/identify", {"gallery": "{x}"}, 422, INVALID, "gallery"),
    "P10 dots": ("/identify", {"gallery": ".."}, 422, INVALID, "gallery"),
    "P10 10 KB": ("/identify", {"gallery": "x" * 10_000}, 422, INVALID, "gallery"),
    "P10 no name": ("/identify", {"gallery": ""}, 422, INVALID, "gallery"),
    "P10 newline": ("/identify", {"gallery": "x\n"}, 422, INVALID, "gallery"),
    "P12 no eps": ("/cluster", {"threshold": "nan"}, 422, INVALID, "threshold"),
    "P12 unknown method": ("/cluster", {"method": CANARY}, 422, INVALID, "method"),
    "P12 unknown field": ("/cluster", {"min_samples": "0"}, 422, INVALID, "an unknown field"),
    "P12 unknown field like ours": ("/cluster", {CANARY: "0"}, 422, INVALID, "an unknown field"),
    "P13 unknown": ("/embed", {"comparator": CANARY}, 404, NOT_FOUND, ""),
    "P13 a path": ("/embed", {"comparator": "../../" + CANARY}, 404, NOT_FOUND, ""),
    "P13 a version that is not": ("/embed", {"comparator": "tiny@9"}, 404, NOT_FOUND, ""),
    "P13 10 KB": ("/embed", {"comparator": CANARY * 2000}, 404, NOT_FOUND, ""),
    "unknown rule": ("/identify", {"rule": CANARY}, 422, INVALID, "rule"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_field_that_breaks_its_rule_is_named(all_kinds, to_all_kinds, case):
    path, fields, status, slug, word = FIELDS[case]

    with cheap(all_kinds):
        answer = to_all_kinds.post(path, data=fields, files=[part(draw(1))])

    assert_refused(answer, status, slug, word)


VECTORS = {
    "P3 1e39": (json.dumps({"files": [{"embedding": [1e39] * 32}]}), INVALID),
    "P5 wrong dimension": (vector(1.0), INVALID),
    "P5 no dimension": (vector(), INVALID),
    "P6 zero": (vector(*[0.0] * 32), DEGENERATE),
    "P6 denormal": (vector(*[1e-40] * 32), DEGENERATE),
    "not of norm 1": (vector(*[0.5] * 32), DEGENERATE),
    "P7 1e999": (vector(*UNIT).replace("1.0", "1e999"), INVALID),
    "true": (vector(True, *UNIT[1:]), INVALID),
}


@pytest.mark.parametrize("case", VECTORS)
@pytest.mark.parametrize("path", ["/identify", "/enroll", "/cluster"])
def test_a_vector_that_cannot_be_compared_gets_nowhere(all_kinds, to_all_kinds, path, case):
    body, slug = VECTORS[case]
    if path == "/enroll":
        body = body[:-1] + f', "identity": "{CANARY}"}}'

    with cheap(all_kinds):
        answer = to_all_kinds.post(
            path, content=body, headers={"Content-Type": "application/json"}
        )

    assert_refused(answer, 422, slug)
    assert to_all_kinds.get("/galleries/default").json()["samples"] == 0


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_vector_of_no_numbers_is_no_json(to_all_kinds, word):
    """P7 and P8."""
    body = vector(*UNIT).replace("1.0", word)

    answer = to_all_kinds.post(
        "/identify", content=body, headers={"Content-Type": "application/json"}
    )

    assert_refused(answer, 400, "malformed-body")


def test_more_neighbours_than_there_are_change_nothing(client, gallery):
    """P4: nothing that fills up a search's rows comes to light."""
    for character in (1, 2):
        body = {
            "identity": f"c{character}",
            "gallery": gallery,
            "files": [as_json(draw(character))],
        }
        client.post("/enroll", json=body).raise_for_status()

    asked = {"gallery": gallery, "k": "100", "top": "100", "threshold": "0.5", "rule": "knn"}
    (result,) = client.post("/identify", data=asked, files=[part(draw(1, 1))]).json()["results"]

    assert {candidate["identity"] for candidate in result["candidates"]} <= {"c1", "c2"}
    assert all(0 <= candidate["score"] <= 1 for candidate in result["candidates"])


def test_the_same_sample_twice_is_one(client, gallery):
    """P9."""
    body = {"identity": "Ada", "gallery": gallery, "files": [as_json(draw(1))]}

    outcomes = [client.post("/enroll", json=body).json()["samples"][0]["outcome"] for _ in "ab"]

    assert outcomes == ["added", "duplicate"]
    assert client.get(f"/galleries/{gallery}").json()["samples"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "", " x", "x ", "a/b", "a:b", "{x}", "a*b", "..", "x" * 129, "x" * 10_000, "a\nb", "a\0b",
        "a\x7fb", "a\u202eb", "a\u200bb", "a\ufeffb", "<img src=x>", "a?b", "100%", "a\\b",
        "a" + "\u0301" * 200, "e" + "\u0323\u0301" * 60,
    ],
)  # fmt: skip
def test_a_name_that_could_mislead_is_refused(all_kinds, to_all_kinds, name):
    """P10, T4, T7, T8."""
    with cheap(all_kinds):
        answer = to_all_kinds.post("/enroll", json={"identity": name, "files": [as_json(draw(1))]})

    assert_refused(answer, 422, INVALID, "identity")
    if len(name) > 4:
        assert name not in answer.json()["detail"]


@pytest.mark.parametrize(
    "name", ["a%2fb", "%2e%2e", "a%00b", "a%0ab", "%7bx%7d", quote("é"), "x" * 9999]
)
def test_a_gallery_cannot_be_addressed_by_what_is_no_name(to_all_kinds, name):
    for answer in (
        to_all_kinds.get(f"/galleries/{name}"),
        to_all_kinds.delete(f"/galleries/{name}"),
        to_all_kinds.get(f"/galleries/{name}/identities"),
    ):
        assert answer.status_code in (404, 405, 422), answer.text
        assert "x" * 99 not in answer.text


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/galleries/default/identities?limit=0", "limit"),
        ("/galleries/default/identities?limit=nan", "limit"),
        ("/galleries/default/identities?limit=1_0", "limit"),
        ("/galleries/default/identities?after=-1", "after"),
        (f"/galleries/default/identities?after={CANARY}", "after"),
        (f"/galleries/default/identities?{CANARY}=1", ""),
        ("/galleries/default/identities?zqcanary=1", "an unknown field"),
        ("/galleries/default/identities?limit=1&limit=2", "limit"),
        ("/galleries/default/health?few=1e9", "few"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused(to_all_kinds, path, word):
    """P11."""
    assert_refused(to_all_kinds.get(path), 422, INVALID, word)


@pytest.mark.parametrize("key", ["", "x" * 256, "x" * 10_000, "é".encode(), b"a\x01b", "a b"])
def test_an_idempotency_key_that_is_none_is_refused(to_all_kinds, key):
    """H17."""
    answer = to_all_kinds.post(
        "/enroll",
        json={"identity": "Ada", "files": [as_json(draw(1))]},
        headers={"Idempotency-Key": key},
    )

    slug = "malformed-request" if answer.status_code == 400 else INVALID
    assert_refused(answer, answer.status_code, slug)
    assert answer.status_code in (400, 422)
    assert to_all_kinds.get("/galleries/default").json()["samples"] == 0


@pytest.mark.parametrize("version", ["-1", "nan", CANARY, "9" * 5000, "1_0"])
def test_a_version_that_is_none_is_refused(to_all_kinds, version):
    answer = to_all_kinds.post(
        "/identify", files=[part(draw(1))], headers={"X-Min-Version": version}
    )

    assert_refused(answer, 422, INVALID, "x-min-version")


def test_a_pair_of_another_modality_is_refused(to_all_kinds):
    """P14."""
    body = {"a": as_json(draw(1)), "b": {"text": CANARY}}

    assert_refused(to_all_kinds.post("/verify", json=body), 422, MISMATCH, "text")


@pytest.mark.parametrize("text", ["Zoe\u0308", "Zo\u00eb"])
def test_a_name_is_the_same_in_all_its_spellings(client, gallery, text):
    """T9."""
    for spelling in (text, "Zo\u00eb"):
        body = {"identity": spelling, "gallery": gallery, "files": [as_json(draw(1))]}
        client.post("/enroll", json=body).raise_for_status()

    items = client.get(f"/galleries/{gallery}/identities").json()["items"]

    assert [item["identity"] for item in items] == ["Zo\u00eb"]
