"""Enroll, identify, verify, cluster, forget: as a user goes, through HTTP."""

import json
import time

import numpy as np
import pytest

from tests.drawings import as_json, draw, part

OUTCOMES = {"match", "possible", "unknown"}


def enroll(client, gallery, identity, takes, character=None, **fields):
    character = identity if character is None else character
    answer = client.post(
        "/enroll",
        data={"identity": f"id-{identity}", "gallery": gallery} | fields,
        files=[part(draw(character, take)) for take in takes],
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def identify(client, gallery, contents, **fields):
    answer = client.post(
        "/identify", data={"gallery": gallery} | fields, files=[part(c) for c in contents]
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_another_drawing_of_an_enrolled_character_is_recognised(client, gallery):
    for character in range(20):
        enroll(client, gallery, character, takes=[1, 2, 3])

    answer = identify(client, gallery, [draw(character, 9) for character in range(20)])

    assert answer["identities"] == 20
    assert [r["identity"] for r in answer["results"]] == [f"id-{c}" for c in range(20)]
    assert [r["index"] for r in answer["results"]] == list(range(20))
    for result in answer["results"]:
        assert result["outcome"] == "match"
        assert result["score"] >= result["threshold"]
        assert result["p_value"] <= result["target_fpir"]
        assert result["candidates"][0]["identity"] == result["identity"]
        assert result["score"] == result["candidates"][0]["score"]
        assert 0 < len(result["candidates"]) <= 5


def test_strangers_are_named_about_as_often_as_was_asked(client, gallery):
    for character in range(20):
        enroll(client, gallery, character, takes=[1, 2, 3])
    strangers = [draw(character) for character in range(1000, 1200)]

    answer = identify(client, gallery, strangers, target_fpir=0.2)

    named = sum(result["outcome"] == "match" for result in answer["results"])
    assert 0.05 < named / 200 < 0.4


def test_a_lower_target_never_names_more_strangers(client, gallery):
    for character in range(10):
        enroll(client, gallery, character, takes=[1, 2])
    strangers = [draw(character) for character in range(1000, 1100)]

    named = [
        {
            r["index"]
            for r in identify(client, gallery, strangers, target_fpir=target)["results"]
            if r["outcome"] == "match"
        }
        for target in (0.01, 0.05, 0.2, 0.5)
    ]

    assert named[0] <= named[1] <= named[2] <= named[3]
    assert named[3]


@pytest.mark.parametrize("rule", ["max", "mean", "centroid", "knn"])
def test_every_rule_recognises_the_enrolled(client, gallery, rule):
    for character in range(5):
        enroll(client, gallery, character, takes=[1, 2, 3])

    answer = identify(client, gallery, [draw(c, 7) for c in range(5)], rule=rule)

    assert [r["identity"] for r in answer["results"]] == [f"id-{c}" for c in range(5)]


def test_an_empty_gallery_knows_nobody_and_says_so(client, gallery):
    (result,) = identify(client, gallery, [draw(1)])["results"]

    assert result["outcome"] == "unknown"
    assert result["reason"] == "empty-gallery"
    assert result["identity"] is None
    assert result["candidates"] == []


def test_a_target_that_the_cohort_cannot_resolve_is_refused_with_the_reason(client, gallery):
    enroll(client, gallery, 1, takes=[1])

    answer = client.post(
        "/identify",
        data={"gallery": gallery, "target_fpir": "0.0001"},
        files=[part(draw(1))],
    )

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("#target-unresolvable")
    assert "400" in answer.json()["detail"]


def test_json_and_multipart_say_the_same(client, gallery):
    enroll(client, gallery, 1, takes=[1])
    content = draw(1, 4)

    by_form = identify(client, gallery, [content])
    by_json = client.post("/identify", json={"gallery": gallery, "files": [as_json(content)]})

    assert by_json.status_code == 200
    assert by_json.json()["results"] == by_form["results"]


def test_a_ready_embedding_is_as_good_as_its_picture(client, gallery):
    content = draw(3, 1)
    embedded = client.post("/embed", files=[part(content)]).json()
    vector = embedded["embeddings"][0]
    assert len(vector) == embedded["dimension"] == 32

    sample = {"embedding": vector}
    body = {"identity": "Ada", "gallery": gallery, "files": [sample]}
    assert client.post("/enroll", json=body).status_code == 201

    (result,) = identify(client, gallery, [content], target_fpir=0.05)["results"]
    assert result["identity"] == "Ada"
    assert result["score"] == pytest.approx(result["candidates"][0]["samples"][0]["score"])


def test_verify_ranks_the_same_character_above_another(client):
    def verify(a, b, **fields):
        answer = client.post("/verify", data=fields, files=[part(a, "a"), part(b, "b")])
        assert answer.status_code == 200, answer.text
        return answer.json()

    same = verify(draw(1, 1), draw(1, 2), target_fmr="0.1")
    other = verify(draw(1, 1), draw(2, 2), target_fmr="0.1")
    itself = verify(draw(1, 1), draw(1, 1))

    assert same["score"] > other["score"]
    assert itself["score"] >= same["score"]
    assert (same["match"], other["match"]) == (True, False)
    assert same["target_fmr"] == same["fmr"] == 0.1
    assert same["comparator"] == "tiny@1"
    assert itself["target_fmr"] == 0.01
    assert {"decode", "queue", "encode"} <= same["timings_ms"].keys()


def test_verify_with_a_threshold_says_what_rate_is_known_for_it(client):
    files = [part(draw(1, 1), "a"), part(draw(1, 2), "b")]

    strict = client.post("/verify", data={"threshold": "0.9"}, files=files).json()
    loose = client.post("/verify", data={"threshold": "0.1"}, files=files).json()

    assert (strict["threshold"], strict["fmr"], strict["target_fmr"]) == (0.9, 0.01, None)
    assert (loose["threshold"], loose["fmr"]) == (0.1, None)


def test_another_comparator_is_served_beside_the_first(client):
    answer = client.post(
        "/embed", data={"comparator": "wide"}, files=[part(draw(1)), part(draw(2))]
    ).json()

    assert answer["comparator"] == "wide@1"
    assert np.shape(answer["embeddings"]) == (2, 16)
    listed = client.get("/comparators").json()["comparators"]
    assert [(c["name"], c["distance"]) for c in listed] == [("tiny", "cosine"), ("wide", "l2")]
    assert listed[0]["modalities"] == {"a": "image", "b": "image"}


def test_a_gallery_of_the_other_comparator_recognises_too(client, gallery):
    name = f"{gallery}-wide"
    client.post("/galleries", json={"name": name, "comparator": "wide"})
    for character in range(6):
        enroll(client, name, character, takes=[1, 2])

    answer = identify(client, name, [draw(c, 5) for c in range(6)])

    assert answer["comparator"] == "wide@1"
    assert [r["identity"] for r in answer["results"]] == [f"id-{c}" for c in range(6)]


@pytest.mark.parametrize("method", ["linkage", "leader"])
def test_drawings_of_one_character_fall_into_one_cluster(client, method):
    contents = [draw(character, take) for take in (1, 2, 3) for character in range(5)]

    answer = client.post(
        "/cluster", data={"method": method, "threshold": "0.7"}, files=[part(c) for c in contents]
    ).json()

    assert answer["labels"] == [0, 1, 2, 3, 4] * 3
    assert [sorted(c["members"]) for c in answer["clusters"]] == [
        [c, c + 5, c + 10] for c in range(5)
    ]
    assert all(c["medoid"] in c["members"] and c["size"] == 3 for c in answer["clusters"])


def test_linkage_does_not_depend_on_the_order_of_upload(client):
    contents = [draw(character, take) for character in range(8) for take in range(3)]
    order = np.random.default_rng(0).permutation(len(contents))

    straight = client.post("/cluster", files=[part(c) for c in contents]).json()
    shuffled = client.post("/cluster", files=[part(contents[i]) for i in order]).json()

    together = {frozenset(c["members"]) for c in straight["clusters"]}
    again = {frozenset(int(order[i]) for i in c["members"]) for c in shuffled["clusters"]}
    assert together == again


def test_a_gallery_can_be_clustered_to_find_duplicates(client, gallery):
    first = enroll(client, gallery, "Ada", takes=[1, 2], character=1)
    enroll(client, gallery, "Bob", takes=[1], character=2)
    again = enroll(client, gallery, "Ada again", takes=[3], character=1)

    clusters = client.post("/cluster", json={"gallery": gallery, "threshold": 0.7}).json()

    ids = {s["id"] for s in first["samples"] + again["samples"]}
    assert ids in [set(c["members"]) for c in clusters["clusters"]]
    assert clusters["labels"] == [0, 0, 1, 0]


def test_a_forgotten_identity_is_never_found_again(client, gallery):
    for character in range(3):
        enroll(client, gallery, character, takes=[1, 2])

    gone = client.delete(f"/galleries/{gallery}/identities/id-1").json()

    (result,) = identify(client, gallery, [draw(1, 1)], target_fpir=0.5)["results"]
    assert "id-1" not in [c["identity"] for c in result["candidates"]]
    assert gone["version"] == 4
    assert "receipt" in gone
    assert client.get(f"/galleries/{gallery}/identities/id-1").status_code == 404
    assert client.delete(f"/galleries/{gallery}/identities/id-1").status_code == 404
    (kept,) = identify(client, gallery, [draw(2, 1)])["results"]
    assert kept["identity"] == "id-2"


def test_a_forgotten_sample_leaves_the_others(client, gallery):
    samples = enroll(client, gallery, 1, takes=[1, 2])["samples"]
    path = f"/galleries/{gallery}/identities/id-1/samples"

    assert client.delete(f"{path}/{samples[0]['id']}").status_code == 200
    assert client.delete(f"{path}/{samples[0]['id']}").status_code == 404

    kept = client.get(f"/galleries/{gallery}/identities/id-1").json()["samples"]
    assert [s["id"] for s in kept] == [samples[1]["id"]]


def test_the_same_bytes_twice_are_one_sample(client, gallery):
    first = enroll(client, gallery, 1, takes=[1, 2])
    again = enroll(client, gallery, 1, takes=[2, 3])

    assert [s["outcome"] for s in first["samples"]] == ["added", "added"]
    assert [s["outcome"] for s in again["samples"]] == ["duplicate", "added"]
    assert again["samples"][0]["id"] == first["samples"][1]["id"]
    assert again["warnings"]
    assert client.get(f"/galleries/{gallery}").json()["samples"] == 3


def test_an_idempotency_key_replays_the_answer_and_refuses_another_payload(client, gallery):
    def post(take):
        return client.post(
            "/enroll",
            data={"identity": "Ada", "gallery": gallery},
            files=[part(draw(1, take))],
            headers={"Idempotency-Key": f"key-{gallery}"},
        )

    first, again, other = post(1), post(1), post(2)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["samples"] == first.json()["samples"]
    assert again.json()["version"] == first.json()["version"]
    assert other.status_code == 422
    assert other.json()["type"].endswith("#idempotency-key-reused")


def test_one_bad_file_of_many_does_not_sink_the_others(client, gallery):
    contents = [draw(1, 1), b"not an image", draw(1, 2)]
    files = [part(c) for c in contents]

    enrolled = client.post("/enroll", data={"identity": "Ada", "gallery": gallery}, files=files)
    found = client.post("/identify", data={"gallery": gallery}, files=files).json()
    embedded = client.post("/embed", files=files).json()
    clustered = client.post("/cluster", files=files).json()

    assert [s["index"] for s in enrolled.json()["samples"]] == [0, 2]
    for answer in (enrolled.json(), found, embedded, clustered):
        (failure,) = answer["failures"]
        assert failure["index"] == 1
        assert failure["problem"]["type"].endswith("#undecodable-input")
    assert [r["index"] for r in found["results"]] == [0, 2]
    assert embedded["embeddings"][1] is None
    assert clustered["labels"] == [0, None, 0]


def test_metadata_is_kept_replaced_and_listed(client, gallery):
    enroll(client, gallery, 1, takes=[1], metadata=json.dumps({"team": "north"}))
    enroll(client, gallery, 2, takes=[1])

    before = client.get(f"/galleries/{gallery}/identities/id-1").json()
    path = f"/galleries/{gallery}/identities/id-1"
    after = client.patch(path, json={"metadata": {"team": "south", "n": 2}}).json()

    assert before["metadata"] == {"team": "north"}
    assert after["metadata"] == {"team": "south", "n": 2}
    assert after["samples"] == before["samples"]
    assert client.get(f"/galleries/{gallery}/identities/id-2").json()["metadata"] == {}


def test_identities_are_listed_page_by_page_each_once_in_the_order_they_came(client, gallery):
    characters = [3, 0, 5, 1, 6, 2, 4]
    for character in characters:
        enroll(client, gallery, character, takes=[1])

    seen, after = [], "0"
    while after is not None:
        page = client.get(f"/galleries/{gallery}/identities?limit=3&after={after}").json()
        seen += [item["identity"] for item in page["items"]]
        after = page["next"]

    assert seen == [f"id-{c}" for c in characters]


def test_an_uploaded_cohort_replaces_the_bundles(client, gallery):
    enroll(client, gallery, 1, takes=[1])
    strangers = [part(draw(character)) for character in range(500, 560)]

    answer = client.post(f"/galleries/{gallery}/cohort", files=strangers)

    assert answer.status_code == 201
    assert answer.json()["cohort_identities"] == 60
    state = client.get(f"/galleries/{gallery}").json()
    assert (state["cohort"], state["cohort_identities"]) == ("gallery", 60)
    (result,) = identify(client, gallery, [draw(1, 2)])["results"]
    assert result["evidence"]["source"] == "gallery"
    assert result["p_value"] == pytest.approx(1 / 61)


def test_grouped_strangers_count_once_each(client, gallery):
    files = [part(draw(500 + i // 3, i)) for i in range(60)]

    answer = client.post(
        f"/galleries/{gallery}/cohort",
        data={"identities": [f"s{i // 3}" for i in range(60)]},
        files=files,
    )

    assert answer.json()["cohort_identities"] == 20


def test_bulk_enrolls_a_line_at_a_time_and_tells_each(client, gallery):
    lines = [
        {"identity": f"id-{c}", **as_json(draw(c, take))} for c in range(50) for take in (1, 2)
    ]
    lines.insert(3, {"identity": "id-x", "base64": "bm90IGFuIGltYWdl"})
    lines.insert(70, {"identity": ""})
    body = "\n".join(map(json.dumps, lines))

    answer = client.post(f"/enroll/bulk?gallery={gallery}", content=body)

    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["line"] for line in told] == list(range(102))
    assert [i for i, line in enumerate(told) if line["outcome"] == "failed"] == [3, 70]
    assert client.get(f"/galleries/{gallery}").json()["samples"] == 100
    assert identify(client, gallery, [draw(49, 9)])["results"][0]["identity"] == "id-49"


def test_bulk_may_take_longer_than_the_deadline_of_a_request(start_service):
    def lines():
        for character in range(6):
            time.sleep(0.4)
            yield json.dumps({"identity": f"id-{character}", **as_json(draw(character))}) + "\n"

    with start_service(request_deadline=1).client() as client:
        answer = client.post("/enroll/bulk", content=(line.encode() for line in lines()))

    assert [json.loads(line)["outcome"] for line in answer.text.splitlines()] == ["added"] * 6


def test_a_reader_may_wait_for_its_own_write_but_not_for_ever(client, gallery):
    version = enroll(client, gallery, 1, takes=[1])["version"]

    def ask(wanted):
        return client.post(
            "/identify",
            data={"gallery": gallery},
            files=[part(draw(1))],
            headers={"X-Min-Version": str(wanted)},
        )

    assert ask(version).json()["version"] >= version
    behind = ask(version + 1)
    assert behind.status_code == 503
    assert behind.json()["type"].endswith("#replica-behind")
    assert "Retry-After" in behind.headers


def test_a_deleted_gallery_is_gone_and_its_name_is_free_again(client, gallery):
    enroll(client, gallery, 1, takes=[1])

    assert client.delete(f"/galleries/{gallery}").status_code == 200
    assert client.get(f"/galleries/{gallery}").status_code == 404

    assert client.post("/galleries", json={"name": gallery}).status_code == 201
    assert client.get(f"/galleries/{gallery}").json()["identities"] == 0


def test_the_default_gallery_is_there_again_as_soon_as_it_is_deleted(start_service):
    with start_service().client() as client:
        client.post("/enroll", data={"identity": "Ada"}, files=[part(draw(1))])

        assert client.delete("/galleries/default").status_code == 200

        assert client.get("/galleries/default").json()["identities"] == 0
        assert client.get("/health/ready").status_code == 200
        enrolled = client.post("/enroll", data={"identity": "Ada"}, files=[part(draw(1))])
        assert enrolled.json()["version"] == 1


def test_the_links_of_the_first_page_lead_somewhere(client):
    about = client.get("/").json()

    assert about["name"] == "Kindred"
    for name in ("docs", "openapi", "comparators", "health", "metrics"):
        assert client.get(about[name]).status_code == 200


def test_top_and_k_never_change_a_decision(client, gallery):
    for character in range(8):
        enroll(client, gallery, character, takes=[1, 2, 3])
    probes = [draw(3, 8), draw(700)]

    few = identify(client, gallery, probes, top=1, k=1)["results"]
    many = identify(client, gallery, probes, top=100, k=50)["results"]

    for a, b in zip(few, many, strict=True):
        assert {k: v for k, v in a.items() if k != "candidates"} == {
            k: v for k, v in b.items() if k != "candidates"
        }
    assert len(few[0]["candidates"]) == 1
    assert len(many[0]["candidates"]) == 8
    assert len(many[0]["candidates"][0]["samples"]) == 3
