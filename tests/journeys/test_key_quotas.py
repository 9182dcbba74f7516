"""What a key may ask for, and how it is told that it has."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.drawings import as_json, draw, part
from tests.keys import bearing, entry, write
from tests.services import Service

ENROLLED = [draw(100, take) for take in range(2)]


@pytest.fixture(scope="module")
def service(tmp_path_factory, bundles):
    folder = tmp_path_factory.mktemp("quotas")
    keys = write(
        folder / "keys.toml",
        entry("root", "administer"),
        entry("slow", "read", requests_per_second=0.01, burst=3),
        entry("single", "enroll", concurrent_requests=1),
        entry("small", "read", bytes_per_day=20_000),
        entry("few", "enroll", samples_per_gallery=4),
        entry("door", "decide", "door-*", "default"),
        entry("pairs", "decide"),
        entry("kiosk", "decide", probes_per_identity=0),
        entry("careful", "read", probes_per_identity=2),
    )
    service = Service(folder / "var", bundles, keys_file=keys)
    try:
        yield service.start().wait_ready()
    finally:
        service.stop()


@pytest.fixture(scope="module")
def ask(service):
    names = ("root", "slow", "single", "small", "few", "door", "pairs", "kiosk", "careful")
    clients = {name: service.client(headers=bearing(name)) for name in names}
    yield clients.__getitem__
    for client in clients.values():
        client.close()


@pytest.fixture
def gallery(ask, request):
    """A gallery with one identity, in scope of the door."""
    name = f"door-{abs(hash(request.node.name)) % 10**9}"
    assert ask("root").post("/galleries", json={"name": name}).status_code == 201
    fields = {"gallery": name, "identity": "somebody"}
    answer = ask("root").post("/enroll", data=fields, files=[part(d) for d in ENROLLED])
    assert answer.status_code == 201
    return name


def assert_exceeded(answer, *words):
    assert answer.status_code == 429, answer.text
    problem = answer.json()
    assert problem["type"] == "/docs/problems.md#quota-exceeded"
    assert int(answer.headers["retry-after"]) >= 1
    for word in words:
        assert word in problem["detail"]


def identify(client, gallery, *drawings):
    files = [part(drawing) for drawing in drawings]
    return client.post("/identify", data={"gallery": gallery}, files=files)


def test_a_burst_passes_and_the_next_waits_and_no_other_key_does(ask):
    assert [ask("slow").get("/").status_code for _ in range(3)] == [200] * 3

    assert_exceeded(ask("slow").get("/"), "0.01 requests of a key a second")

    assert ask("root").get("/").status_code == 200


def test_health_is_answered_whatever_a_key_has_asked_for(ask):
    for _ in range(5):
        assert ask("slow").get("/health/ready").status_code == 200


def test_bytes_are_refused_by_what_is_announced(ask):
    embed = ask("small").post("/embed", json={"files": [as_json(draw(1))]})
    assert embed.status_code == 200

    assert_exceeded(ask("small").post("/embed", content=b"x" * 20_000), "20000 bytes")

    assert ask("small").get("/").status_code == 200


def test_requests_at_a_time_are_bounded_and_begin_again_when_one_ends(ask, gallery):
    line = json.dumps({"identity": "x", **as_json(draw(1))}).encode() + b"\n"

    def lines():
        yield line
        refused.wait(60)
        yield line

    refused = Event()
    with ThreadPoolExecutor(1) as pool:
        path = f"/enroll/bulk?gallery={gallery}"
        bulk = pool.submit(lambda: ask("single").post(path, content=lines()))
        answer = ask("root").get("/")
        while answer.status_code != 429 and not bulk.done():
            answer = ask("single").get("/")
        refused.set()
        assert bulk.result().text.count("outcome") == 2

    assert_exceeded(answer, "1 requests of a key at a time")
    assert ask("single").get("/").status_code == 200


def test_a_gallery_takes_no_more_samples_than_the_key_may_put_there(ask, gallery):
    def enroll(*characters):
        fields = {"gallery": gallery, "identity": "other"}
        return ask("few").post("/enroll", data=fields, files=[part(draw(c)) for c in characters])

    assert_exceeded(enroll(1, 2, 3), "4 samples")
    assert enroll(1, 2).status_code == 201
    assert_exceeded(enroll(3))
    line = json.dumps({"identity": "x", **as_json(draw(4))}).encode()
    bulk = ask("few").post(f"/enroll/bulk?gallery={gallery}", content=line).json()
    assert bulk["problem"]["status"] == 429
    assert ask("root").get(f"/galleries/{gallery}").json()["samples"] == 4


def test_uncertain_answers_about_one_identity_end_and_a_repeated_question_does_not(ask, gallery):
    strangers = [draw(i) for i in range(30)]
    answers = [identify(ask("door"), gallery, stranger) for stranger in strangers[:10]]
    assert {answer.status_code for answer in answers} == {200}

    assert_exceeded(identify(ask("door"), gallery, strangers[10]), "10 probes a day")

    assert identify(ask("door"), gallery, strangers[3]).status_code == 200
    assert identify(ask("door"), gallery, draw(100, 9)).json()["results"][0]["band"] == "certain"
    assert identify(ask("root"), gallery, strangers[10]).status_code == 200


def test_who_goes_on_is_refused_in_that_gallery_altogether(ask, gallery):
    statuses = [identify(ask("door"), gallery, draw(i)).status_code for i in range(20)]
    assert statuses == [200] * 10 + [429] * 10

    assert_exceeded(identify(ask("door"), gallery, draw(100, 9)))

    assert ask("door").post("/identify", files=[part(draw(1))]).status_code == 200


def test_of_many_probes_those_beyond_the_quota_fail_and_the_others_are_answered(ask, gallery):
    drawings = [draw(100, 9), *(draw(i) for i in range(13)), draw(100, 8)]

    answer = identify(ask("door"), gallery, *drawings).json()

    assert [result["index"] for result in answer["results"]] == [*range(11), 14]
    assert [failure["index"] for failure in answer["failures"]] == [11, 12, 13]
    assert {failure["problem"]["status"] for failure in answer["failures"]} == {429}


def test_all_keys_together_have_the_quota_of_an_identity(ask, gallery):
    for i in range(10):
        assert identify(ask("door"), gallery, draw(i)).status_code == 200

    assert_exceeded(identify(ask("pairs"), gallery, draw(11)))
    assert_exceeded(identify(ask("careful"), gallery, draw(11)), "2 probes")


def test_a_key_that_says_so_has_no_such_quota(ask, gallery):
    assert all(identify(ask("kiosk"), gallery, draw(i)).status_code == 200 for i in range(40))


def test_a_pair_counts_for_both_of_its_samples(ask):
    def verify(a, b, **fields):
        files = [part(draw(a), "a"), part(draw(b), "b")]
        return ask("pairs").post("/verify", data=fields, files=files)

    assert [verify(i, 70).status_code for i in range(10)] == [200] * 10

    assert_exceeded(verify(11, 70))
    assert_exceeded(verify(70, 11))
    assert_exceeded(verify(1, 70, target_fmr=0.1))
    assert verify(1, 70).status_code == 200
    assert verify(11, 12).status_code == 200
