"""What breaks around the service, and what must not be lost when it does."""

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.bundles import make_bundle
from tests.drawings import as_json, draw, part
from tests.refusals import assert_refused
from tests.services import Service


def enroll(client, character, take=1):
    return client.post(
        "/enroll", data={"identity": f"id-{character}"}, files=[part(draw(character, take))]
    )


def identify(client, character, take=5):
    answer = client.post("/identify", files=[part(draw(character, take))])
    return answer.json()["results"][0]


@pytest.mark.slow
def test_a_restart_answers_as_before_to_the_last_bit(start_service):
    service = start_service()
    with service.client() as client:
        for character in range(6):
            enroll(client, character)
        client.delete("/galleries/default/identities/id-3")
        before = [identify(client, c) for c in range(6)]
        version = client.get("/galleries/default").json()["version"]
    assert service.stop() == 0

    with start_service().client() as client:
        after = [identify(client, c) for c in range(6)]
        assert client.get("/galleries/default").json()["version"] == version

    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(2))
def test_kill_9_loses_no_acknowledged_enrollment(start_service, round_):
    service = start_service()
    acknowledged = []

    def enroll_on_and_on(first):
        with service.client() as client:
            for character in range(first, 10_000, 4):
                try:
                    if enroll(client, character).status_code == 201:
                        acknowledged.append(character)
                except httpx.TransportError:
                    return

    writers = [threading.Thread(target=enroll_on_and_on, args=(i,)) for i in range(4)]
    for writer in writers:
        writer.start()
    time.sleep(1.5 + 0.3 * round_)
    service.kill9()
    for writer in writers:
        writer.join()

    assert len(acknowledged) > 20
    with start_service().client() as client:
        kept, after = set(), "0"
        while after:
            page = client.get(f"/galleries/default/identities?limit=1000&after={after}").json()
            kept |= {item["identity"] for item in page["items"]}
            after = page["next"]
        assert {f"id-{c}" for c in acknowledged} <= kept
        assert identify(client, acknowledged[-1], take=1)["identity"] == f"id-{acknowledged[-1]}"


@pytest.mark.slow
def test_a_second_service_on_the_same_data_is_refused_and_says_why(start_service, tmp_path):
    first = start_service()

    second = Service(tmp_path / "var", first._environment["KINDRED_MODELS_STORE"])
    second.log = tmp_path / "second.log"

    with pytest.raises(AssertionError, match="another service keeps its galleries"):
        second.start()
    assert second.process.wait() == 3
    assert httpx.get(f"{first.url}/health/ready").status_code == 200


def test_sigterm_ends_what_is_in_flight_and_exits_with_0(start_service):
    service = start_service()
    body = json.dumps({"files": [as_json(draw(1))]}).encode()
    in_flight = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    in_flight.putrequest("POST", "/embed")
    in_flight.putheader("Content-Type", "application/json")
    in_flight.putheader("Content-Length", str(len(body)))
    in_flight.endheaders(body[:50])
    with service.client() as client:
        _until(lambda: "requests_in_progress 2.0" in client.get("/metrics").text)

    service.signal(signal.SIGTERM)
    _until(lambda: _refuses_connections(service))
    in_flight.send(body[50:])

    assert in_flight.getresponse().status == 200
    assert service.wait() == 0


def test_sigterm_does_not_wait_for_a_client_that_never_ends(start_service):
    service = start_service(drain_timeout=1)
    stuck = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    stuck.putrequest("POST", "/embed")
    stuck.putheader("Content-Type", "application/json")
    stuck.putheader("Content-Length", "1000")
    stuck.endheaders(b"{")

    service.signal(signal.SIGTERM)

    assert service.wait(timeout=15) == 0
    stuck.close()


def test_reads_go_on_from_memory_while_the_store_is_away(start_service, start_server):
    server = start_server()
    service = start_service(redis_url=server.url, store_timeout=1)
    with service.client() as client:
        enroll(client, 1)
        before = identify(client, 1)

        server.kill9()

        assert identify(client, 1) == before
        refused = enroll(client, 2)
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert client.get("/health/live").status_code == 200
        _until(lambda: client.get("/health/ready").status_code == 503)
        assert client.get("/health/ready").json()["reasons"] == ["store-unavailable"]

        server.start()

        _until(lambda: client.get("/health/ready").status_code == 200)
        assert enroll(client, 2).status_code == 201
        assert identify(client, 2)["identity"] == "id-2"


def test_the_embedded_store_is_started_again_when_it_dies(start_service, tmp_path):
    service = start_service()
    with service.client() as client:
        enroll(client, 1)
        os.kill(_process_id(tmp_path / "var" / "store" / "valkey.sock"), signal.SIGKILL)

        _until(lambda: enroll(client, 2).status_code == 201)

        assert identify(client, 1)["identity"] == "id-1"
        assert identify(client, 2)["identity"] == "id-2"


def test_a_store_that_forgets_is_not_written_to(start_service, start_server, tmp_path, bundles):
    server = start_server(appendonly="no")

    service = Service(tmp_path / "var", bundles, redis_url=server.url).start()
    try:
        with service.client() as client:
            _until(lambda: "store-not-durable" in client.get("/health/ready").json()["reasons"])
            answer = enroll(client, 1)
    finally:
        service.stop()

    assert answer.status_code == 503
    assert answer.json()["type"].endswith("#not-ready")


@pytest.mark.slow
def test_two_services_on_one_store_see_each_others_enrollments(
    start_service, start_server, tmp_path
):
    server = start_server()
    one = start_service(redis_url=server.url, data_dir=tmp_path / "one")
    two = start_service(redis_url=server.url, data_dir=tmp_path / "two")

    with one.client() as first, two.client() as second:
        version = enroll(first, 1).json()["version"]
        found = second.post(
            "/identify",
            files=[part(draw(1, 2))],
            headers={"X-Min-Version": str(version)},
        ).json()
        first.delete("/galleries/default/identities/id-1")
        _until(lambda: identify(second, 1)["reason"] == "empty-gallery")

    assert found["results"][0]["identity"] == "id-1"


def test_a_service_starts_without_its_store_and_is_ready_once_it_is_there(
    start_server, tmp_path, bundles
):
    server = start_server()
    server.kill9()
    service = Service(tmp_path / "var", bundles, redis_url=server.url, store_timeout=1).start()
    try:
        assert httpx.get(f"{service.url}/health/live").status_code == 200
        assert httpx.get(f"{service.url}/health/ready").status_code == 503

        server.start()

        service.wait_ready()
    finally:
        service.stop()


def test_an_emptied_store_is_not_taken_for_empty_galleries(start_service, start_server):
    server = start_server()
    service = start_service(redis_url=server.url)
    with service.client() as client:
        enroll(client, 1)

        server.command("FLUSHALL")

        _until(lambda: "gallery-vanished" in client.get("/health/ready").json()["reasons"])
        assert identify(client, 1)["identity"] == "id-1"


@pytest.mark.slow
def test_a_service_at_its_limit_of_memory_goes_on_and_has_all_that_it_acknowledged(start_service):
    """S10."""
    service = start_service()
    files = [part(draw(i) + bytes(6 * 2**20)) for i in range(5)]
    acknowledged, statuses = set(), set()
    with service.client() as client, _limited_memory(service, more=2**22):
        for name in map(str, range(5)):
            with contextlib.suppress(httpx.TransportError):
                answer = client.post("/enroll", data={"identity": name}, files=files)
                acknowledged |= {name} if answer.is_success else set()
                statuses.add(answer.status_code)
    with service.client() as client:
        assert client.post("/enroll", data={"identity": "last"}, files=files).status_code == 201

    service.kill9()

    assert len(acknowledged) < 5
    assert statuses <= {201, 503}
    assert '"defect"' not in service.log.read_text()
    with start_service().client() as client:
        items = client.get("/galleries/default/identities").json()["items"]
        assert {item["identity"] for item in items} >= {"last"} | acknowledged


def test_memory_that_runs_out_after_the_body_is_no_defect_and_the_next_request_is_served(
    start_service, monkeypatch
):
    """S10."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # or it would end the process for want of a stack
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # or each thread would have 64 MiB put by
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    service = start_service()
    signs = np.random.default_rng(0).choice([-0.25, 0.25], (64, 16))
    rows = [{"embedding": row} for row in np.hstack([signs, 0 * signs]).tolist()]
    asked = {"files": rows, "threshold": 0.5}
    with service.client() as client:
        assert client.post("/cluster", json=asked).status_code == 200  # all is imported
        with _limited_memory(service, more=2**22):
            refused = client.post("/cluster", json=asked)
            assert client.post("/embed", files=[part(draw(1))]).status_code == 200
        told = client.get("/metrics").text

        detail = assert_refused(refused, 503, "overloaded", "memory")
        assert "file" not in detail
        assert refused.json()["outcome"] == "unknown"
        assert "kindred_memory_refusals_total 1.0" in told
        assert client.post("/cluster", json=asked).status_code == 200
    lines = map(json.loads, service.log.read_text().splitlines())
    told = [line for line in lines if refused.headers["x-request-id"] in line.values()]
    assert [line["event"] for line in told] == ["memory ran out", "request"]
    assert not any("exceptions" in line for line in told)


@pytest.mark.parametrize("options", ["size=64k", "size=1m,ro"], ids=["full", "read-only"])
def test_uploads_need_no_temporary_folder(start_service, tmp_path, monkeypatch, options):
    """S11."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    service = start_service()
    with _small_disk(folder, options), service.client() as client:
        with contextlib.suppress(OSError):
            (folder / "filler").write_bytes(bytes(2**20))

        large = [part(draw(i) + bytes(6 * 2**20)) for i in range(4)]
        sent = client.post("/enroll", data={"identity": "id-1"}, files=large)
        in_json = {"files": [as_json(draw(i) + bytes(4 * 2**20)) for i in range(4)]}
        found = client.post("/identify", json=in_json)

        assert sent.status_code == 201, sent.text
        assert [r["identity"] for r in found.json()["results"]] == ["id-1"] * 4
        named = [(f"c{c}/{i}.png", draw(c, i)) for c in range(3) for i in range(2)]
        report = client.post("/evaluate", files=[("files", each) for each in named])
        assert_refused(report, 503, "overloaded", "room")
        assert {path.name for path in folder.iterdir()} <= {"filler"}
    assert '"defect"' not in service.log.read_text()


def test_a_refused_bundle_is_told_and_the_others_are_served(start_service, tmp_path):
    make_bundle(tmp_path / "bundles", "good", dimension=32)
    (make_bundle(tmp_path / "bundles", "bad") / "card.md").write_text("changed")

    with start_service(bundles=tmp_path / "bundles").client() as client:
        answer = client.get("/comparators").json()

    assert [c["name"] for c in answer["comparators"]] == ["good"]
    assert "card.md" in answer["refused"]["bad/1"]


def test_without_a_good_bundle_the_service_lives_and_is_not_ready(tmp_path):
    (tmp_path / "bundles").mkdir()
    service = Service(tmp_path / "var", tmp_path / "bundles").start()
    try:
        _until(
            lambda: httpx.get(f"{service.url}/health/ready").json()["reasons"] == ["no-comparator"]
        )
        assert httpx.post(f"{service.url}/embed", files=[part(draw(1))]).status_code == 404
    finally:
        service.stop()


def test_a_strict_service_is_refused_and_says_what_is_in_doubt(tmp_path, start_server, bundles):
    """B19, X17."""
    port = _free_port()
    start_server(port=port)
    open_to_all = make_bundle(tmp_path / "bundles", "open")
    open_to_all.chmod(0o777)
    network, keyless = f"redis://127.0.0.1:{port}", {"host": "0.0.0.0", "allow_keyless": True}  # noqa: S104
    doubtful = {
        "everybody on this machine": (tmp_path / "bundles", {}),
        "KINDRED_REDIS_URL": (bundles, {"redis_url": network}),
        "KINDRED_HOST": (bundles, keyless),
    }
    for reason, (folder, settings) in doubtful.items():
        service = Service(tmp_path / "var", folder, strict=True, **settings)

        with pytest.raises(AssertionError, match=f"kindred: .*{reason}.*KINDRED_STRICT"):
            service.start()

        assert service.process.wait() == 3


def test_what_is_in_doubt_is_told_and_served_unless_it_is_strict(tmp_path, start_service):
    """B19."""
    make_bundle(tmp_path / "bundles", "open").chmod(0o777)
    service = start_service(bundles=tmp_path / "bundles")

    (line,) = [line for line in service.log.read_text().splitlines() if "in doubt" in line]
    told = json.loads(line)

    assert told["level"] == "warning"
    assert told["reason"].startswith("bundle open/1: everybody")


def test_a_strict_service_without_doubts_starts(start_service):
    assert httpx.get(f"{start_service(strict=True).url}/health/ready").status_code == 200


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def _limited_memory(service, more):
    """Let a service have only so many more bytes of address space than it has."""
    pid = service.process.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    before, most = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + more, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, (before, most))


@contextlib.contextmanager
def _small_disk(folder, options):
    words = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _until(condition, timeout=20):
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(httpx.ConnectError):  # it does not listen yet
            if condition():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _refuses_connections(service):
    try:
        httpx.get(f"{service.url}/health/live")
    except httpx.TransportError:
        return True
    return False


def _process_id(unix_socket):
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(unix_socket))
        channel.sendall(b"INFO server\r\n")
        return int(re.search(rb"process_id:(\d+)", channel.recv(65536)).group(1))
