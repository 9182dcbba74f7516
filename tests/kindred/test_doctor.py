"""`kindred doctor`: what commonly goes wrong, and what to do."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kindred.commands.doctor import REASONS as REASONS_TOLD
from service.watching.telemetry import REASONS
from tests.kindred.commands import run
from tests.servers import free_port


def doctor(capsys, *words):
    done = run(capsys, "doctor", "--json", *words)
    return done.status, {one["check"]: one for one in done.objects}


def test_all_is_well_where_all_is_well(running_service, capsys):
    status, found = doctor(capsys, "--url", running_service.url)
    shown = run(capsys, "doctor", "--url", running_service.url)

    assert status == 0
    assert {one["state"] for one in found.values()} == {"well"}
    assert {"reach", "ready", "version", "comparators", "store", "device"} <= set(found)
    assert "on disk" in found["store"]["seen"]
    assert shown.out.count("well") == len(shown.out.splitlines())


def test_nobody_there(capsys):
    status, found = doctor(capsys, "--url", f"http://127.0.0.1:{free_port()}")

    assert (status, found["reach"]["state"]) == (2, "wrong")
    assert "make serve" in found["reach"]["advice"]
    assert "ready" not in found


def test_somebody_else_there(capsys):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    status, found = doctor(capsys, "--url", f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()

    assert status == 2
    assert "something else" in found["reach"]["advice"]


def test_a_key_that_is_missing_or_wrong(start_service, capsys, monkeypatch):
    monkeypatch.delenv("KINDRED_API_KEY", raising=False)
    service = start_service(api_keys="open-sesame")

    without = doctor(capsys, "--url", service.url)
    wrong = doctor(capsys, "--url", service.url, "--key", "close-sesame")
    right = doctor(capsys, "--url", service.url, "--key", "open-sesame")

    assert [without[0], wrong[0], right[0]] == [2, 2, 0]
    for _, found in (without, wrong):
        assert found["key"]["state"] == "wrong"
        assert "KINDRED_API_KEY" in found["key"]["advice"]
    assert "sesame" not in str(wrong[1])


@pytest.mark.slow
def test_a_store_that_would_lose_writes_and_one_that_is_away(start_server, start_service, capsys):
    store = start_server()
    service = start_service(redis_url=store.url, store_timeout=0.5)
    store.command("CONFIG SET appendfsync everysec")
    lossy = _once("store-not-durable", lambda: doctor(capsys, "--url", service.url))
    store.kill9()
    away = _once("store-unavailable", lambda: doctor(capsys, "--url", service.url))

    assert "appendfsync always" in lossy["ready"]["advice"]
    assert "KINDRED_REDIS_URL" in away["ready"]["advice"]
    assert "store" not in lossy.keys() | away.keys()


def _once(reason, ask):
    """Return what is found once this is the reason for not being ready."""
    until = time.monotonic() + 60
    while True:
        status, found = ask()
        if status == 2 and reason in found["ready"]["seen"]:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("url", "advised"), [("http://127.0.0.1:9", True), ("http://a.b:9", False)]
)
def test_a_proxy_before_a_local_service_is_told(monkeypatch, url, advised):
    from kindred import Client
    from kindred.commands.doctor import _settings

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert any("NO_PROXY" in one.advice for one in _settings(Client(url))) is advised


def test_every_reason_that_the_service_may_have_has_advice():
    assert set(REASONS_TOLD) == set(REASONS)
