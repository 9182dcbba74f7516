"""More than can be served: some get in, the others are told at once, and all else goes on."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from benchmarks.clients import Clients, get, post
from benchmarks.overload import ALWAYS, at_random
from service.edge.admission import STANDING
from service.edge.entrance import FEWEST
from tests.drawings import draw, part
from tests.refusals import assert_refused
from tests.servers import free_port
from tests.services import ROOT

LATE = 20.0  # seconds that a busy machine may take
PLACES = FEWEST


@pytest.fixture
def on_one_core(start_service):
    """Start a service that has one core."""

    def start(**settings):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})  # the service inherits it
        try:
            return start_service(**settings)
        finally:
            os.sched_setaffinity(0, cores)

    return start


def metric(service, name):
    lines = httpx.get(f"{service.url}/metrics", timeout=LATE).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


def until(condition, timeout=LATE):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_more_than_can_be_done_is_refused_at_once_and_the_rest_is_done(on_one_core):
    service = on_one_core(max_wait=0.01)
    clients = Clients(service.url)

    clients.closed_loop("/embed", post("/embed", "files"), 60, 3.0)
    clients.run(iter([(0.0, path, get(path)) for path in ALWAYS]))
    clients.close()

    statuses = Counter(a.status for a in clients.answers if a.path not in ALWAYS)
    assert set(statuses) == {200, 503}
    assert min(statuses.values()) > 20
    took = {s: [a.seconds for a in clients.answers if a.status == s] for s in (200, 503)}
    assert np.median(took[503]) < np.median(took[200])
    until(lambda: metric(service, "kindred_admission_requests") == 0)
    until(lambda: metric(service, 'kindred_problems_total{type="overloaded"}') == statuses[503])


def test_in_an_open_loop_none_fails_and_the_always_answered_are_answered(on_one_core):
    service = on_one_core(max_wait=0.01)
    clients, rng = Clients(service.url), np.random.default_rng(0)
    request = post("/embed", "files")

    arrivals = [*at_random(rng, 600, 3.0, "/embed", request)]
    arrivals += [(i / 10, path, get(path)) for path in ALWAYS for i in range(30)]
    clients.run(iter(sorted(arrivals, key=lambda arrival: arrival[0])))
    clients.close()

    statuses = {path: Counter() for path in (*ALWAYS, "/embed")}
    for answer in clients.answers:
        statuses[answer.path][answer.status] += 1
    assert set(statuses["/embed"]) <= {200, 503}
    assert all(statuses[path] == {200: 30} for path in ALWAYS)


@pytest.fixture
def slow(on_one_core, tmp_path, monkeypatch):
    """A service that takes seconds to decode what is called slow."""
    planted = tmp_path / "slow"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(planted))
    return on_one_core(max_wait=0.001, decoders=2, decode_seconds=30)


def taken(service, samples=1):
    """Take all places of a service, for some seconds, each with so many samples."""
    links = []
    for _ in range(PLACES):
        link = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=LATE)
        link.request("POST", "/embed", *_multipart(*[b"slow"] * samples))
        links.append(link)
    until(lambda: metric(service, "kindred_admission_requests") == PLACES)
    return links


@pytest.fixture
def full(slow):
    """A service all of whose places are taken, for some seconds."""
    links = taken(slow)
    time.sleep(2 * STANDING)  # or the next would be taken for the rest of a burst
    yield slow, links
    for link in links:
        link.close()


SLOW = """
import sys
if "service.embedding.decoder" in sys.argv or "service.embedding.decoder" in sys.orig_argv:
    import time
    import models_store.preparation as preparation
    original = preparation.preparation

    def slowed(*arguments):
        prepare = original(*arguments)

        def prepared(content):
            if content.startswith(b"slow"):
                time.sleep(4)
            return prepare(content)

        return prepared

    preparation.preparation = slowed
"""


def _multipart(*contents):
    request = httpx.Request("POST", "http://x", files=[part(content) for content in contents])
    return request.read(), {"Content-Type": request.headers["content-type"]}


def test_a_refusal_comes_before_the_body_and_is_a_problem_like_any(full):
    service, _ = full

    link = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=LATE)
    link.putrequest("POST", "/embed")
    link.putheader("X-Request-Id", "mine")
    link.putheader("Content-Length", "1000000")
    link.endheaders()  # and nothing of the body
    answer = link.getresponse()

    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["connection"] == "close"
    whole = httpx.Response(answer.status, headers=answer.headers.items(), content=answer.read())
    assert_refused(whole, 503, "overloaded")
    link.close()


def test_a_short_request_is_refused_on_a_connection_that_goes_on(full):
    service, _ = full

    with service.client() as client:
        for _ in range(3):
            answer = client.post("/embed", files=[part(draw(1))])
            assert_refused(answer, 503, "overloaded")
            assert "connection" not in answer.headers
            assert client.get("/galleries").status_code == 200
        for path in ALWAYS:
            assert client.get(path).status_code == 200


def test_while_hundreds_of_slow_samples_wait_it_is_told_that_the_process_lives(slow):
    """S5."""
    links = taken(slow, samples=13)  # over 200 in all

    with slow.client() as client:
        for _ in range(20):
            assert client.get("/health/live").status_code == 200

    assert metric(slow, "kindred_admission_requests") == PLACES
    for link in links:
        link.close()


def test_work_of_clients_who_left_is_dropped_and_makes_room(full):
    service, links = full
    before = metric(service, "kindred_samples_embedded_total")

    for link in links:
        link.close()

    until(lambda: metric(service, "kindred_admission_requests") == 0)
    until(lambda: httpx.post(f"{service.url}/embed", files=[part(draw(1))]).is_success)
    assert metric(service, "kindred_samples_embedded_total") == before + 1
    assert '"defect"' not in service.log.read_text()


@pytest.mark.slow
def test_many_clients_who_leave_leave_nothing_behind(on_one_core):
    service = on_one_core(max_wait=1000.0)
    request = post("/embed", *["files"] * 20)

    for _ in range(5):
        clients = Clients(service.url)
        for _ in range(40):
            clients.send("/embed", request, time.perf_counter())
        clients.close()

    until(lambda: metric(service, "kindred_admission_requests") == 0, 60)
    until(lambda: metric(service, "kindred_queue_depth") == 0)
    until(lambda: metric(service, 'kindred_connections{waits_for="nothing"}') <= 1)
    assert metric(service, "kindred_samples_embedded_total") < 0.8 * 20 * 200
    assert httpx.post(f"{service.url}/embed", files=[part(draw(1))], timeout=LATE).is_success


@pytest.mark.slow
def test_a_log_that_nobody_reads_stops_no_request(tmp_path, bundles):
    """S14."""
    port = free_port()
    ours, theirs = os.pipe()
    environment = os.environ | {
        "KINDRED_PORT": str(port),
        "KINDRED_DATA_DIR": str(tmp_path / "var"),
        "KINDRED_MODELS_STORE": str(bundles),
        "KINDRED_DRAIN_DELAY": "0",
    }
    words = [sys.executable, "-m", "service"]
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=theirs)
    os.close(theirs)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LATE) as client:
            until(lambda: _ready(client), 60)
            for _ in range(6000):  # 200 bytes and more each, and the pipe takes 2**20
                assert client.get("/health/live").status_code == 200
            until(lambda: "log_lines_dropped_total 0.0" not in client.get("/metrics").text)
        process.terminate()
        assert process.wait(LATE) == 0
        with os.fdopen(ours, "rb") as log:
            assert all(json.loads(line) for line in log)
    finally:
        process.kill()
        process.wait()


def _ready(client):
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
