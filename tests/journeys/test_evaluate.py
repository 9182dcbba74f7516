"""Evaluate labelled samples, through HTTP: what comes back, and what never stays behind."""

import io
import os
import signal
import socket
import threading
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.drawings import draw, part, png
from tests.servers import free_port
from tests.services import Service

WAIT = 900  # seconds that an evaluation may take on a machine that others keep busy


@pytest.fixture(scope="module")
def service(tmp_path_factory, bundles):
    """One service for all evaluations that leave no trace."""
    data = tmp_path_factory.mktemp("evaluating") / "var"
    service = Service(data, bundles, evaluation_deadline=WAIT).start().wait_ready()
    yield service
    assert service.stop() == 0, service.log.read_text()


@pytest.fixture
def client(service):
    with httpx.Client(base_url=service.url, timeout=WAIT) as client:
        yield client


def labelled(identities=12, takes=4, first=0):
    """Return {name: PNG} of some characters."""
    return {
        f"c{character}/{take}.png": draw(character, take)
        for character in range(first, first + identities)
        for take in range(1, takes + 1)
    }


def parts(files):
    return [("files", (name, content, "image/png")) for name, content in files.items()]


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def evaluate(client, samples=None, status=200, **sent):
    answer = client.post("/evaluate", **(sent or {"files": parts(samples)}))
    assert answer.status_code == status, answer.text[:2000]
    return answer.json()


def evaluations():
    """Return the pids of all evaluation processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if b"service.children.confined" in words and state != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder under which this test's services keep what is temporary."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, condition
        time.sleep(0.02)
    return found


def children_of(service):
    """Return the evaluation processes that this service started."""
    return [
        pid
        for pid in evaluations()
        if f" {service.process.pid} ".encode()
        in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    ]


@pytest.fixture(scope="module")
def report(service):
    """The answer to 48 drawings, two of which cannot be read."""
    files = labelled()
    files |= {"c1/9.png": b"not an image", "c2/9.png": png(np.zeros((2, 100), np.uint8))}
    with httpx.Client(base_url=service.url, timeout=WAIT) as client:
        return evaluate(client, files=parts(files), data={"html": "true"})


@pytest.mark.slow
def test_figures_are_of_the_samples_that_were_sent(report):
    assert (report["samples"], report["identities"], report["comparator"]) == (48, 12, "tiny@1")
    pairs = report["report"]["pairs"]
    assert (pairs["genuine"], pairs["impostor"]) == (12 * 6, 48 * 47 // 2 - 12 * 6)
    assert pairs["auc"]["value"] > 0.95
    assert report["report"]["about"]["samples"] == 48
    assert report["seen"] == []
    assert report["gallery"] is report["applied"] is None
    assert {"encode", "evaluate"} <= report["timings_ms"].keys()


@pytest.mark.slow
def test_files_that_cannot_be_read_do_not_sink_the_others(report):
    failures = [(f["index"], f["problem"]["type"].partition("#")[2]) for f in report["failures"]]

    assert failures == [(48, "undecodable-input"), (49, "input-out-of-bounds")]
    (warning,) = report["warnings"]
    assert warning == "2 of 50 files could not be used"
    assert warning in report["html"]


@pytest.mark.slow
def test_the_page_shows_the_samples_that_are_most_easily_confused(report):
    confusion = report["report"]["confusions"]["genuine"][0]

    assert confusion["names"][0].startswith(f"{confusion['identities'][0]}/")
    assert confusion["pictures"][0] in report["html"]
    assert confusion["pictures"][0].startswith("data:image/png;base64,")


@pytest.mark.slow
def test_embeddings_of_a_comparator_say_what_its_samples_say(client, report):
    files = labelled()
    embedded = client.post("/embed", files=parts(files)).json()["embeddings"]
    sent = {
        "files": [{"embedding": embedding} for embedding in embedded],
        "identities": [name.split("/")[0] for name in files],
    }

    found = evaluate(client, json=sent)

    assert found["report"]["pairs"] == report["report"]["pairs"]
    assert found["html"] is None


@pytest.mark.slow
def test_a_zip_says_what_its_files_say_and_its_outer_folders_are_groups(client, report):
    files = {f"all/g{i // 24}/{name}": f for i, (name, f) in enumerate(labelled().items())}

    found = evaluate(client, files={"archive": packed(files)})

    assert found["identities"] == 12
    assert found["report"]["about"]["groups"] == 2
    for figure in ("genuine", "impostor", "det"):
        assert found["report"]["pairs"][figure] == report["report"]["pairs"][figure]


@pytest.mark.slow
def test_who_prefers_html_gets_one_page_that_no_name_can_write_into(client):
    files = [
        ("files", (f"c{i // 4}/<b id=planted>{i}.png", content, "image/png"))
        for i, content in enumerate(labelled().values())
    ]

    page = client.post("/evaluate", files=files, headers={"Accept": "text/html"})

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text.lower().startswith("<!doctype html>")
    for planted in ("<b id=planted>", "<script", 'src="http', 'href="http', "url(http", "@import"):
        assert planted not in page.text


@pytest.mark.slow
def test_three_identities_are_too_few_to_say_and_it_says_so(client):
    found = evaluate(client, labelled(identities=3, takes=3))

    assert found["report"]["open_set"]["rows"] == []
    assert found["report"]["open_set"]["too_few"]
    missed = {p["fmr"]: p["fnmr"] for p in found["report"]["pairs"]["operating_points"]}
    assert missed[0.001]["value"] is None
    assert missed[0.001]["too_few"].startswith("3 identities")


@pytest.mark.parametrize(
    ("sent", "status", "problem"),
    [
        ({"files": parts({"c1/1.png": b"nonsense"})}, 422, "undecodable-input"),
        ({"files": parts({"1.png": draw(1)})}, 422, "invalid-parameter"),
        ({"files": {"archive": b"nonsense"}}, 400, "malformed-body"),
        ({"files": {"archive": b"PK\x05\x06" + bytes(18)}}, 422, "invalid-parameter"),
        ({"files": {"archive": packed({"../1.png": b"x"})}}, 422, "invalid-parameter"),
        ({"files": {"archive": packed({"a/1": packed({"b": b""})})}}, 422, "invalid-parameter"),
        ({"json": {"files": [], "identities": []}}, 422, "invalid-parameter"),
        ({"json": {"files": [{"embedding": [1.0]}], "identities": ["a"]}}, 422, None),
        ({"json": {"identities": ["a"]}}, 422, "invalid-parameter"),
        ({"files": parts(labelled(2, 2)), "data": {"apply": "true"}}, 422, "invalid-parameter"),
        ({"files": parts(labelled(2, 2)), "data": {"gallery": "nobody's"}}, 422, None),
        ({"files": parts(labelled(2, 2)), "data": {"gallery": "none"}}, 404, "not-found"),
        ({"files": parts(labelled(2, 2)), "data": {"comparator": "none"}}, 404, "not-found"),
        ({"files": parts(labelled(2, 2)), "data": {"seed": "-1"}}, 422, "invalid-parameter"),
        ({"content": b"x"}, 415, "unsupported-media"),
    ],
)
def test_nonsense_is_refused_with_the_reason(client, sent, status, problem):
    answer = client.post("/evaluate", **sent)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if problem:
        assert answer.json()["type"].endswith(f"#{problem}")


@pytest.mark.slow
def test_a_gallery_tells_whom_it_knows_and_too_few_strangers_change_nothing(client):
    client.post("/galleries", json={"name": "few"})
    files = labelled()
    known = {name: content for name, content in files.items() if name.startswith("c3/")}
    sent = {"data": {"identity": "Ada", "gallery": "few"}, "files": parts(known)}
    assert client.post("/enroll", **sent).status_code == 201
    before = client.get("/galleries/few").json()

    found = evaluate(client, files=parts(files), data={"gallery": "few", "apply": "true"})

    assert {(s["name"], s["enrolled_as"]) for s in found["seen"]} == {(n, "Ada") for n in known}
    assert {s["index"] for s in found["seen"]} == {12, 13, 14, 15}
    (left_out,) = found["applied"]["left_out"]
    assert left_out == {"identity": "c3", "enrolled_as": "Ada", "reason": "sample-enrolled"}
    assert found["applied"]["version"] is None
    assert "11 strangers" in found["applied"]["reason"]
    assert found["warnings"][0].startswith("4 of 48 samples are enrolled")
    assert found["warnings"][-1].startswith("nothing was applied")
    assert client.get("/galleries/few").json() == before


@pytest.mark.slow
def test_nothing_stays_behind_when_the_client_leaves(start_service, temporary):
    service = start_service()
    body = packed(labelled(identities=40, takes=6))
    request = httpx.Request("POST", f"{service.url}/evaluate", files={"archive": body})
    head = "\r\n".join(f"{k.decode()}: {v.decode()}" for k, v in request.headers.raw)
    with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2]))) as channel:
        channel.sendall(f"POST /evaluate HTTP/1.1\r\n{head}\r\n\r\n".encode() + request.read())
        (child,) = wait_for(lambda: children_of(service))
        assert list(temporary.iterdir())
        wait_for(lambda: os.getpriority(os.PRIO_PROCESS, child) == 3)

    wait_for(lambda: not children_of(service))
    wait_for(lambda: not list(temporary.iterdir()))
    metrics = httpx.get(f"{service.url}/metrics").text
    assert 'kindred_evaluations_total{outcome="abandoned"} 1.0' in metrics
    assert "kindred_evaluations_in_progress 0.0" in metrics
    assert '"level": "error"' not in service.log.read_text()


def sent_in_background(service, files):
    """Send an evaluation, and return where its answer or error will be."""
    came = []

    def send():
        try:
            with httpx.Client(base_url=service.url, timeout=WAIT) as client:
                came.append(client.post("/evaluate", files=parts(files)))
        except httpx.HTTPError as error:
            came.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread, came


@pytest.mark.slow
def test_a_killed_service_leaves_no_orphan_and_the_next_no_folder(start_service, temporary):
    service = start_service()
    thread, _ = sent_in_background(service, labelled(identities=40, takes=6))
    (child,) = wait_for(lambda: children_of(service))

    service.kill9()

    wait_for(lambda: child not in evaluations(), seconds=5)
    thread.join(10)
    assert list(temporary.iterdir())  # nobody was left to remove it
    start_service(data_dir=service.data_dir.with_name("next"))
    assert not list(temporary.iterdir())


@pytest.mark.slow
def test_an_evaluation_ends_with_its_deadline(start_service, temporary):
    service = start_service(evaluation_deadline=4, request_deadline=1)

    with service.client() as client:
        answer = evaluate(client, labelled(identities=60, takes=8), status=504)

    assert answer["type"].endswith("#deadline-exceeded")
    assert "within 4 s" in answer["detail"]
    wait_for(lambda: not children_of(service), seconds=5)
    wait_for(lambda: not list(temporary.iterdir()), seconds=5)


@pytest.mark.slow
def test_an_evaluation_ends_with_the_service(start_service, temporary):
    service = start_service(drain_timeout=1)
    thread, _ = sent_in_background(service, labelled(identities=60, takes=8))
    wait_for(lambda: children_of(service))

    service.signal(signal.SIGTERM)

    assert service.wait(20) == 0
    assert not children_of(service)
    assert not list(temporary.iterdir())
    thread.join(10)


@pytest.mark.slow
def test_a_second_evaluation_waits_a_third_is_refused_and_others_are_answered(start_service):
    service = start_service(evaluations=1, evaluations_waiting=1, evaluation_deadline=WAIT)
    first, one = sent_in_background(service, labelled())
    wait_for(lambda: children_of(service))
    second, two = sent_in_background(service, labelled(first=20))
    in_progress = "kindred_evaluations_in_progress 2.0"
    wait_for(lambda: in_progress in httpx.get(f"{service.url}/metrics").text)

    third = httpx.post(f"{service.url}/evaluate", files=parts(labelled()), timeout=WAIT)

    assert third.status_code == 503
    assert third.json()["type"].endswith("#overloaded")
    assert int(third.headers["retry-after"]) > 1
    with service.client() as client:
        while first.is_alive() or second.is_alive():
            assert client.post("/embed", files=[part(draw(1))]).status_code == 200
            assert len(children_of(service)) <= 1
            time.sleep(0.2)
    assert [one[0].status_code, two[0].status_code] == [200, 200]
    metrics = httpx.get(f"{service.url}/metrics").text
    assert 'kindred_evaluations_total{outcome="done"} 2.0' in metrics
    assert 'kindred_evaluations_total{outcome="refused"} 1.0' in metrics


@pytest.mark.slow
def test_an_evaluation_that_wants_too_much_memory_is_refused_and_the_service_lives(start_service):
    service = start_service(evaluation_memory=600 * 2**20)

    with service.client() as client:
        answer = evaluate(client, labelled(), status=413)

        assert answer["type"].endswith("#too-large")
        assert client.get("/health/live").status_code == 200


def enrolled(client, gallery, people, first):
    for person in range(first, first + people):
        files = [part(draw(person, take)) for take in (1, 2)]
        data = {"identity": f"id-{person}", "gallery": gallery}
        assert client.post("/enroll", data=data, files=files).status_code == 201


def decisions(client, gallery):
    """Return what the gallery says of acquaintances and strangers, but for the time it took."""
    probes = [part(draw(person, 9)) for person in (500, 501, 900, 901)]
    answer = client.post("/identify", data={"gallery": gallery}, files=probes)
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name != "timings_ms"}


@pytest.mark.slow
def test_applied_strangers_judge_from_then_on_here_there_and_after_a_restart(
    start_server, start_service, tmp_path
):
    start_server(port=(port := free_port()))
    shared = {"redis_url": f"redis://127.0.0.1:{port}"}
    service = start_service(**shared, evaluation_deadline=WAIT)
    elsewhere = start_service(**shared, data_dir=tmp_path / "elsewhere")
    with httpx.Client(base_url=service.url, timeout=WAIT) as client:
        after = apply_and_decide(client)

    service.kill9()
    again = start_service(**shared)

    for other in (again, elsewhere):
        with other.client() as client:
            wait_for(lambda: client.get("/galleries/staff").json()["version"] == 7)
            assert decisions(client, "staff") == after


def apply_and_decide(client):
    """Apply 40 strangers and two acquaintances to a gallery, and return what it then says."""
    client.post("/galleries", json={"name": "staff"})
    enrolled(client, "staff", people=6, first=500)
    before = decisions(client, "staff")
    files = labelled(identities=40, takes=4)
    files |= {f"id-500/{take}.png": draw(500, take + 20) for take in range(4)}  # by name
    files |= {f"x/{take}.png": draw(501, take + 20) for take in range(4)}  # by looks

    found = evaluate(client, files=parts(files), data={"gallery": "staff", "apply": "true"})

    applied = found["applied"]
    assert {known["identity"]: known["reason"] for known in applied["left_out"]} == {
        "id-500": "enrolled-under-that-name",
        "x": "nearer-than-any-stranger",
    }
    assert applied["cohort_identities"] == 40
    assert (applied["version"], applied["calibrated"]) == (7, True)
    after = decisions(client, "staff")
    assert {result["posterior"] for result in before["results"]} == {None}  # the bundle has none
    assert all(0 <= result["posterior"] <= 1 for result in after["results"])
    evidence = [result["evidence"] for result in after["results"]]
    assert {(e["source"], e["cohort_identities"]) for e in evidence} == {("gallery", 40)}
    assert client.get("/galleries/staff").json()["cohort"] == "gallery"
    return after
