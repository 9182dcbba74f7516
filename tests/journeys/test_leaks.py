"""Nothing of what clients send is told in logs, metrics or errors, whatever goes wrong."""

import json
import resource
import socket
from pathlib import Path

import httpx
import pytest

from tests.calls import EVERY
from tests.drawings import draw, part
from tests.refusals import CANARY, decoders_of, processes
from tests.services import Service

KEY = f"{CANARY}-key-0123456789abcdef"
NUMBER = 0.31415926535
TELLTALES = (CANARY, CANARY.upper(), "3141592", "/tests/journeys")

PLANTED = """
import os, sys
if sys.orig_argv[-2:] == ["-m", "service"]:
    sys.path.insert(0, os.getcwd())
    import service.use_cases.recogniser as r
    async def broken(self, files, comparator, side):
        raise KeyError(f"defect about {comparator} {files!r}")
    r.Recogniser.embed = broken
"""
"""A defect whose message quotes what the client sent."""


@pytest.fixture
def service(start_service) -> Service:
    return start_service(log_level="debug", api_keys=KEY)


def everywhere() -> dict[str, str]:
    """Return headers that carry the canary wherever a header may carry a word."""
    names = ("User-Agent", "Referer", "Cookie", "X-Forwarded-For", "Accept", "X-Anything")
    named = dict.fromkeys(names, f"{CANARY}/1")
    return named | {"Idempotency-Key": f"{CANARY}1", "traceparent": f"00-{CANARY}-01"}


def test_no_operation_tells_what_it_was_asked_about(service: Service) -> None:
    refused = []
    with service.client(headers=everywhere() | {"X-API-Key": KEY}) as client:
        client.post("/galleries", json={"name": CANARY})
        for call in EVERY.values():
            method, path, how = call(CANARY)
            for asked in (how, how | {"params": {CANARY: CANARY}}):
                answer = client.request(method, path, **asked)
                refused += [answer] * (answer.status_code >= 400)
            for broken in (f'{{"{CANARY}": ', f'{{"{CANARY}": "{CANARY}"}}', CANARY):
                answer = client.request(method, path, content=broken)
                refused += [answer] * (answer.status_code >= 400)
    assert len(refused) > len(EVERY)
    _assert_untold(service, refused)


def test_no_sample_label_file_name_or_number_is_told(service: Service) -> None:
    answers = []
    with service.client(headers={"X-API-Key": KEY}) as client:
        name = f"../{CANARY}.png"
        for content in (draw(1), CANARY.encode(), b"\x89PNG" + CANARY.encode(), b""):
            for field in ("files", CANARY, "archive", "a"):
                files = [(field, (name, content, f"image/{CANARY}"))]
                data = {"identity": CANARY, "metadata": json.dumps({CANARY: CANARY})}
                for route in ("/enroll", "/embed", "/identify", "/verify", "/cluster"):
                    answers.append(client.post(route, files=files, data=data))
        for vector in ([NUMBER] * 32, [NUMBER], [1e300] * 32, [CANARY], NUMBER):
            for route in ("/embed", "/identify", "/cluster"):
                answers.append(client.post(route, json={"files": [{"embedding": vector}]}))
            lines = json.dumps({"identity": CANARY, "embedding": vector})
            answers.append(client.post("/enroll/bulk", content=f"{lines}\n{CANARY}\n"))
        answers += [
            client.get("/identify", params={"threshold": CANARY}),
            client.get(f"/galleries/default/identities/{CANARY}"),
            client.get(f"/comparators/{CANARY}"),
            client.get(f"/{CANARY}"),
            client.request(CANARY.upper(), "/galleries"),
        ]
    with service.client() as stranger:
        for key in (CANARY, f"{KEY}x", f"Bearer {CANARY}"):
            answers.append(stranger.get("/galleries", headers={"X-API-Key": key}))
            answers.append(stranger.get("/galleries", headers={"Authorization": key}))
            answers.append(stranger.get("/galleries", params={"api_key": key}))
    _assert_untold(service, [a for a in answers if a.status_code >= 400])


def test_what_is_no_http_is_not_told(service: Service) -> None:
    host, _, port = service.url.removeprefix("http://").partition(":")
    for line in (
        f"{CANARY}\r\n\r\n",
        f"GET /{CANARY} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\n{CANARY}\r\n\r\n",
        f"POST /enroll HTTP/1.1\r\nHost: {CANARY}\r\nContent-Length: {CANARY}\r\n\r\n",
        f"GET /health/live HTTP/1.1\r\nHost: x\r\nX-{CANARY}: \0{CANARY}\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), 30) as channel:
            channel.sendall(line.encode())
            channel.shutdown(socket.SHUT_WR)
            said = b""
            while got := channel.recv(4096):
                said += got
            assert CANARY.encode() not in said

    _assert_untold(service, [])


def test_a_defect_is_told_by_its_place_and_not_by_its_message(
    start_service, tmp_path, monkeypatch
) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(planted))
    service = start_service(log_level="debug", api_keys=KEY)

    with service.client(headers={"X-API-Key": KEY}) as client:
        answer = client.post("/embed", json={"comparator": CANARY, "files": [{"text": CANARY}]})

    assert answer.status_code == 500
    assert '"builtins.KeyError"' in service.log.read_text()
    _assert_untold(service, [answer], defect=True)


def _assert_untold(
    service: Service, refused: list[httpx.Response], *, defect: bool = False
) -> None:
    log = service.log.read_text()
    with service.client(headers={"X-API-Key": KEY}) as client:
        told = {"log": log, "metrics": client.get("/metrics").text}
    told |= {f"{a.request.method} {a.request.url} {a.status_code}": a.text for a in refused}
    for where, text in told.items():
        for telltale in TELLTALES:
            assert telltale not in text, (where, text[max(0, text.find(telltale) - 200) :][:400])
    assert ('"defect"' in log) == defect


def test_no_secret_is_told_by_arguments_pages_or_the_log(start_service, start_server) -> None:
    """X16."""
    server = start_server()
    server.command(f"ACL SETUSER kindred on >{CANARY} ~* &* +@all")
    url = server.url.replace("unix://", f"unix://kindred:{CANARY}@")
    service = start_service(redis_url=url, api_keys=KEY, log_level="debug")

    assert service.process is not None
    words = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes(service.process.pid)]
    with service.client(headers={"X-API-Key": KEY}) as client:
        client.post("/enroll", data={"identity": "a"}, files=[part(draw(1))]).raise_for_status()
        server.kill9()
        answers = [client.post("/galleries", json={"name": "new"})]
        answers += [client.get(path) for path in ("/health/ready", "/openapi.json", "/docs", "/")]

    assert len(words) > 1
    assert CANARY.encode() not in b"".join(words)
    assert answers[0].status_code == 503
    _assert_untold(service, answers)


def test_no_process_of_the_service_leaves_a_core_or_lets_its_memory_be_read(service) -> None:
    assert service.process is not None
    for pid in (service.process.pid, *decoders_of(service.process.pid)):
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
        owner = Path(f"/proc/{pid}/environ").stat().st_uid
        assert owner == 0  # as the kernel has it of processes that are not to be dumped


def test_with_debuggers_allowed_there_is_still_no_core(start_service) -> None:
    service = start_service(allow_debuggers=True)

    assert service.process is not None
    assert resource.prlimit(service.process.pid, resource.RLIMIT_CORE) == (0, 0)
