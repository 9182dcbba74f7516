"""Clients that take their time: each step has a bound, and the honest ones notice nothing."""

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from tests.drawings import as_json, draw, part
from tests.refusals import MOST_BYTES, assert_refused
from tests.services import Service

IDLE, HEAD, BODY, SEND, MOST, LONG = 2.0, 1.5, 3.0, 2.5, 60, 4
LATE = 20.0  # seconds more that a busy machine may take
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory, bundles):
    """A service that waits a shorter time for everything."""
    service = Service(
        tmp_path_factory.mktemp("strict") / "var",
        bundles,
        keep_alive=IDLE,
        head_timeout=HEAD,
        body_timeout=BODY,
        send_timeout=SEND,
        max_connections=MOST,
        long_requests=LONG,
    )
    yield service.start().wait_ready()
    assert service.stop() == 0, service.log.read_text()
    assert '"defect"' not in service.log.read_text()


def connect(service):
    where = urlsplit(service.url)
    channel = socket.create_connection((where.hostname, where.port))
    channel.settimeout(LATE)
    return channel


def until_closed(channel):
    """Return all that comes, and the seconds until the end of it."""
    begun, got = time.monotonic(), b""
    while data := channel.recv(65536):
        got += data
    return got, time.monotonic() - begun


def ended(service, reason):
    name = f'kindred_connections_ended_total{{reason="{reason}"}}'
    lines = httpx.get(f"{service.url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


def problem(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["type"].partition("#")[2]


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"])
def test_a_connection_without_a_request_is_closed(strict, before):
    """H9."""
    with connect(strict) as channel:
        channel.sendall(before)
        got, seconds = until_closed(channel)

    assert got.count(b"HTTP/1.1") == bool(before)
    assert IDLE - 0.1 < seconds < IDLE + LATE


def test_half_a_head_is_refused_however_steadily_it_trickles(strict):
    """H10."""
    with connect(strict) as channel:
        channel.settimeout(0.2)
        channel.sendall(GET + b"X-Long: ")
        begun, got = time.monotonic(), b""
        while not got and time.monotonic() < begun + LATE:
            channel.sendall(b"y")
            try:
                got = channel.recv(65536)
            except TimeoutError:
                continue

    assert problem(got) == (408, "receive-timeout")
    assert time.monotonic() - begun > HEAD - 0.1


@pytest.mark.parametrize("length", [1000, 10**6])
def test_a_body_that_trickles_is_refused(strict, length):
    """H11."""
    with connect(strict) as channel:
        channel.sendall(POST + b"Content-Length: %d\r\n\r\n" % length)
        channel.settimeout(0.3)
        begun, got = time.monotonic(), b""
        while not got and time.monotonic() < begun + LATE:
            channel.sendall(b" ")
            try:
                got = channel.recv(65536)
            except TimeoutError:
                continue
        seconds = time.monotonic() - begun
        channel.settimeout(LATE)
        got += until_closed(channel)[0]

    assert problem(got) == (408, "receive-timeout")
    assert b"\r\nconnection: close\r\n" in got
    assert seconds > BODY - 0.1


def test_a_body_that_comes_slowly_and_steadily_is_taken(strict):
    body = json.dumps({"files": [as_json(draw(1))], "side": "a"}).encode() + b" " * 12_000
    pieces = [body[i : i + 2000] for i in range(0, len(body), 2000)]

    with connect(strict) as channel:
        channel.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        for piece in pieces:
            time.sleep(1.5 * BODY / len(pieces))
            channel.sendall(piece)
        got, _ = until_closed(channel)

    assert got.startswith(b"HTTP/1.1 200"), got


def test_an_answer_that_nobody_reads_costs_little_and_is_given_up(strict):
    """H12."""
    before = ended(strict, "unread")
    status = Path(f"/proc/{strict.process.pid}/status")

    def resident():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    taken, memory = 0, resident()
    with connect(strict) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        channel.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 800)
        until = time.monotonic() + LATE
        while ended(strict, "unread") == before:
            assert time.monotonic() < until
            taken = max(taken, resident() - memory)
            time.sleep(0.1)

    assert taken < MOST_BYTES


def test_a_body_that_is_too_long_is_refused_before_it_is_asked_for(strict):
    """H18."""
    with connect(strict) as channel:
        channel.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n")
        got, _ = until_closed(channel)

    assert problem(got) == (413, "too-large")
    assert b"100 Continue" not in got


def test_a_client_that_sends_on_reads_why_it_was_refused(strict):
    """The answer is not lost in a reset, although megabytes are under way."""
    body = b"x" * (8 * 2**20)

    with connect(strict) as channel:
        channel.sendall(
            POST.replace(b"/embed", b"/nowhere") + b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert channel.recv(10, socket.MSG_PEEK) == b"HTTP/1.1 4"
        channel.sendall(body)
        got, _ = until_closed(channel)

    assert problem(got) == (404, "not-found")
    assert b"\r\nconnection: close\r\n" in got


def test_after_a_refusal_of_a_short_body_the_connection_goes_on(strict):
    with strict.client() as client:
        for _ in range(3):
            answer = client.post("/nowhere", content=b"x" * 1000)
            assert_refused(answer, 404, "not-found")
            assert "connection" not in answer.headers
            assert client.post("/embed", files=[part(draw(1))]).is_success


@pytest.mark.parametrize("sent", [b"", b"GET / HT", POST + b"Content-Length: 99\r\n\r\n{"])
def test_stuck_sockets_make_room_for_honest_clients(strict, sent):
    """Ten times as many as there is room for, and nobody else notices."""
    before = ended(strict, "crowded")

    with ExitStack() as stack:
        for _ in range(10 * MOST):
            channel = stack.enter_context(connect(strict))
            channel.sendall(sent)
        statuses = [
            httpx.post(f"{strict.url}/embed", files=[part(draw(1))]).status_code for _ in range(20)
        ]

    assert statuses == [200] * 20
    assert ended(strict, "crowded") > before


def test_many_who_ask_are_all_answered_although_they_stay(strict):
    """Connections that are kept without a request make room, and none that asks is refused."""
    with ExitStack() as stack:
        channels = [stack.enter_context(connect(strict)) for _ in range(MOST // 2)]
        for channel in channels:
            channel.sendall(GET + b"\r\n")

        assert all(channel.recv(8) == b"HTTP/1.1" for channel in channels)


@pytest.mark.parametrize("path", [b"/cluster", b"/enroll/bulk", b"/evaluate"])
def test_half_a_body_keeps_nobody_out_of_long_work(strict, path):
    with ExitStack() as stack:
        for _ in range(3 * LONG):
            channel = stack.enter_context(connect(strict))
            channel.sendall(POST.replace(b"/embed", path) + b'Content-Length: 100000\r\n\r\n{"a"')

        answers = [httpx.get(f"{strict.url}/galleries/default/health") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200] * 5


@pytest.mark.parametrize(
    "target",
    [b"/enroll/bulk", b"/enroll/bul%6b", b"http://localhost/enroll/bulk", b"/enroll/bulk#x"],
)
def test_however_a_path_is_spelled_it_finds_the_places_taken(strict, target):
    lines = POST.replace(b"/embed", b"/enroll/bulk").replace(b"json", b"x-ndjson")
    late = lines.replace(b"/enroll/bulk", target) + b"Connection: close\r\n"
    with ExitStack() as stack:
        coming = [stack.enter_context(connect(strict)) for _ in range(LONG)]
        for channel in coming:
            channel.sendall(lines + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(20):  # on a busy machine a second may pass before they are read
            for channel in coming:
                channel.sendall(b" " * 4096)
            with connect(strict) as channel:
                channel.sendall(late + b"Content-Length: 4\r\n\r\n{}\r\n")
                got, _ = until_closed(channel)
            if b" 503 " in got:
                break

    assert problem(got) == (503, "overloaded")


def test_what_is_no_request_behind_one_takes_nothing_from_its_answer(strict):
    with connect(strict) as channel:
        channel.sendall(GET + b"\r\n" + b"no request\r\n\r\n")
        answer, _ = until_closed(channel)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_that_come_in_one_go_are_answered_in_order_whatever_they_are(strict):
    bad = POST.replace(b"/embed", b"/nowhere") + b"Content-Length: 3\r\n\r\nabc"
    good = GET + b"\r\n"
    last = GET + b"Connection: close\r\n\r\n"

    with connect(strict) as channel:
        channel.sendall((bad + good) * 20 + last)
        got, _ = until_closed(channel)

    statuses = [int(piece[:3]) for piece in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [404, 200] * 20 + [200]


@pytest.mark.slow
def test_500_stuck_sockets_with_default_settings_are_closed_and_harm_nobody(start_service):
    from benchmarks.overload import beside_stuck

    service = start_service()

    found = beside_stuck(service.url, 10.0, 16.0, "/embed", 500, 0)

    assert found.honest > 50
    assert found.succeeded == found.honest
    assert found.closed_after_s is not None
    assert np.isfinite(found.honest_p99_ms)


def test_an_answer_is_written_at_once_and_a_stream_line_by_line(strict):
    channel = connect(strict)

    answers = []
    for _ in range(20):
        channel.sendall(GET + b"\r\n")
        answers.append(channel.recv(65536))
    channel.sendall(
        b"POST /enroll/bulk HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    line = b'{"identity": ""}\n'
    channel.sendall(b"%x\r\n%s\r\n" % (len(line), line))
    streamed = b""
    while b"}\n" not in streamed:  # while the request goes on
        streamed += channel.recv(65536)

    assert all(answer.endswith(b'{"alive":true}') for answer in answers), answers[0]
    assert streamed.startswith(b"HTTP/1.1 200")
    channel.close()
