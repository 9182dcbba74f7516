"""SIGTERM: unready at once, served a while longer, then drained, and over in time."""

import http.client
import json
import signal
import socket
import time
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
