"""A gallery gets another comparator, and nobody is lost: while it is asked, written to, killed."""

import json
import threading
import time
from collections import Counter

import httpx
import numpy as np
import pytest

from tests.bundles import make_bundle
from tests.drawings import as_json, draw, part
from tests.journeys.test_erasure import holding, until, wait_erased
from tests.servers import VALKEY
from tests.services import Service
from tests.text_bundles import make_text_bundle

OLD, NEW = "tiny@1", "tiny@2"


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Bundles of two versions that are nothing alike, and of another modality."""
    root = tmp_path_factory.mktemp("versions")
    make_bundle(root, "tiny", "1", cohort=400, dimension=32)
    make_bundle(root, "tiny", "2", cohort=300, dimension=24, size=16, seed=5)
    make_text_bundle(root)
    return root


@pytest.fixture(scope="module")
def migrating(tmp_path_factory, versions):
    """One service for all journeys that do not kill it."""
    service = Service(tmp_path_factory.mktemp("migrating") / "var", versions)
    service.start().wait_ready()
    yield service
    assert service.stop() == 0, service.log.read_text()


@pytest.fixture
def client(migrating):
    with migrating.client() as client:
        yield client


@pytest.fixture
def name(client, request):
    """An empty gallery of the first version that keeps samples."""
    name = f"m{abs(hash(request.node.nodeid)) % 10**12}"
    return make(client, name)


def make(client, name, comparator=OLD, **fields):
    body = {"name": name, "comparator": comparator, "keep_samples": True} | fields
    answer = client.post("/galleries", json=body)
    assert answer.status_code == 201, answer.text
    return name


def enroll(client, gallery, character, *takes, **fields):
    files = [part(draw(character, take, 16)) for take in takes or (0,)]
    data = {"identity": f"id-{character}", "gallery": gallery} | fields
    answer = client.post("/enroll", data=data, files=files)
    assert answer.status_code == 201, answer.text
    return answer.json()


def enroll_many(client, gallery, characters):
    """Enroll many at once, a sample each."""
    lines = b"".join(
        json.dumps({"identity": f"id-{c}"} | as_json(draw(c, 0, 16))).encode() + b"\n"
        for c in characters
    )
    answer = client.post(f"/enroll/bulk?gallery={gallery}", content=lines)
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["outcome"] for each in told] == ["added"] * len(characters)


def migrate(client, gallery, **fields):
    answer = client.post(f"/galleries/{gallery}/migrate", json={"comparator": "tiny"} | fields)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["url"] == f"/galleries/{gallery}/migration"
    return answer.json()


def status(client, gallery):
    answer = client.get(f"/galleries/{gallery}/migration")
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_for(client, gallery, wanted, seconds=60):
    until(lambda: status(client, gallery)["state"] == wanted, seconds)
    return status(client, gallery)


def wait_measured(client, gallery):
    wait_for(client, gallery, "ready")
    until(lambda: status(client, gallery)["agreement"])
    return status(client, gallery)


def post(client, gallery, what, **fields):
    return client.post(f"/galleries/{gallery}/migration/{what}", json=fields or None)


def decisions(client, gallery, characters):
    """By which comparator, and all that was decided, but for how long it took."""
    files = [part(draw(c, 9, 16)) for c in characters]
    answer = client.post("/identify", files=files, data={"gallery": gallery, "top": "20"})
    assert answer.status_code == 200, answer.text
    return answer.json()["comparator"], answer.json()["results"]


def matched(client, gallery, characters):
    _, results = decisions(client, gallery, characters)
    return [result["identity"] for result in results]


def known(client, gallery):
    """Who is compared with: every identity is a candidate, where there are few."""
    _, [result] = decisions(client, gallery, [0])
    return {candidate["identity"] for candidate in result["candidates"]}


def embedding_of(client, comparator, character):
    files = [part(draw(character, 0, 16))]
    answer = client.post("/embed", files=files, data={"comparator": comparator})
    return np.array(answer.json()["embeddings"][0], np.float32)


def problem(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].partition("#")[2]


def test_after_a_switch_it_answers_as_if_it_had_always_been_of_that_comparator(client, name):
    make(client, f"{name}-new", NEW)
    for gallery in (name, f"{name}-new"):
        for character in range(12):
            enroll(client, gallery, character, 0, 1, metadata=json.dumps({"n": character}))
    before = decisions(client, name, range(14))

    migrate(client, name)
    ready = wait_measured(client, name)
    during = decisions(client, name, range(14))
    switched = post(client, name, "switch")

    assert (ready["done"], ready["total"], ready["embeddings"], ready["samples"]) == (
        12,
        12,
        24,
        24,
    )
    assert ready["agreement"]["trials"] == ready["agreement"]["mated"] == 24
    assert 0 <= ready["agreement"]["agreement"] <= 1
    assert during == before
    assert during[0] == ready["in_force"] == OLD
    assert switched.status_code == 200, switched.text
    assert (switched.json()["state"], switched.json()["in_force"]) == ("switched", NEW)
    assert decisions(client, name, range(14)) == decisions(client, f"{name}-new", range(14))
    listed = client.get(f"/galleries/{name}").json()
    assert (listed["comparator"], listed["identities"], listed["samples"]) == (NEW, 12, 24)
    about = client.get(f"/galleries/{name}/identities/id-3").json()
    assert (about["metadata"], len(about["samples"])) == ({"n": 3}, 2)


def test_who_is_enrolled_meanwhile_is_found_before_and_after_a_switch_and_back(client, name):
    enroll(client, name, 0)
    first = decisions(client, name, [0, 9])
    migrate(client, name)
    enroll(client, name, 1)
    wait_for(client, name, "ready")
    enroll(client, name, 2)
    assert known(client, name) == {"id-0", "id-1", "id-2"}

    assert post(client, name, "switch").status_code == 200
    enroll(client, name, 3)
    client.delete(f"/galleries/{name}/identities/id-1")
    assert known(client, name) == {"id-0", "id-2", "id-3"}
    assert matched(client, name, [0, 2, 3]) == ["id-0", "id-2", "id-3"]
    back = post(client, name, "rollback")

    assert (back.json()["state"], back.json()["in_force"]) == ("ready", OLD)
    assert known(client, name) == {"id-0", "id-2", "id-3"}
    assert matched(client, name, [0, 2, 3]) == ["id-0", "id-2", "id-3"]
    for character in (2, 3):
        client.delete(f"/galleries/{name}/identities/id-{character}")
    assert decisions(client, name, [0, 9]) == first


def test_a_finished_migration_cannot_be_gone_back_on_and_the_next_can_begin(client, name):
    enroll(client, name, 0)
    migrate(client, name)
    wait_for(client, name, "ready")
    assert problem(post(client, name, "finish")) == (409, "migration-conflict")
    post(client, name, "switch")

    gone = post(client, name, "finish")

    assert gone.status_code == 200
    assert wait_erased(client, gone.json()["receipt"])["complete"]
    for what in ("rollback", "switch", "finish"):
        assert problem(post(client, name, what)) == (404, "not-found")
    assert problem(client.get(f"/galleries/{name}/migration")) == (404, "not-found")
    assert migrate(client, name, comparator=OLD)["after"] == OLD
    wait_for(client, name, "ready")
    assert client.delete(f"/galleries/{name}/migration").status_code == 200
    assert decisions(client, name, [0])[0] == NEW


def test_a_migration_that_is_called_off_leaves_the_gallery_as_it_was(client, name):
    for character in range(5):
        enroll(client, name, character)
    before = decisions(client, name, range(6))
    migrate(client, name)

    assert client.delete(f"/galleries/{name}/migration").status_code == 200

    assert decisions(client, name, range(6)) == before
    assert problem(client.get(f"/galleries/{name}/migration")) == (404, "not-found")


def test_it_is_switched_by_itself_if_that_was_asked(client, name):
    for character in range(3):
        enroll(client, name, character)

    assert migrate(client, name, switch="auto")["switch"] == "auto"
    done = wait_for(client, name, "switched")

    assert done["agreement"]["strangers"] == 3
    until(lambda: decisions(client, name, [1])[0] == NEW)
    assert matched(client, name, range(3)) == ["id-0", "id-1", "id-2"]


def test_ready_embeddings_are_told_and_not_left_behind_unasked(client, name):
    enroll(client, name, 0)
    ready = {"embedding": embedding_of(client, OLD, 1).tolist()}
    body = {"gallery": name, "identity": "id-1", "files": [ready]}
    assert client.post("/enroll", json=body).status_code == 201

    migrate(client, name, switch="auto")
    told = wait_measured(client, name)
    refused = post(client, name, "switch")

    assert told["without_originals"] == {"count": 1, "identities": ["id-1"]}
    assert len(told["warnings"]) == 2
    assert problem(refused) == (409, "originals-missing")
    assert refused.json()["identities"] == ["id-1"]
    assert "leave_behind" in refused.json()["detail"]
    enroll(client, name, 1)  # another sample does not bring that one along
    assert problem(post(client, name, "switch")) == (409, "originals-missing")
    assert post(client, name, "switch", leave_behind=True).status_code == 200
    assert matched(client, name, range(2)) == ["id-0", "id-1"]
    assert len(client.get(f"/galleries/{name}/identities/id-1").json()["samples"]) == 1
    assert post(client, name, "rollback").status_code == 200
    assert len(client.get(f"/galleries/{name}/identities/id-1").json()["samples"]) == 2


def test_a_gallery_without_kept_samples_is_refused_with_who_is_in_it(client, name):
    make(client, f"{name}-plain", keep_samples=False)
    for character in range(3):
        enroll(client, f"{name}-plain", character)

    refused = client.post(f"/galleries/{name}-plain/migrate", json={"comparator": NEW})

    assert problem(refused) == (409, "originals-missing")
    assert refused.json()["identities"] == ["id-0", "id-1", "id-2"]
    assert "keep_samples" in refused.json()["detail"]
    assert problem(client.get(f"/galleries/{name}-plain/migration")) == (404, "not-found")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"comparator": OLD}, (422, "invalid-parameter")),
        ({"comparator": "tiny@3"}, (404, "not-found")),
        ({}, (422, "invalid-parameter")),
        ({"comparator": NEW, "switch": "now"}, (422, "invalid-parameter")),
        ({"comparator": NEW, "more": 1}, (422, "invalid-parameter")),
        ({"comparator": 2}, (422, "invalid-parameter")),
    ],
)
def test_what_no_migration_can_be_is_refused(client, name, body, expected):
    assert problem(client.post(f"/galleries/{name}/migrate", json=body)) == expected
    assert problem(client.post("/galleries/nowhere/migrate", json={"comparator": NEW}))[0] == 404


def test_a_comparator_of_another_modality_is_refused(client, name):
    [words] = [
        c["name"]
        for c in client.get("/comparators").json()["comparators"]
        if c["modalities"]["a"] == "text"
    ]

    refused = client.post(f"/galleries/{name}/migrate", json={"comparator": words})

    assert problem(refused) == (422, "model-mismatch")
    assert "text" in refused.json()["detail"]


def test_a_second_migration_and_a_switch_or_rollback_out_of_turn_are_refused(client, name):
    enroll(client, name, 0)
    for what in ("switch", "rollback", "finish"):
        assert problem(post(client, name, what)) == (404, "not-found")
    migrate(client, name)

    again = client.post(f"/galleries/{name}/migrate", json={"comparator": NEW})

    assert problem(again) == (409, "migration-conflict")
    wait_for(client, name, "ready")
    assert problem(post(client, name, "rollback")) == (409, "migration-conflict")
    post(client, name, "switch")
    assert problem(post(client, name, "switch")) == (409, "migration-conflict")


def test_own_strangers_stay_with_the_comparator_that_embedded_them(client, name):
    enroll(client, name, 0)
    strangers = [part(draw(100 + i, 0, 16)) for i in range(30)]
    assert client.post(f"/galleries/{name}/cohort", files=strangers).status_code == 201

    migrate(client, name)
    [warning] = wait_for(client, name, "ready")["warnings"]
    post(client, name, "switch")
    judged = client.get(f"/galleries/{name}").json()
    post(client, name, "rollback")

    assert "strangers" in warning
    assert (judged["cohort"], judged["cohort_identities"]) == ("bundle", 300)
    back = client.get(f"/galleries/{name}").json()
    assert (back["cohort"], back["cohort_identities"]) == ("gallery", 30)


@pytest.mark.slow
def test_a_comparator_that_cannot_embed_a_sample_leaves_it_to_be_told(start_service, versions):
    service = start_service(bundles=versions)
    with service.client() as client:
        make(client, "g")
        for character in range(2):
            enroll(client, "g", character)
    assert service.stop() == 0
    # What was in bounds when it was enrolled is not any more.
    with start_service(bundles=versions, max_pixels=200).client() as client:
        migrate(client, "g")
        told = wait_for(client, "g", "ready")

        assert told["without_originals"]["identities"] == ["id-0", "id-1"]
        assert problem(post(client, "g", "switch")) == (409, "originals-missing")


@pytest.mark.slow
def test_no_byte_of_a_forgotten_original_or_of_a_forgotten_comparator_is_left(
    start_service, versions
):
    def traces(content):
        return [content[at : at + 16] for at in range(33, len(content) - 16, 16)]

    service = start_service(bundles=versions)
    with service.client() as client:
        make(client, "g")
        for character in range(8):
            enroll(client, "g", character)
        migrate(client, "g")
        wait_for(client, "g", "ready")
        secret, other = draw(3, 0, 16), draw(4, 0, 16)
        by_both = [embedding_of(client, c, 3).tobytes() for c in (OLD, NEW)]
        wanted = [b"id-3", *traces(secret), *by_both]
        assert "store" in holding(service.data_dir, traces(secret))
        for embedding in by_both:
            assert "store" in holding(service.data_dir, [embedding])

        gone = client.delete("/galleries/g/identities/id-3").json()
        wait_erased(client, gone["receipt"])

        assert holding(service.data_dir, wanted) == set()
        assert "store" in holding(service.data_dir, traces(other))
        post(client, "g", "switch")
        old = embedding_of(client, OLD, 4).tobytes()
        assert "store" in holding(service.data_dir, [old])
        wait_erased(client, post(client, "g", "finish").json()["receipt"])
        assert holding(service.data_dir, [old]) == set()
        assert "store" in holding(service.data_dir, [embedding_of(client, NEW, 4).tobytes()])
    assert service.stop() == 0
    assert holding(service.data_dir, wanted) == set()


@pytest.mark.slow
def test_a_service_killed_amid_a_migration_goes_on_where_it_was(start_service, versions):
    count = 400
    service = start_service(bundles=versions)
    with service.client() as client:
        make(client, "g")
        enroll_many(client, "g", range(count))
        migrate(client, "g")
        until(lambda: 0 < status(client, "g")["done"] < count)
    service.kill9()

    service = start_service(bundles=versions)
    with service.client() as client:
        found = status(client, "g")
        assert found["state"] == "building"
        assert 0 < found["done"] < count
        enroll(client, "g", count)
        client.delete("/galleries/g/identities/id-0")
        assert wait_measured(client, "g")["agreement"]["trials"] == 200
        assert post(client, "g", "switch").status_code == 200
        service.kill9()

    with start_service(bundles=versions).client() as client:
        assert status(client, "g")["state"] == "switched"
        asked = range(20, count + 1, 20)
        said = matched(client, "g", asked)
        assert sum(found == f"id-{c}" for found, c in zip(said, asked, strict=True)) >= 15
        assert client.get("/galleries/g/identities/id-0").status_code == 404
        assert client.get("/galleries/g").json()["samples"] == count
        assert post(client, "g", "rollback").json()["in_force"] == OLD
        assert client.get("/galleries/g").json()["samples"] == count


@pytest.mark.slow
def test_every_service_follows_a_switch_and_no_answer_mixes_comparators(
    start_server, tmp_path, versions
):
    url = start_server(VALKEY).url
    services = [
        Service(tmp_path / f"var{i}", versions, redis_url=url).start().wait_ready()
        for i in range(2)
    ]
    first, second = (service.client() for service in services)
    try:
        make(first, "g")
        make(first, "new", NEW)
        for character in range(10):
            enroll(first, "g", character)
            enroll(first, "new", character)
        right = {
            OLD: decisions(first, "g", range(12))[1],
            NEW: decisions(first, "new", range(12))[1],
        }
        until(lambda: second.get("/galleries/g").json().get("samples") == 10)
        seen = []
        stop = threading.Event()

        def ask(service):
            with service.client() as client:
                while not stop.is_set():
                    seen.append(decisions(client, "g", range(12)))

        threads = [threading.Thread(target=ask, args=(service,)) for service in services]
        for thread in threads:
            thread.start()
        migrate(second, "g")
        wait_for(first, "g", "ready")
        version = post(first, "g", "switch").json()["version"]
        behind = second.post(
            "/identify",
            files=[part(draw(1, 9, 16))],
            data={"gallery": "g"},
            headers={"X-Min-Version": str(version)},
        )
        until(lambda: decisions(second, "g", [1])[0] == NEW)
        post(second, "g", "rollback")
        until(lambda: decisions(first, "g", [1])[0] == OLD)
        stop.set()
        for thread in threads:
            thread.join()

        assert behind.status_code == 200, behind.text
        assert behind.json()["comparator"] == NEW
        assert {comparator for comparator, _ in seen} == {OLD, NEW}
        for comparator, results in seen:
            assert results == right[comparator]
    finally:
        for each in (first, second):
            each.close()
        for service in services:
            service.stop()


@pytest.mark.slow
def test_under_load_no_request_fails_and_no_acknowledged_identity_is_lost(client, name):
    enroll_many(client, name, range(100))
    acknowledged, forgotten, statuses = [], [], Counter()
    stop = threading.Event()

    def write(worker, url):
        with httpx.Client(base_url=url, timeout=60) as mine:
            character = 1000 * worker
            while not stop.is_set():
                character += 1
                data = {"identity": f"id-{character}", "gallery": name}
                files = [part(draw(character, 0, 16))]
                answer = mine.post("/enroll", data=data, files=files)
                statuses[answer.status_code] += 1
                if answer.status_code == 201:
                    acknowledged.append(character)
                if character % 5 == 0:
                    answer = mine.delete(f"/galleries/{name}/identities/id-{character}")
                    statuses[answer.status_code] += 1
                    forgotten.append(character)

    threads = [threading.Thread(target=write, args=(w, str(client.base_url))) for w in (1, 2)]
    for thread in threads:
        thread.start()
    migrate(client, name)
    wait_for(client, name, "ready")
    assert post(client, name, "switch").status_code == 200
    time.sleep(0.5)
    assert post(client, name, "rollback").status_code == 200
    time.sleep(0.5)
    assert post(client, name, "switch").status_code == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert post(client, name, "finish").status_code == 200

    assert set(statuses) <= {200, 201}, statuses
    there = {f"id-{c}" for c in (*range(100), *acknowledged)} - {f"id-{c}" for c in forgotten}
    listed = client.get(f"/galleries/{name}").json()
    assert (listed["comparator"], listed["identities"], listed["samples"]) == (
        NEW,
        len(there),
        len(there),
    )
    kept = sorted(set(acknowledged) - set(forgotten))[-20:]
    said = matched(client, name, kept)
    assert sum(found == f"id-{c}" for found, c in zip(said, kept, strict=True)) >= 0.7 * len(kept)
