"""A body that is one sample itself is read as the same sample in multipart is."""

import httpx
import pytest
import yaml

from tests.drawings import draw, part
from tests.promises.openapi import PATH
from tests.refusals import CANARY, assert_refused
from tests.sounds import encoded, voice

GOOD, TEXT = draw(1), b"The man plays the flute."
IMAGE = {"content-type": "image/png"}
INVALID = "invalid-parameter"


def raw(client, path, content=GOOD, kind="image/png", **query):
    return client.post(path, content=content, headers={"content-type": kind}, params=query)


def told(answer: httpx.Response) -> dict:
    """Return an answer without what is never twice the same."""
    assert answer.status_code in (200, 201), answer.text
    return {k: v for k, v in answer.json().items() if k not in ("timings_ms", "decisions")}


@pytest.mark.parametrize(
    ("content", "kind", "comparator", "in_parts"),
    [
        (GOOD, "image/png", "tiny", part(GOOD)),
        (GOOD, "IMAGE/whatever.v2+x; q=1", "tiny", part(GOOD)),
        (TEXT, "text/plain", "words", ("files", (None, TEXT))),
        (TEXT, "text/plain; charset=UTF-8", "words", ("files", (None, TEXT))),
        (encoded(voice(1)), "audio/wav", "sounds", ("files", ("a.wav", encoded(voice(1))))),
    ],
)
def test_each_kind_is_embedded_as_in_multipart(to_all_kinds, content, kind, comparator, in_parts):
    by_parts = to_all_kinds.post("/embed", files=[in_parts], data={"comparator": comparator})

    itself = raw(to_all_kinds, "/embed", content, kind, comparator=comparator)

    assert told(itself) == told(by_parts)


def test_an_enrolled_body_is_identified_by_another(client, gallery):
    terms = {"gallery": gallery, "target_fpir": "0.1", "top": "1"}
    enrolled = raw(
        client, "/enroll", identity="Zoë & Ada", gallery=gallery, metadata='{"shelf": 3}'
    )

    assert enrolled.status_code == 201, enrolled.text
    kept = client.get(f"/galleries/{gallery}/identities/Zoë & Ada").json()
    assert kept["metadata"] == {"shelf": 3}
    itself, by_parts = (
        told(answer)["results"][0]
        for answer in (
            raw(client, "/identify", draw(1, 1), **terms),
            client.post("/identify", files=[part(draw(1, 1))], data=terms),
        )
    )
    assert itself["candidates"][0]["identity"] == "Zoë & Ada"
    assert {**itself, "decision": None} == {**by_parts, "decision": None}


def test_a_retry_of_a_raw_enrollment_is_one_enrollment(client, gallery):
    keyed = {**IMAGE, "idempotency-key": "once"}
    where = {"identity": "Ada", "gallery": gallery}

    first, again = (
        client.post("/enroll", content=GOOD, headers=keyed, params=where) for _ in range(2)
    )

    assert first.json()["samples"] == again.json()["samples"]
    assert client.get(f"/galleries/{gallery}").json()["samples"] == 1


@pytest.mark.parametrize(
    ("path", "query", "word"),
    [
        ("/embed", "files=x", ""),
        ("/embed", f"{CANARY}=1", ""),
        ("/embed", "side=c", "side"),
        ("/embed", "side=a&side=b", "side"),
        ("/identify", "target_fpir=nan", "target_fpir"),
        ("/identify", "k=1_0", "k"),
        ("/identify", "threshold=.5&target_fpir=.1", "threshold"),
        ("/identify", "gallery=%ff", "query"),
        ("/enroll", "", "identity"),
        ("/enroll", "identity=", "identity"),
        ("/enroll", "identity=a%2Fb", "identity"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused(to_all_kinds, path, query, word):
    answer = to_all_kinds.post(f"{path}?{query}", content=GOOD, headers=IMAGE)

    assert_refused(answer, 422, INVALID, word)


def test_fields_stand_in_the_query_of_raw_bodies_only(to_all_kinds):
    drawing = part(GOOD)

    in_parts = to_all_kinds.post("/embed?comparator=tiny", files=[drawing])
    in_json = to_all_kinds.post("/identify?top=1", json={"files": [{"text": "x"}]})

    assert_refused(in_parts, 422, INVALID, "comparator")
    assert_refused(in_json, 422, INVALID, "top")


@pytest.mark.parametrize(
    ("content", "kind", "status", "slug"),
    [
        (b"", "image/png", 422, "undecodable-input"),
        (b"\x89PNG\r\n\x1a\n" + CANARY.encode(), "image/png", 422, "undecodable-input"),
        (TEXT, "text/plain", 422, "model-mismatch"),
        (TEXT, "text/plain; charset=latin-1", 415, "unsupported-media"),
        (GOOD, "application/octet-stream", 415, "unsupported-media"),
        (GOOD, "image/", 415, "unsupported-media"),
        (GOOD, f"image/a/{CANARY}", 415, "unsupported-media"),
        (GOOD, "", 415, "unsupported-media"),
        (b"x" * (8 * 2**20 + 1), "image/png", 413, "too-large"),
    ],
)
def test_a_body_that_is_no_sample_is_refused_as_in_multipart(
    to_all_kinds, content, kind, status, slug
):
    assert_refused(raw(to_all_kinds, "/embed", content, kind), status, slug)


def test_a_compressed_body_is_refused(to_all_kinds):
    headers = {**IMAGE, "content-encoding": "gzip"}

    answer = to_all_kinds.post("/embed", content=GOOD, headers=headers)

    assert_refused(answer, 415, "unsupported-media", "Content-Encoding")


@pytest.mark.parametrize("path", ["/verify", "/cluster", "/feedback"])
def test_a_route_that_takes_more_than_a_sample_takes_no_raw_body(to_all_kinds, path):
    assert_refused(raw(to_all_kinds, path), 415, "unsupported-media")


@pytest.mark.parametrize("path", ["/embed", "/enroll", "/identify"])
def test_the_examples_of_openapi_are_answered(client, gallery, path):
    operation = yaml.safe_load(PATH.read_text())["paths"][path]["post"]
    content = operation["requestBody"]["content"]
    named = {field["name"] for field in operation["parameters"] if field["in"] == "query"}
    query = {"identity": "alpha", "gallery": gallery, "comparator": "tiny"}
    drawing = client.get("/" + content["image/*"]["examples"]["drawing"]["externalValue"])
    words = content["text/plain"]["examples"]["words"]["value"]

    answer = raw(client, path, drawing.content, **{k: v for k, v in query.items() if k in named})
    other = raw(client, path, words, "text/plain", **{k: query[k] for k in named & {"identity"}})

    assert answer.status_code in (200, 201), answer.text
    assert_refused(other, 422, "model-mismatch", "text")  # which this comparator does not compare
