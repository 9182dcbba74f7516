"""What people say of decisions has an effect: on the next ones, and until it is taken back."""

from contextlib import ExitStack

import numpy as np
import pytest

from tests.drawings import draw, part
from tests.keys import bearing, entry, write
from tests.refusals import assert_refused

DIMENSION = 32


def unit(*seed):
    row = np.random.default_rng(seed).normal(size=DIMENSION)
    return row / np.linalg.norm(row)


def near(centre, noise, *seed):
    """A ready embedding some way from a centre."""
    row = centre + noise * unit(*seed)
    return {"embedding": (row / np.linalg.norm(row)).tolist()}


def enroll(client, gallery, identity, files):
    body = {"gallery": gallery, "identity": identity, "files": files}
    assert client.post("/enroll", json=body).status_code == 201


def identify(client, gallery, files):
    answer = client.post("/identify", json={"gallery": gallery, "files": files})
    assert answer.status_code == 200, answer.text
    return with_ids(answer.json())


def with_ids(answer):
    """The results, each with the id that is beside it."""
    pairs = zip(answer["results"], answer["decisions"], strict=True)
    return [result | {"id": decision} for result, decision in pairs]


def judge(client, result, verdict, **more):
    return client.post("/feedback", json={"decision": result["id"], "verdict": verdict, **more})


@pytest.fixture
def people(client, gallery):
    """Thirty people of four samples each."""
    centres = [unit(1, i) for i in range(30)]
    for i, centre in enumerate(centres):
        enroll(client, gallery, f"p{i}", [near(centre, 0.25, 2, i, j) for j in range(4)])
    return centres


def test_a_decision_is_read_again_as_it_was_told(client, gallery, people):
    [told] = identify(client, gallery, [near(people[3], 0.25, 3, 3)])

    again = client.get(f"/decisions/{told['id']}")

    assert again.json()["result"] | {"id": told["id"]} == told
    assert again.json()["gallery"] == gallery
    assert again.json()["version"] == 30
    assert_refused(client.get("/decisions/" + "0" * 24), 404, "not-found")
    assert_refused(client.get("/decisions/x"), 422, "invalid-parameter")


def test_a_decision_is_told_no_more_once_somebody_in_it_is_forgotten(client, gallery, people):
    [told] = identify(client, gallery, [near(people[3], 0.25, 3, 3)])

    client.delete(f"/galleries/{gallery}/identities/{told['candidates'][2]['identity']}")

    assert_refused(client.get(f"/decisions/{told['id']}"), 404, "not-found")


def test_what_is_confirmed_is_enrolled_once(client, gallery, people):
    [told] = identify(client, gallery, [near(people[3], 0.3, 3, 3)])
    assert told["identity"] == "p3"

    first, again = judge(client, told, "confirm"), judge(client, told, "confirm")

    assert (first.status_code, first.json()["outcome"]) == (201, "added")
    assert (again.json()["sample"], again.json()["outcome"]) == (
        first.json()["sample"],
        "duplicate",
    )
    stored = client.get(f"/galleries/{gallery}/identities/p3").json()["samples"]
    assert first.json()["sample"] in [sample["id"] for sample in stored]
    [now] = identify(client, gallery, [near(people[3], 0.3, 3, 3)])
    assert now["score"] > told["score"]


def test_what_is_confirmed_as_somebody_else_is_doubted_as_any_enrollment(client, gallery, people):
    [told] = identify(client, gallery, [near(people[3], 0.2, 3, 3)])

    answer = judge(client, told, "confirm", identity=told["candidates"][1]["identity"])

    assert "would be named as another identity" in answer.json()["warnings"][0]


def test_a_rejected_answer_is_not_given_again_and_the_reason_is_told(client, gallery, people):
    look_alike = people[3] + 0.6 * unit(9)
    look_alike /= np.linalg.norm(look_alike)
    takes = [near(look_alike, 0.1, 4, i) for i in range(5)]
    first, *_ = before = identify(client, gallery, takes)
    assert [result["identity"] for result in before] == ["p3"] * 5

    said = judge(client, first, "reject")
    after = identify(client, gallery, takes)

    assert (said.status_code, said.json()["identity"]) == (201, "p3")
    assert {(r["outcome"], r["identity"], r["reason"]) for r in after} == {
        ("unknown", None, "rejected-before")
    }
    assert [r["candidates"] for r in after] == [r["candidates"] for r in before]
    owners = identify(client, gallery, [near(people[3], 0.25, 5, i) for i in range(10)])
    assert [result["identity"] for result in owners] == ["p3"] * 10
    assert judge(client, first, "reject").json()["rejection"] == said.json()["rejection"]

    [kept] = client.get(f"/galleries/{gallery}/rejections").json()["rejections"]
    assert (kept["id"], kept["identity"]) == (said.json()["rejection"], "p3")
    gone = client.delete(f"/galleries/{gallery}/rejections/{kept['id']}")
    assert set(gone.json()) == {"version", "receipt"}
    assert [r["identity"] for r in identify(client, gallery, takes)] == ["p3"] * 5


def test_who_was_rejected_by_mistake_is_confirmed_and_named_again(client, gallery, people):
    probe = near(people[3], 0.25, 3, 3)
    [told] = identify(client, gallery, [probe])
    judge(client, told, "reject")
    [rejected] = identify(client, gallery, [probe])
    assert rejected["reason"] == "rejected-before"

    said = judge(client, rejected, "confirm").json()

    [now] = identify(client, gallery, [probe])
    assert (now["identity"], said["outcome"]) == ("p3", "added")
    assert client.get(f"/galleries/{gallery}/rejections").json()["rejections"] == []
    assert said["version"] == client.get(f"/galleries/{gallery}").json()["version"]


def test_of_fifty_planted_look_alikes_repeats_fall_and_owners_are_named_as_before(
    client, gallery, people
):
    for i in range(30, 60):
        people.append(unit(1, i))
        enroll(client, gallery, f"p{i}", [near(people[i], 0.25, 2, i, j) for j in range(4)])
    planted = [people[i] + 0.55 * unit(9, i) for i in range(50)]
    repeats = [near(each, 0.2, 6, i, take) for i, each in enumerate(planted) for take in range(4)]
    owners = [near(each, 0.25, 7, i, take) for i, each in enumerate(people) for take in range(4)]
    named = [f"p{i}" for i in range(60) for _ in range(4)]
    firsts = identify(client, gallery, [near(each, 0.2, 8, i) for i, each in enumerate(planted)])
    before = [identify(client, gallery, asked) for asked in (repeats, owners)]

    for first in firsts:
        if first["outcome"] == "match":
            assert judge(client, first, "reject").status_code == 201
    after = [identify(client, gallery, asked) for asked in (repeats, owners)]

    matches = [sum(r["outcome"] == "match" for r in said[0]) for said in (before, after)]
    missed = [
        sum(r["identity"] != name for r, name in zip(said[1], named, strict=True))
        for said in (before, after)
    ]
    assert matches[0] > 150
    assert matches[1] <= 0.1 * matches[0]
    assert (missed[1] - missed[0]) / len(owners) <= 0.01


def test_a_rejection_goes_along_when_who_it_is_about_is_renamed_or_merged(client, gallery, people):
    look_alike = near(people[3] + 0.6 * unit(9), 0.1, 4, 0)
    [told] = identify(client, gallery, [look_alike])
    judge(client, told, "reject")
    url = f"/galleries/{gallery}"

    def said():
        [result] = identify(client, gallery, [look_alike])
        [kept] = client.get(f"{url}/rejections").json()["rejections"]
        return result["reason"], result["candidates"][0]["identity"], kept["identity"]

    assert said() == ("rejected-before", "p3", "p3")
    client.patch(f"{url}/identities/p3", json={"name": "three"})
    assert said() == ("rejected-before", "three", "three")
    client.post(f"{url}/merge", json={"from": "three", "into": "p4"})
    assert said()[1:] == ("p4", "p4")
    client.post(f"{url}/undo")
    assert said() == ("rejected-before", "three", "three")
    client.delete(f"{url}/identities/three")
    assert client.get(f"{url}/rejections").json()["rejections"] == []


def test_an_export_answers_elsewhere_as_what_was_rejected_has_it(client, gallery, people):
    look_alike = near(people[3] + 0.6 * unit(9), 0.1, 4, 0)
    [told] = identify(client, gallery, [look_alike])
    judge(client, told, "reject")
    asked = [look_alike, near(people[3], 0.2, 3, 3), near(people[5], 0.2, 3, 5)]
    here = identify(client, gallery, asked)
    lines = client.get(f"/galleries/{gallery}/export").content
    other = f"{gallery}-again"

    assert client.post(f"/galleries/{other}/import", content=lines).status_code == 201

    there = identify(client, other, asked)
    assert [r | {"id": ""} for r in there] == [r | {"id": ""} for r in here]
    assert there[0]["reason"] == "rejected-before"
    urls = [f"/galleries/{name}/rejections" for name in (gallery, other)]
    kept, again = (client.get(url).json()["rejections"] for url in urls)
    assert kept == again
    assert client.get(f"/galleries/{other}/export").content.count(b'{"rejection":') == 1
    client.delete(f"/galleries/{other}")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": "reject", "identity": "p29"}, "identity"),
        ({"verdict": "reject", "files": [{"embedding": [1.0] * DIMENSION}]}, "files"),
        ({"verdict": "confirm", "files": [{"text": "a"}, {"text": "b"}]}, "files"),
        ({}, "verdict"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused(client, gallery, people, fields, field):
    [told] = identify(client, gallery, [near(people[3], 0.2, 3, 3)])
    before = client.get(f"/galleries/{gallery}").json()

    answer = client.post("/feedback", json={"decision": told["id"]} | fields)

    assert_refused(answer, 422, "invalid-parameter", field)
    assert client.get(f"/galleries/{gallery}").json() == before


def test_another_sample_than_was_identified_is_not_confirmed(client, gallery, people):
    files = [part(draw(1, 1))]
    [told] = with_ids(client.post("/identify", data={"gallery": gallery}, files=files).json())
    fields = {"decision": told["id"], "verdict": "confirm"}

    other = client.post("/feedback", data=fields, files=[part(draw(2, 2))])
    same = client.post("/feedback", data=fields, files=files)

    assert_refused(other, 422, "invalid-parameter", "the same sample")
    assert (same.status_code, same.json()["outcome"]) == (201, "added")


def test_a_gallery_that_keeps_samples_keeps_what_is_confirmed(client, gallery):
    name = f"{gallery}-kept"
    client.post("/galleries", json={"name": name, "keep_samples": True})
    for i in range(3):
        files = [part(draw(i, take)) for take in (1, 2)]
        client.post("/enroll", data={"gallery": name, "identity": f"c{i}"}, files=files)
    asked = client.post("/identify", data={"gallery": name}, files=[part(draw(1, 5))]).json()

    said = judge(client, with_ids(asked)[0], "confirm").json()

    url = f"/galleries/{name}/identities/c1/samples/{said['sample']}/preview"
    assert client.get(url).headers["content-type"] == "image/png"
    client.delete(f"/galleries/{name}")


def test_decisions_are_remembered_within_their_limits_and_rejections_for_good(
    start_service, tmp_path
):
    service = start_service(decisions=3, max_rejections=2)
    with service.client() as client:
        centres = [unit(1, i) for i in range(12)]
        for i, centre in enumerate(centres):
            enroll(client, "default", f"p{i}", [near(centre, 0.25, 2, i, j) for j in range(4)])
        asked = [near(each + 0.6 * unit(9, i), 0.1, 3, i) for i, each in enumerate(centres)]
        told = identify(client, "default", asked[:4])
        kept = [client.get(f"/decisions/{result['id']}").status_code for result in told]
        assert kept == [404, 200, 200, 200]
        statuses = [judge(client, result, "reject").status_code for result in told[1:]]
        assert statuses == [201, 201, 413]
        before = identify(client, "default", asked[:4])
    service.kill9()

    with start_service(decisions=0).client() as client:
        after = identify(client, "default", asked[:4])

    assert [r["reason"] for r in after] == [r["reason"] for r in before]
    assert [r["reason"] for r in after].count("rejected-before") == 2
    assert [r["id"] for r in after] == [None] * 4


def test_who_is_told_decisions_only_reads_its_own_again_and_judges_none(start_service, tmp_path):
    keys = write(
        tmp_path / "keys.toml",
        entry("root", "administer"),
        entry("door", "decide"),
        entry("gate", "decide"),
        entry("desk", "read"),
        entry("elsewhere", "administer", "other-*"),
    )
    service = start_service(keys_file=keys)

    def client(name):
        return service.client(headers=bearing(name))

    names = ("root", "door", "gate", "desk", "elsewhere")
    with ExitStack() as stack:
        root, door, gate, desk, elsewhere = (stack.enter_context(client(name)) for name in names)
        for i in range(12):
            files = [part(draw(i, take)) for take in (1, 2)]
            root.post("/enroll", data={"identity": f"c{i}"}, files=files)
        [told] = with_ids(door.post("/identify", files=[part(draw(3, 5))]).json())
        url = f"/decisions/{told['id']}"

        assert door.get(url).json()["result"] | {"id": told["id"]} == told
        assert (told["score"], told["candidates"]) == (None, [])
        assert desk.get(url).json()["result"]["score"] > 0.5
        assert_refused(gate.get(url), 404, "not-found")
        assert_refused(elsewhere.get(url), 404, "not-found")
        assert_refused(judge(desk, told, "reject"), 403, "forbidden")
        assert_refused(judge(elsewhere, told, "reject"), 404, "not-found")
        assert judge(root, told, "confirm").status_code == 201
