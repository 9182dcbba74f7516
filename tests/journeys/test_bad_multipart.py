"""Multipart that breaks its grammar, its limits or its sense, each refused for its reason."""

import socket
import time
from pathlib import Path

import pytest

from tests.drawings import draw, part
from tests.refusals import CANARY, assert_refused, cheap

MALFORMED, INVALID, TOO_LARGE = "malformed-body", "invalid-parameter", "too-large"
UNSUPPORTED = "unsupported-media"
KIND = "multipart/form-data; boundary=xyz"
END = b"--xyz--\r\n"
GOOD = draw(1)


def one(content, name="files", rest='; filename="a.png"', headers=b""):
    said = f'Content-Disposition: form-data; name="{name}"{rest}'.encode()
    return b"--xyz\r\n" + said + b"\r\n" + headers + b"\r\n" + content + b"\r\n"


WHOLE = one(GOOD)


def many(count, **options):
    return b"".join(one(b"x", f"field_{i}", **options) for i in range(count))


REFUSED = {
    "M1 no boundary": ("multipart/form-data", WHOLE + END, 400, MALFORMED, "boundary"),
    "M2 another boundary": ("multipart/form-data; boundary=abc", WHOLE + END, 400, MALFORMED, ""),
    "M3 no closing boundary": (KIND, WHOLE, 400, MALFORMED, "closing boundary"),
    "M3 cut in the content": (KIND, WHOLE[:-50], 400, MALFORMED, "closing boundary"),
    "M4 cut in a header": (KIND, WHOLE[:40], 400, MALFORMED, "closing boundary"),
    "M5 no name": (
        KIND,
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\nabc\r\n" + END,
        400,
        MALFORMED,
        "name",
    ),
    "M5 no header": (KIND, b"--xyz\r\n\r\nabc\r\n" + END, 400, MALFORMED, "name"),
    "M6 control bytes": (
        KIND,
        b'--xyz\r\nContent\x01-Disposition: form-data; name="files"\r\n\r\nabc\r\n' + END,
        400,
        MALFORMED,
        "",
    ),
    "M8 extended file name": (
        KIND,
        one(GOOD, rest=f"; filename*=UTF-8''{CANARY}%2e%2e%2f") + END,
        422,
        "model-mismatch",
        "text",
    ),
    "M8 continued file name": (
        KIND,
        one(GOOD, rest=f'; filename*0="{CANARY}"; filename*1=".png"') + END,
        422,
        "model-mismatch",
        "text",
    ),
    "M9 two samples for one": (
        KIND,
        one(GOOD, "a") * 2 + one(GOOD, "b") + END,
        422,
        INVALID,
        "a:",
    ),
    "M9 a field twice": (
        KIND,
        WHOLE + one(b"tiny", "comparator", "") * 2 + END,
        400,
        MALFORMED,
        "once",
    ),
    "M10 empty file name": (
        KIND,
        one(b"tiny", "comparator", '; filename=""') + END,
        422,
        INVALID,
        "comparator",
    ),
    "M11 unknown field": (KIND, WHOLE + one(b"x", CANARY, "") + END, 422, INVALID, ""),
    "M11 unknown file": (KIND, WHOLE + one(b"x", CANARY) + END, 422, INVALID, ""),
    "M12 1,001 fields": (KIND, many(1001, rest="") + END, 413, TOO_LARGE, ""),
    "M12 1,001 files": (KIND, one(b"x") * 1001 + END, 413, TOO_LARGE, "256 files"),
    "M13 2 MB of text": (
        KIND,
        WHOLE + one(b"x" * 2 * 2**20, "comparator", "") + END,
        413,
        TOO_LARGE,
        "",
    ),
    "M14 a file over the limit": (KIND, one(bytes(9 * 2**20)) + END, 413, TOO_LARGE, "files"),
    "M17 20 MB before": (KIND, b"\r\n" * 10 * 2**20 + WHOLE + END, 413, TOO_LARGE, ""),
    "M17 20 MB after": (KIND, WHOLE + END + b"\r\n" * 10 * 2**20, 413, TOO_LARGE, ""),
    "M18 20 MB of CR": (KIND, one(b"\r" * 20 * 2**20) + END, 413, TOO_LARGE, ""),
    "M18 8 MB of near-boundaries": (
        KIND,
        one(b"\r\n--xy" * (8 * 2**20 // 6)) + b"--xyz",
        400,
        MALFORMED,
        "",
    ),
    "M19 1 MB header": (
        KIND,
        one(GOOD, headers=b"X: " + b"y" * 2**20 + b"\r\n") + END,
        400,
        MALFORMED,
        "",
    ),
    "M19 10,000 headers": (
        KIND,
        one(GOOD, headers=b"X: y\r\n" * 10_000) + END,
        400,
        MALFORMED,
        "",
    ),
    "M20 long boundary": (
        f"multipart/form-data; boundary={'x' * 300}",
        WHOLE,
        400,
        MALFORMED,
        "boundary",
    ),
    "M21 backslashes": (
        'multipart/form-data; boundary="' + "\\" * 60_000,
        WHOLE,
        400,
        MALFORMED,
        "",
    ),
    "M22 semicolons": (
        "application/x-www-form-urlencoded",
        b";" * 5 * 2**20,
        415,
        UNSUPPORTED,
        "",
    ),
    "M22 ampersands": (
        "application/x-www-form-urlencoded",
        b"&" * 5 * 2**20,
        415,
        UNSUPPORTED,
        "",
    ),
    "M23 mixed": ("multipart/mixed; boundary=xyz", WHOLE + END, 415, UNSUPPORTED, ""),
    "M23 mixed inside": (
        KIND,
        one(b"--in\r\n", headers=b"Content-Type: multipart/mixed; boundary=in\r\n") + END,
        415,
        UNSUPPORTED,
        "",
    ),
    "M23 base64 inside": (
        KIND,
        one(b"aGk=", headers=b"Content-Transfer-Encoding: base64\r\n") + END,
        415,
        UNSUPPORTED,
        "",
    ),
    "T10 a field that is not UTF-8": (
        KIND,
        one(b"\xff", "comparator", "") + END,
        400,
        MALFORMED,
        "comparator",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_multipart_that_cannot_be_used_is_refused(all_kinds, to_all_kinds, case):
    kind, body, status, slug, word = REFUSED[case]
    path = "/verify" if case == "M9 two samples for one" else "/embed"

    with cheap(all_kinds):
        answer = to_all_kinds.post(path, content=body, headers={"Content-Type": kind})

    assert_refused(answer, status, slug, word)


@pytest.mark.parametrize(
    "rest",
    [
        f'; filename="../../etc/{CANARY}"',
        f'; filename="/etc/{CANARY}"',
        f'; filename="{CANARY}\\0.png"',
        f'; filename="{CANARY}"; filename="b.png"',
        '; filename=""',
        '; filename="' + "x" * 3000 + '"',
    ],
    ids=["up", "absolute", "NUL", "twice", "empty", "long"],
)
def test_a_file_name_is_of_no_account(to_all_kinds, rest):
    plain = to_all_kinds.post("/embed", files=[part(GOOD)]).json()

    headers = {"Content-Type": KIND}
    answer = to_all_kinds.post("/embed", content=one(GOOD, rest=rest) + END, headers=headers)

    assert answer.status_code == 200, answer.text
    assert answer.json()["embeddings"] == plain["embeddings"]
    assert CANARY not in answer.text


def test_a_transfer_encoding_that_changes_nothing_may_be_named(to_all_kinds):
    body = one(GOOD, headers=b"Content-Transfer-Encoding: binary\r\nContent-Type: image/png\r\n")

    assert to_all_kinds.post(
        "/embed", content=body + END, headers={"Content-Type": KIND}
    ).is_success


def test_200_megabytes_are_refused_by_what_is_announced(all_kinds):
    """M15 and H18: neither waits for a body, nor says that it may come."""
    head = (
        "POST /embed HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        f"Content-Type: {KIND}\r\nContent-Length: {200 * 2**20}\r\n\r\n"
    )
    with cheap(all_kinds), connected(all_kinds) as channel:
        channel.sendall(head.encode())
        answer = channel.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413"), answer[:100]


def test_what_comes_without_a_length_is_refused_once_it_is_too_long(all_kinds, to_all_kinds):
    """M14 and M16."""
    sent = []

    def chunks():
        yield b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(200):
            sent.append(2**20)
            yield bytes(2**20)

    with cheap(all_kinds):
        try:
            answer = to_all_kinds.post("/embed", content=chunks(), headers={"Content-Type": KIND})
        except OSError:
            answer = None

    assert sum(sent) < 200 * 2**20 or answer is not None
    if answer is not None:
        assert_refused(answer, 413, TOO_LARGE)


def test_who_leaves_in_the_middle_leaves_nothing_behind(all_kinds, to_all_kinds):
    """M24."""
    home = Path(f"/proc/{all_kinds.process.pid}/fd")
    to_all_kinds.get("/health/live")
    before = len(list(home.iterdir()))
    head = (
        f"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\n"
        f"Content-Length: {2**20}\r\n\r\n"
    )

    for _ in range(20):
        with connected(all_kinds) as channel:
            channel.sendall(head.encode() + WHOLE)

    until = time.monotonic() + 5
    while len(list(home.iterdir())) > before:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert to_all_kinds.post("/embed", files=[part(GOOD)]).is_success


def connected(service):
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)
