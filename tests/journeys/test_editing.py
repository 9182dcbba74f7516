"""A gallery edited over HTTP, and every edit undone."""

import json

import pytest

from tests.drawings import draw, part
from tests.refusals import assert_refused

TAKES = (1, 2, 3)
INVALID = (422, "invalid-parameter")


def enroll(client, gallery, identity, character, takes=TAKES):
    files = [part(draw(character, take)) for take in takes]
    answer = client.post("/enroll", data={"gallery": gallery, "identity": identity}, files=files)
    assert answer.status_code == 201
    return [sample["id"] for sample in answer.json()["samples"]]


def named(client, gallery, character, take=7):
    files = [part(draw(character, take))]
    answer = client.post("/identify", data={"gallery": gallery}, files=files).json()
    return answer["results"][0]["identity"]


def everything(client, gallery):
    """All that is kept, line by line, without versions."""
    lines = client.get(f"/galleries/{gallery}/export").text.splitlines()
    kept = [json.loads(line) for line in lines]
    return [line for line in kept if "identity" in line or "original" in line]


@pytest.fixture
def edit(client, gallery):
    def edit(path, **fields):
        return client.post(f"/galleries/{gallery}/{path}", json=fields)

    return edit


@pytest.fixture
def four(client, gallery):
    """Four identities of three samples: characters 0 to 3 by the names c0 to c3."""
    return {f"c{i}": enroll(client, gallery, f"c{i}", i) for i in range(4)}


def test_who_is_renamed_is_named_so_from_then_on(client, gallery, four):
    url = f"/galleries/{gallery}/identities"

    answer = client.patch(f"{url}/c1", json={"name": "Åsa"})  # a name in NFD is one in NFC

    assert answer.json()["identity"] == "Åsa"
    assert [sample["id"] for sample in answer.json()["samples"]] == four["c1"]
    assert named(client, gallery, 1) == "Åsa"
    assert_refused(client.get(f"{url}/c1"), 404, "not-found")
    assert_refused(client.patch(f"{url}/c2", json={"name": "Åsa"}), 409, "already-exists")


def test_a_merge_is_seen_by_the_next_question_and_undone_by_one_call(client, gallery, four, edit):
    before = everything(client, gallery)

    merged = edit("merge", **{"from": "c2", "into": "c1"})

    assert (merged.status_code, merged.json()["operation"]) == (200, "merge")
    assert merged.json()["samples"] == four["c2"]
    assert [named(client, gallery, i) for i in range(4)] == ["c0", "c1", "c1", "c3"]
    undone = client.post(f"/galleries/{gallery}/undo")
    assert (undone.json()["undone"], undone.json()["operation"]) == (
        merged.json()["version"],
        "merge",
    )
    assert [named(client, gallery, i) for i in range(4)] == ["c0", "c1", "c2", "c3"]
    assert everything(client, gallery) == before
    assert client.get(f"/galleries/{gallery}/edits").json()["edits"] == []


def test_samples_are_split_off_and_moved(client, gallery, four, edit):
    enroll(client, gallery, "c1", 9)

    split = edit("split", identity="c1", samples=["13", "14", "15"], into="c9")

    assert split.status_code == 200
    assert named(client, gallery, 9) == "c9"
    assert edit("split", identity="c9", samples=["13"], into="c3").status_code == 200
    stored = client.get(f"/galleries/{gallery}/identities/c3").json()["samples"]
    assert [sample["id"] for sample in stored] == [*four["c3"], "13"]
    listed = client.get(f"/galleries/{gallery}/edits").json()["edits"]
    assert [(each["identity"], each["other"], each["samples"]) for each in listed] == [
        ("c9", "c3", ["13"]),
        ("c1", "c9", ["13", "14", "15"]),
    ]
    conflict = edit("undo", version=split.json()["version"])
    assert_refused(conflict, 409, "edit-conflict", "sample 13 was moved on since")


def test_what_a_gallery_decides_by_is_changed_and_undone(client, gallery, four):
    url = f"/galleries/{gallery}"
    before = client.get(url).json()

    after = client.patch(url, json={"target_fpir": 0.1, "rule": "mean"}).json()

    assert (after["target_fpir"], after["rule"]) == (0.1, "mean")
    fields = {"gallery": gallery}
    told = client.post("/identify", data=fields, files=[part(draw(1, 7))]).json()["results"][0]
    curve = client.get(f"{url}/operating-curve").json()
    point = next(p for p in curve["points"] if p["target_fpir"] == 0.1)
    assert (told["target_fpir"], told["decision"]["rule"]) == (0.1, "mean")
    assert told["threshold"] == point["threshold"]
    assert client.patch(url, json={"target_fpir": None}).json()["target_fpir"] == 0.05
    for _ in range(2):
        assert client.post(f"{url}/undo").status_code == 200
    now = client.get(url).json()
    assert now == before | {"version": now["version"]}
    assert_refused(
        client.patch(url, json={"target_fpir": 1e-6}), 422, "target-unresolvable", "resolve"
    )


def test_a_key_makes_an_edit_once(client, gallery, four):
    headers = {"Idempotency-Key": "merge-once"}
    fields = {"from": "c2", "into": "c1"}

    first = client.post(f"/galleries/{gallery}/merge", json=fields, headers=headers)
    again = client.post(f"/galleries/{gallery}/merge", json=fields, headers=headers)

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = client.post(f"/galleries/{gallery}/undo", headers=headers)
    assert_refused(other, 422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("method", "path", "fields", "status", "slug"),
    [
        ("PATCH", "", {}, *INVALID),
        ("PATCH", "", {"comparator": "wide"}, *INVALID),
        ("PATCH", "", {"rule": "best"}, *INVALID),
        ("PATCH", "", {"target_fpir": 0}, *INVALID),
        ("PATCH", "/identities/c1", {}, *INVALID),
        ("PATCH", "/identities/c1", {"name": "a:b"}, *INVALID),
        ("PATCH", "/identities/c1", {"name": "x", "metadata": {}}, *INVALID),
        ("PATCH", "/identities/nobody", {"name": "x"}, 404, "not-found"),
        ("POST", "/merge", {"from": "c1"}, *INVALID),
        ("POST", "/merge", {"from": "c1", "into": "c1"}, *INVALID),
        ("POST", "/merge", {"from": "c1", "into": "nobody"}, 404, "not-found"),
        ("POST", "/merge", {"from": ["c1"], "into": "c2"}, *INVALID),
        ("POST", "/split", {"identity": "c1", "samples": [], "into": "x"}, *INVALID),
        ("POST", "/split", {"identity": "c1", "samples": [1], "into": "x"}, *INVALID),
        ("POST", "/split", {"identity": "c1", "samples": ["99"], "into": "x"}, 404, "not-found"),
        ("POST", "/split", {"identity": "c1", "samples": ["01"], "into": "x"}, 404, "not-found"),
        ("POST", "/split", {"identity": "c1", "samples": ["4"], "into": "c1"}, *INVALID),
        ("POST", "/undo", {"version": 0}, *INVALID),
        ("POST", "/undo", {"version": 999}, 404, "not-found"),
        ("POST", "/undo", {}, 404, "not-found"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    client, gallery, four, method, path, fields, status, slug
):
    before = client.get(f"/galleries/{gallery}").json()

    answer = client.request(method, f"/galleries/{gallery}{path}", json=fields)

    assert_refused(answer, status, slug)
    assert client.get(f"/galleries/{gallery}").json() == before


def test_after_a_restart_everything_is_answered_as_it_was_edited(start_service):
    service = start_service()
    with service.client() as client:
        for i in range(6):
            enroll(client, "default", f"c{i}", i)
        client.post("/galleries/default/merge", json={"from": "c1", "into": "c0"})
        client.patch("/galleries/default/identities/c2", json={"name": "two"})
        client.post(
            "/galleries/default/split", json={"identity": "c3", "samples": ["10"], "into": "ten"}
        )
        client.patch("/galleries/default", json={"rule": "mean", "target_fpir": 0.2})
        files = [part(draw(i, 7)) for i in range(6)]
        before = client.post("/identify", files=files).json()
    service.kill9()
    with start_service().client() as client:
        again = client.post("/identify", files=files).json()

        assert again["results"] == before["results"]
        assert client.post("/galleries/default/undo").json()["operation"] == "patch"


def test_an_export_of_an_edited_gallery_is_the_same_gallery_elsewhere(client, gallery, four, edit):
    edit("merge", **{"from": "c2", "into": "c1"})
    edit("split", identity="c3", samples=four["c3"][:1], into="c2")
    lines = client.get(f"/galleries/{gallery}/export").content

    assert client.post(f"/galleries/{gallery}-2/import", content=lines).status_code == 201

    assert everything(client, f"{gallery}-2") == everything(client, gallery)
    assert client.get(f"/galleries/{gallery}-2/edits").json()["edits"] == []
    client.delete(f"/galleries/{gallery}-2")


def test_two_services_on_one_store_follow_every_edit(start_service, tmp_path, start_server):
    from tests.servers import REDIS

    if REDIS is None:
        pytest.skip("no redis-server on this machine")
    url = start_server(REDIS).url
    one, two = (
        start_service(data_dir=tmp_path / name, redis_url=url).client() for name in ("a", "b")
    )
    with one, two:
        for i in range(3):
            enroll(one, "default", f"c{i}", i)

        edits = [
            one.post("/galleries/default/merge", json={"from": "c1", "into": "c0"}),
            one.post("/galleries/default/undo"),
            one.post("/galleries/default/merge", json={"from": "c2", "into": "c1"}),
        ]
        one.patch("/galleries/default/identities/c0", json={"name": "zero"})
        version = one.get("/galleries/default").json()["version"]
        asked = {"files": [part(draw(i, 7)) for i in range(3)]}
        answers = [
            each.post("/identify", headers={"X-Min-Version": str(version)}, **asked).json()
            for each in (one, two)
        ]

    assert all(edit.status_code == 200 for edit in edits)
    assert [r["identity"] for r in answers[0]["results"]] == ["zero", "c1", "c1"]
    assert answers[0]["results"] == answers[1]["results"]
