"""Requests whose head is no HTTP, or too much of it: refused as problems, and the line closed."""

import json
import socket

import pytest

from tests.drawings import draw, part
from tests.refusals import CANARY, cheap

MALFORMED, TOO_LONG = (400, "malformed-request"), (431, "headers-too-large")
HOST = b"Host: localhost\r\n"
POST = b"POST /embed HTTP/1.1\r\n" + HOST
GET = b"GET /health/live HTTP/1.1\r\n" + HOST


def exchanged(service, *pieces):
    """Send bytes, and return all that comes back until the connection is closed."""
    host, port = service.url.removeprefix("http://").split(":")
    found = b""
    with socket.create_connection((host, int(port)), timeout=10) as channel:
        try:
            for piece in pieces:
                channel.sendall(piece)
        except OSError:
            pass  # refused before all was sent
        try:
            while more := channel.recv(65536):
                found += more
        except ConnectionResetError:
            pass
    return found


REFUSED = {
    "H1 length and chunks": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        MALFORMED,
    ),
    "H2 two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", MALFORMED),
    "H2 negative length": (POST + b"Content-Length: -1\r\n\r\n", MALFORMED),
    "H2 signed length": (POST + b"Content-Length: +5\r\n\r\nabcde", MALFORMED),
    "H2 length in hex": (POST + b"Content-Length: 0x5\r\n\r\nabcde", MALFORMED),
    "H3 gzip and chunked": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        MALFORMED,
    ),
    "H3 identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", MALFORMED),
    "H5 no Host": (b"GET /health/live HTTP/1.1\r\n\r\n", MALFORMED),
    "H5 two Hosts": (GET + HOST + b"\r\n", MALFORMED),
    **{
        f"H5 {host.decode()!r}": (
            b"GET /galleries HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
            MALFORMED,
        )
        for host in (
            b"localhost/evil",
            b"localhost#.evil.example",
            b"localhost?.evil.example",
            b"evil.example@localhost",
            b"localhost:abc",
            b"local\thost",
            b"[localhost",
        )
    },
    "H6 a header of 1 MB": (GET + b"X: " + CANARY.encode() * 2**17 + b"\r\n\r\n", TOO_LONG),
    "H6 a header without end": (GET + b"X: " + b"y" * 2**22, TOO_LONG),
    "H6 a path of 1 MB": (b"GET /" + b"x" * 2**20 + b" HTTP/1.1\r\n" + HOST + b"\r\n", TOO_LONG),
    "H7 10,000 headers": (GET + b"X: y\r\n" * 10_000 + b"\r\n", TOO_LONG),
    "H8 NUL in the method": (b"G\0T / HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    "H8 HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
    "H8 CONNECT": (b"CONNECT example.org:80 HTTP/1.1\r\n" + HOST + b"\r\n", None),
    "H15 a header split in two": (GET + b"X-Request-Id: a\n\nb\r\n\r\n", None),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01" + bytes(100), MALFORMED),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_head_that_is_none_is_refused(all_kinds, case):
    """Where nothing is named, any refusal will do."""
    content, wanted = REFUSED[case]

    with cheap(all_kinds):
        head, _, body = exchanged(all_kinds, content).partition(b"\r\n\r\n")

    status = int(head.split()[1])
    assert CANARY.encode() not in head + body
    if wanted is None:
        assert 400 <= status < 500
        return
    problem = json.loads(body)
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert f"x-request-id: {problem['instance'].rpartition(':')[2]}".encode() in head
    assert (status, problem["type"].partition("#")[2]) == wanted
    assert problem["status"] == status


def test_chunks_that_are_none_end_the_request(all_kinds):
    """H4."""
    chunked = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    chunked += b"Connection: close\r\n\r\n"

    for chunks in (b"zz\r\n", b"5;" + b"x" * 2**20 + b"\r\nabcde\r\n0\r\n\r\n", b"-1\r\n"):
        with cheap(all_kinds):
            answer = exchanged(all_kinds, chunked + chunks)
        assert answer.startswith(b"HTTP/1.1 4")


def test_a_head_in_pieces_is_read_and_a_long_one_refused_in_the_middle(all_kinds):
    close = b"Connection: close\r\n\r\n"
    whole = exchanged(all_kinds, *(bytes([byte]) for byte in GET + close))
    long = exchanged(all_kinds, GET, *[b"X: " + b"y" * 997 + b"\r\n"] * 200)

    assert whole.startswith(b"HTTP/1.1 200")
    assert long.startswith(b"HTTP/1.1 431")


def test_what_is_sent_in_one_go_is_answered_in_order(all_kinds):
    """H13."""
    requests = [GET + f"X-Request-Id: n{i}\r\n\r\n".encode() for i in range(300)]
    last = GET + b"X-Request-Id: last\r\nConnection: close\r\n\r\n"

    answer = exchanged(all_kinds, b"".join(requests) + last)

    ids = [line.split()[1] for line in answer.splitlines() if line.startswith(b"x-request-id")]
    assert ids == [f"n{i}".encode() for i in range(300)] + [b"last"]


@pytest.mark.parametrize("name", ["x" * 10_000, "a b", "<x>", "ä".encode(), ""])
def test_a_request_id_that_is_none_is_made_anew(to_all_kinds, name):
    """H15."""
    answer = to_all_kinds.get(
        "/health/live", headers={"X-Request-Id": name, "X-Forwarded-For": CANARY}
    )

    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 32


def test_a_large_body_after_a_small_head_is_no_large_head(to_all_kinds):
    files = [part(draw(1))] * 200

    assert to_all_kinds.post("/embed", files=files).is_success
    assert to_all_kinds.post("/embed", files=files).is_success


@pytest.mark.parametrize("path", ["/openapi.json", "/console/main.js"])
def test_many_ranges_are_of_no_account(all_kinds, to_all_kinds, path):
    """H14."""
    ranges = "bytes=" + ",".join(["0-0"] * 10_000)
    whole = to_all_kinds.get(path)

    with cheap(all_kinds):
        answer = to_all_kinds.get(path, headers={"Range": ranges})

    assert (answer.status_code, answer.content) == (200, whole.content)
    assert answer.headers["content-length"] == whole.headers["content-length"]
