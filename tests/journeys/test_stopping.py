"""SIGTERM: unready at once, served a while longer, then drained, and over in time."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.overload import stuck_sockets
from benchmarks.rolling import roll
from tests.drawings import as_json, draw, part

LATE = 15.0  # seconds more that a busy machine may take


def until(condition, timeout=LATE):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def half_a_request(service):
    """Return a connection on which half of an `/embed` was sent, and the other half."""
    body = json.dumps({"files": [as_json(draw(1))]}).encode()
    link = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=LATE)
    link.putrequest("POST", "/embed")
    link.putheader("Content-Type", "application/json")
    link.putheader("Content-Length", str(len(body)))
    link.endheaders(body[:50])
    return link, body[50:]


def refuses_connections(service):
    where = urlsplit(service.url)
    try:
        socket.create_connection((where.hostname, where.port)).close()
    except OSError:
        return True
    return False


def test_for_a_while_it_says_that_it_is_not_ready_and_still_answers(start_service):
    service = start_service(drain_delay=4, drain_timeout=8)
    with service.client() as client:
        client.get("/health/live")

        service.signal(signal.SIGTERM)
        until(lambda: client.get("/health/ready").status_code == 503)

        assert client.get("/health/ready").json()["reasons"] == ["draining"]
        answer = client.post("/embed", files=[part(draw(1))])
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert httpx.get(f"{service.url}/health/live").status_code == 200

    assert service.wait(8 + LATE) == 0
    assert refuses_connections(service)


def test_what_is_in_flight_ends_and_nothing_new_begins(start_service):
    service = start_service()
    link, rest = half_a_request(service)
    with service.client() as client:
        until(lambda: 'waits_for="body"} 1.0' in client.get("/metrics").text)

    service.signal(signal.SIGTERM)
    until(lambda: refuses_connections(service))
    link.send(rest)

    assert link.getresponse().status == 200
    assert service.wait() == 0


def test_it_ends_in_time_although_sockets_are_stuck(start_service):
    service = start_service(drain_timeout=1)
    channels = stuck_sockets(service.url, 90)
    with service.client() as client:
        until(lambda: 'waits_for="body"} 30.0' in client.get("/metrics").text)

        service.signal(signal.SIGTERM)
        begun = time.monotonic()

        assert service.wait(1 + LATE) == 0
        assert time.monotonic() - begun < 1 + LATE
    for channel in channels:
        channel.close()


def test_who_is_cut_off_is_told(start_service):
    service = start_service(drain_timeout=1)
    link, _ = half_a_request(service)
    with service.client() as client:
        until(lambda: 'waits_for="body"} 1.0' in client.get("/metrics").text)

    service.signal(signal.SIGTERM)
    answer = link.getresponse()

    assert answer.status == 503
    assert json.loads(answer.read())["type"].endswith("#not-ready")
    assert service.wait() == 0
    assert '"defect"' not in service.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_ends_at_once_and_keeps_what_it_acknowledged(start_service, number):
    service = start_service(drain_timeout=600)
    with service.client() as client:
        answer = client.post("/enroll", data={"identity": "ada"}, files=[part(draw(1))])
        assert answer.status_code == 201
    link, _ = half_a_request(service)

    service.signal(signal.SIGTERM)
    until(lambda: refuses_connections(service))
    service.signal(number)

    assert service.wait(LATE) == 128 + number
    link.close()
    with start_service().client() as client:
        kept = client.get("/galleries/default/identities").json()["items"]
        assert [(one["identity"], len(one["samples"])) for one in kept] == [("ada", 1)]


@pytest.mark.slow
def test_no_request_fails_while_replicas_are_restarted_in_turn(tmp_path, bundles):
    found = roll(tmp_path, bundles, restarts=3)

    assert found.failures == {}
    assert found.lost == 0
    assert found.exits == {0: 3}
    assert found.acknowledged > 20


@pytest.mark.slow
def test_it_ends_in_time_although_no_memory_is_left(start_service, monkeypatch):
    """S2, S10."""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # or each thread would have 64 MiB put by
    for more in (0, 2**16, 2**18):
        service = start_service(drain_timeout=1)
        stopped = threading.Event()
        clients = [threading.Thread(target=ask_on, args=(service, stopped)) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.prlimit(service.process.pid, resource.RLIMIT_AS, (most, most))
        time.sleep(0.5)

        service.signal(signal.SIGTERM)

        assert service.wait(2 + LATE) == 0
        stopped.set()
        for client in clients:
            client.join()


def test_it_ends_in_time_although_its_event_loop_is_stuck():
    """S2, S12."""
    stuck = (
        "import threading, uvloop\n"
        "from service.serving import _end_at_signal\n"
        "async def serve():\n"
        "    _end_at_signal(0.5, lambda number: None)\n"
        "    print('stuck', flush=True)\n"
        "    threading.Event().wait()\n"
        "uvloop.run(serve())\n"
    )
    words = [sys.executable, "-c", stuck]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"stuck\n"

        process.send_signal(signal.SIGTERM)

        assert process.wait(LATE) == 0


def ask_on(service, stopped):
    """Enroll and embed until told to stop, whatever is answered."""
    while not stopped.is_set():
        with contextlib.suppress(httpx.TransportError), service.client() as client:
            client.post("/embed", files=[part(draw(1) + bytes(2**21))])
            client.post("/enroll", data={"identity": "ada"}, files=[part(draw(1))])
            client.post("/identify", files=[part(draw(2))])
