"""Many lines in one request: each has an outcome of its own, and is there once it is told."""

import contextlib
import json
import socket
import threading
import time
from functools import partial

import numpy as np
import pytest

from tests.drawings import as_json, draw


def unit(n, seed=0, dimension=32):
    rows = np.random.default_rng(seed).standard_normal((n, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def embeddings(count, seed=0, who="id-{}"):
    """Lines of identities with one embedding each."""
    return [
        {"identity": who.format(i), "embedding": row.tolist()}
        for i, row in enumerate(unit(count, seed))
    ]


def bulk(client, gallery, lines, **params):
    body = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    answer = client.post("/enroll/bulk", params={"gallery": gallery} | params, content=body)
    assert answer.status_code == 200, answer.text
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["line"] for line in told] == list(range(len(told)))
    return told


@contextlib.contextmanager
def open_bulk(service, gallery):
    """A body that goes on, and the answers to it."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as channel:
        head = f"POST /enroll/bulk?gallery={gallery} HTTP/1.1\r\nhost: {host}:{port}\r\n"
        channel.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        yield channel.sendall, channel.makefile("rb")


def send_and_read(send, answer, lines):
    """Send lines in one chunk, and return what is answered while the body goes on."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    send(f"{len(body):x}\r\n".encode() + body + b"\r\n")
    told = []
    while len(told) < len(lines):
        said = answer.readline()
        assert said
        if said.startswith(b"{"):
            told.append(json.loads(said))
    return told


def outcomes(told):
    return [
        line["outcome"] if "problem" not in line else line["problem"]["type"].partition("#")[2]
        for line in told
    ]


def test_lines_of_every_kind_stand_side_by_side_and_the_bad_ones_fail_alone(client, gallery):
    good = embeddings(300)
    row = good[0]["embedding"]
    picture = {"identity": "drawn", **as_json(draw(3))}
    bad = {
        "malformed-body": [
            b'{"identity": "a", "embedding": [NaN]}',
            b'{"identity": "a", "identity": "b", "embedding": [1]}',
            b"{",
        ],
        "invalid-parameter": [
            {"identity": "", "embedding": row},
            {"identity": "a", "embedding": [*row[:-1], "1"]},
            {"identity": "a", "embedding": [*row[:-1], True]},
            {"identity": "a", "embedding": [*row[:-1], 1e300]},
            {"identity": "a", "embedding": row, "age": 3},
            [1],
        ],
        "degenerate-input": [
            {"identity": "a", "embedding": [0.0] * 32},
            {"identity": "a", "embedding": [10 * x for x in row]},
        ],
        "undecodable-input": [{"identity": "a", "base64": "bm90IGFuIGltYWdl"}],
    }
    wrong_width = {"identity": "a", "embedding": row[:-1]}
    lines, expected = [], []
    for i, line in enumerate([*good, picture]):
        lines.append(line)
        expected.append("added")
        for slug, each in bad.items():
            if i % 60 == 7:
                lines += each
                expected += [slug] * len(each)
    lines.append(wrong_width)

    told = bulk(client, gallery, lines)

    assert outcomes(told[:-1]) == expected
    assert told[-1]["outcome"] == "failed"
    versions = [line["version"] for line in told if line["outcome"] == "added"]
    assert versions == list(range(1, 302))
    assert client.get(f"/galleries/{gallery}").json()["samples"] == 301
    again = bulk(client, gallery, [*good, picture])
    assert [line["outcome"] for line in again] == ["duplicate"] * 301
    assert [line["id"] for line in again] == [line["id"] for line in told if "id" in line]


def test_pictures_that_are_embedded_in_turns_are_answered_in_order(client, gallery):
    lines = [
        {"identity": f"drawn-{take}-{i}", **as_json(draw(i, take))}
        for take in range(1, 5)
        for i in range(20)
    ]
    lines[40] = {"identity": "nobody", "base64": "bm90IGFuIGltYWdl"}

    told = bulk(client, gallery, lines)

    assert outcomes(told) == ["added"] * 40 + ["undecodable-input"] + ["added"] * 39
    good = [line for line in told if line["outcome"] == "added"]
    assert [line["version"] for line in good] == list(range(1, 80))
    assert [line["identity"] for line in good] == [
        line["identity"] for line in lines if line["identity"] != "nobody"
    ]


def test_of_equal_lines_the_first_is_added_and_the_others_are_duplicates(client, gallery):
    [line] = embeddings(1)

    told = bulk(client, gallery, [line] * 600)

    assert [each["outcome"] for each in told] == ["added"] + ["duplicate"] * 599
    assert {each["id"] for each in told} == {told[0]["id"]}


def test_whoever_was_told_a_version_finds_what_was_enrolled(client, gallery):
    lines = embeddings(700)

    told = bulk(client, gallery, lines)

    version = max(line["version"] for line in told)
    files = [{"embedding": lines[i]["embedding"]} for i in (0, 350, 699)]
    answer = client.post(
        "/identify",
        json={"gallery": gallery, "files": files, "threshold": 0.5},
        headers={"X-Min-Version": str(version)},
    ).json()
    assert [each["identity"] for each in answer["results"]] == ["id-0", "id-350", "id-699"]


def test_in_a_large_gallery_others_are_looked_for_where_that_is_asked(client, gallery):
    told = bulk(client, gallery, embeddings(6000))
    assert "searched" not in told[0]
    assert told[-1]["searched"] is False

    planted = [
        {**line, "identity": f"other-{i}"} for i, line in enumerate(embeddings(6000)[:300:100])
    ]
    quick = bulk(client, gallery, [*planted, *embeddings(2, 7, "quick-{}")])
    for line in planted:
        client.delete(f"/galleries/{gallery}/identities/{line['identity']}")
    thorough = bulk(client, gallery, [*planted, *embeddings(2, 8, "slow-{}")], doubts="all")

    assert all(line["searched"] is False and "warnings" not in line for line in quick)
    assert all("another identity" in line["warnings"][0] for line in thorough[:3])
    assert not any("searched" in line for line in thorough)


def test_how_large_a_gallery_is_searched_for_every_line_is_a_setting(start_service):
    with start_service(bulk_searched_up_to=100).client() as client:
        first = bulk(client, "default", embeddings(101))
        then = bulk(client, "default", embeddings(2, 7, "then-{}"))

    assert not any("searched" in line for line in first)
    assert [line["searched"] for line in then] == [False, False]


def test_what_may_be_asked_of_doubts_is_said(client, gallery):
    answer = client.post(f"/enroll/bulk?gallery={gallery}&doubts=some", content=b"{}\n")

    assert answer.status_code == 422
    assert "doubts" in answer.text


def test_lines_are_answered_although_the_body_goes_on(running_service, gallery):
    with open_bulk(running_service, gallery) as (send, answer):
        told = [send_and_read(send, answer, [line]) for line in embeddings(2)]

    assert [line["outcome"] for [line] in told] == ["added", "added"]


def test_lines_whose_barrier_fails_are_of_unknown_outcome_until_they_are_asked_again(
    start_service, start_server
):
    server = start_server()
    service = start_service(redis_url=server.url)
    lines, told = embeddings(40), []

    with service.client() as client, open_bulk(service, "default") as (send, answer):
        told += send_and_read(send, answer, lines[:20])
        assert server.command("CONFIG SET appendonly no").startswith("+OK")
        told += send_and_read(send, answer, lines[20:])
        assert server.command("CONFIG SET appendonly yes").startswith("+OK")
        server.wait("CONFIG GET appendonly", "yes")
        again = []
        while not again or any(
            line["outcome"] == "failed" for line in again
        ):  # its file is written anew first
            again = bulk(client, "default", lines)
            time.sleep(0.1)
        samples = client.get("/galleries/default").json()["samples"]

    assert outcomes(told) == ["added"] * 20 + ["not-durable"] * 20
    assert {line["problem"]["outcome"] for line in told[20:]} == {"unknown"}
    assert [line["outcome"] for line in again] == ["duplicate"] * 40
    assert [line["id"] for line in again[:20]] == [line["id"] for line in told[:20]]
    assert samples == 40


@pytest.mark.slow
def test_others_are_answered_while_a_bulk_is_written(client, gallery):
    lines, ended = embeddings(8000), threading.Event()
    waits = []

    def ask():
        while not ended.is_set():
            begun = time.perf_counter()
            files = [{"embedding": lines[0]["embedding"]}]
            assert client.post("/identify", json={"files": files}).status_code == 200
            waits.append(time.perf_counter() - begun)

    asking = threading.Thread(target=ask)
    asking.start()
    begun = time.perf_counter()
    told = bulk(client, gallery, lines)
    took = time.perf_counter() - begun
    ended.set()
    asking.join()

    assert len(told) == 8000
    assert len(waits) > 10
    assert sorted(waits)[len(waits) // 2] < took / 10


def test_a_client_may_send_all_before_it_reads(running_service, gallery):
    lines = b"".join(b'{"identity": "%0300d"}\n' % i for i in range(60_000))  # of no sample
    host, port = running_service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        head = f"POST /enroll/bulk?gallery={gallery} HTTP/1.1\r\nhost: {host}:{port}\r\n"
        channel.sendall(
            f"{head}connection: close\r\ncontent-length: {len(lines)}\r\n\r\n".encode()
        )
        channel.sendall(lines)
        said = b"".join(iter(partial(channel.recv, 2**20), b""))

    assert said.count(b'"outcome":"failed"') == 60_000
