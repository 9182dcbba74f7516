"""Somebody else's sample under a name: a warning in the 201, or a refusal where that is wanted."""

import json

import pytest

from tests.drawings import as_json, draw, part
from tests.refusals import assert_refused


def enroll(client, identity, *drawings, gallery="default"):
    return client.post(
        "/enroll",
        data={"identity": identity, "gallery": gallery},
        files=[part(drawing) for drawing in drawings],
    )


@pytest.fixture
def people(client, gallery):
    """A gallery of five with three drawings each, enrolled without a doubt."""
    for who in range(5):
        answer = enroll(
            client, f"p{who}", *(draw(who, take) for take in range(3)), gallery=gallery
        )
        assert (answer.status_code, answer.json()["warnings"]) == (201, [])
    return gallery


def test_one_more_drawing_of_an_identity_is_enrolled_without_a_word(client, people):
    assert enroll(client, "p1", draw(1, 7), gallery=people).json()["warnings"] == []


@pytest.mark.parametrize("identity", ["p2", "somebody-new"])
def test_somebody_enrolled_under_another_name_is_warned_of(client, people, identity):
    answer = enroll(client, identity, draw(1, 7), gallery=people)

    assert answer.status_code == 201
    assert answer.json()["warnings"] == [
        "sample 0 would be named as another identity than the one it is enrolled under"
    ]
    assert "p1" not in answer.text


def test_a_stranger_under_an_enrolled_name_is_warned_of_by_place(client, people):
    answer = enroll(client, "p2", draw(2, 7), draw(77), gallery=people)

    assert answer.json()["warnings"] == [
        "sample 1 is as unlike the identity it is enrolled under as strangers are"
    ]


def test_bulk_lines_carry_their_warning(client, people):
    lines = [{"identity": "p2"} | as_json(draw(n, 8)) for n in (2, 1)]
    body = "\n".join(map(json.dumps, lines))

    answer = client.post("/enroll/bulk", params={"gallery": people}, content=body)

    good, planted = map(json.loads, answer.text.splitlines())
    assert "warnings" not in good
    assert "another identity" in planted["warnings"][0]


def test_by_policy_a_planted_sample_is_refused_and_the_others_are_kept(start_service):
    with start_service(on_suspicion="refuse").client() as client:
        for who in range(3):
            assert enroll(client, f"p{who}", draw(who), draw(who, 1)).status_code == 201

        mixed = enroll(client, "p2", draw(2, 2), draw(1, 2))
        alone = enroll(client, "p2", draw(1, 3))
        replaced = client.get("/galleries/default/identities/p2").json()

    assert mixed.status_code == 201
    assert [sample["index"] for sample in mixed.json()["samples"]] == [0]
    (failure,) = mixed.json()["failures"]
    assert failure["index"] == 1
    assert failure["problem"]["type"].endswith("#doubtful-enrollment")
    assert_refused(alone, 422, "doubtful-enrollment", "another identity")
    assert len(replaced["samples"]) == 3
