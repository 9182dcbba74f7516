"""A store behind TLS, and a user of it who may do no more than the service does."""

import re
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, create_server, socket

import pytest
import trustme

from tests.drawings import as_json, draw, part
from tests.servers import REDIS, VALKEY
from tests.services import ROOT, Service

COMMANDS = re.compile(r"redis\.p?call\('([A-Z]+)'")
SINCE_7_2 = ("+waitaof", "+client|setinfo")


def documented_rules():
    """Return the words after ACL SETUSER kindred in docs/operations.md."""
    text = (ROOT / "docs/operations.md").read_text()
    (line,) = re.findall(r"^ACL SETUSER kindred ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return line.replace("\\\n", " ").replace(">PASSWORD", ">secret").split()


def let_in(server, rules):
    assert server.command("ACL SETUSER kindred " + " ".join(rules)) == "+OK\r\n"
    assert server.command("ACL LOG RESET") == "+OK\r\n"
    return server.url.replace("unix://", "unix://kindred:secret@")


def denied(server):
    """Return what was asked for and refused since it was looked at first."""
    return re.findall(r"object\r\n\$\d+\r\n([^\r]+)", server.command("ACL LOG 100"))


def wait_receipt(client, url):
    until = time.monotonic() + 60
    while not client.get(url).json()["complete"]:
        assert time.monotonic() < until, client.get(url).text
        time.sleep(0.2)


def journey(client):
    """Do everything that writes to a gallery, or reads it from the store."""
    files = [part(draw(i)) for i in range(3)]
    assert client.post("/galleries", json={"name": "staff"}).status_code == 201
    for name, take in (("a", 0), ("b", 5)):
        fields = {"gallery": "staff", "identity": name}
        headers = {"Idempotency-Key": name}
        some = [part(draw(take, i)) for i in range(2)]
        answer = client.post("/enroll", data=fields, files=some, headers=headers)
        assert answer.status_code == 201, answer.text
    line = b'{"identity": "c", "base64": "%s"}\n' % as_json(draw(3))["base64"].encode()
    assert "added" in client.post("/enroll/bulk?gallery=staff", content=line).text
    asked = client.post("/identify", data={"gallery": "staff"}, files=files)
    assert asked.json()["results"][0]["identity"] == "a"
    staff = "/galleries/staff"
    assert client.post(f"{staff}/cohort", files=files).status_code == 201
    assert len(client.get(f"{staff}/identities").json()["items"]) == 3
    answer = client.patch(f"{staff}/identities/a", json={"metadata": {"x": 1}})
    assert answer.json()["metadata"] == {"x": 1}
    export = client.get(f"{staff}/export").content
    assert client.post("/galleries/again/import", content=export).status_code == 201
    sample = client.get(f"{staff}/identities/a").json()["samples"][0]["id"]
    assert client.delete(f"{staff}/identities/a/samples/{sample}").status_code == 200
    receipt = client.delete(f"{staff}/identities/b").json()["receipt"]
    assert client.delete("/galleries/again").status_code == 200
    wait_receipt(client, receipt)


def scripts():
    return "".join(path.read_text() for path in (ROOT / "service").rglob("*.lua"))


def test_the_documented_user_may_all_that_scripts_do():
    inline = (ROOT / "service/store/redis_store.py").read_text()

    needed = {f"+{name.lower()}" for name in COMMANDS.findall(scripts() + inline)}

    assert needed <= set(documented_rules())


@pytest.mark.parametrize("program", [VALKEY, REDIS], ids=["valkey", "redis"])
def test_the_service_needs_no_more_than_the_documented_user_may(
    program, start_server, start_service
):
    if program is None:
        pytest.skip("redis-server is not installed")
    server = start_server(program)
    rules = documented_rules()
    if program is REDIS and b"v=7.0." in subprocess.check_output([program, "--version"]):
        rules = [rule for rule in rules if rule not in SINCE_7_2]
    service = start_service(redis_url=let_in(server, rules))
    asked_anyway = {"client|setinfo"} if rules != documented_rules() else set()

    with service.client() as client:
        journey(client)

    assert set(denied(server)) <= asked_anyway
    used = {
        f"+{name}"
        for name in re.findall(r"cmdstat_([a-z|_]+):", server.command("INFO commandstats"))
    }
    in_scripts = {f"+{name.lower()}" for name in COMMANDS.findall(scripts())}
    idle = {rule for rule in rules if rule.startswith("+")} - used - in_scripts
    assert idle <= {"+wait", "+del", "+incr", "+eval", "+evalsha"}


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "KEYS *", "CONFIG SET appendonly no", "GET other"]
)
def test_the_documented_user_may_nothing_else(command, start_server):
    """X17."""
    server = start_server()
    let_in(server, documented_rules())

    with socket(AF_UNIX) as channel:
        channel.connect(f"{server.folder}/s")
        channel.sendall(f"AUTH kindred secret\r\n{command}\r\n".encode())
        time.sleep(0.2)
        answer = channel.recv(4096).decode()

    assert answer.startswith("+OK\r\n-NOPERM")


def test_what_the_store_denies_is_told_as_a_store_that_is_of_no_use(start_server, start_service):
    server = start_server()
    service = start_service(redis_url=let_in(server, documented_rules()))
    with service.client() as client:
        journey(client)
        files = [part(draw(1))]
        fields = {"gallery": "staff", "target_fpir": "0.5"}
        before = client.post("/identify", data=fields, files=files)
        assert server.command("ACL SETUSER kindred -evalsha -eval -hgetall -smembers") == "+OK\r\n"

        for call in (
            lambda: client.post(
                "/enroll", data={"gallery": "staff", "identity": "z"}, files=files
            ),
            lambda: client.delete("/galleries/staff/identities/a"),
            lambda: client.get("/galleries/staff/identities"),
            lambda: client.get("/galleries/staff/export"),
        ):
            answer = call()
            assert answer.status_code == 503, answer.text
            assert answer.json()["type"].endswith(("#store-unavailable", "#not-ready"))
        after = client.post("/identify", data=fields, files=files)

    assert before.json()["results"][0]["identity"] == after.json()["results"][0]["identity"]
    assert '"defect"' not in service.log.read_text()


@contextmanager
def behind_tls(path: Path, certificate):
    """Yield the port of a TLS listener on loopback that hands on to a unix socket."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    listener = create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def pump(source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(2)

    def serve():
        while True:
            channel, _ = listener.accept()
            if ended.is_set():
                channel.close()
                return
            threading.Thread(target=hand_on, args=(channel,), daemon=True).start()

    def hand_on(channel):
        try:
            with context.wrap_socket(channel, server_side=True) as outer, socket(AF_UNIX) as inner:
                inner.connect(str(path))
                back = threading.Thread(target=pump, args=(inner, outer), daemon=True)
                back.start()
                pump(outer, inner)
                back.join()
        except OSError:  # whoever does not trust the certificate
            channel.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    yield port
    ended.set()
    with socket() as last:
        last.connect(("127.0.0.1", port))
    thread.join()
    listener.close()


def test_a_store_behind_tls_is_reached_by_its_authority(tmp_path, start_server, start_service):
    authority, server = trustme.CA(), start_server()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    let_in(server, documented_rules())
    with behind_tls(server.folder / "s", authority.issue_cert("localhost")) as port:
        url = f"rediss://kindred:secret@localhost:{port}/0"
        service = start_service(redis_url=url, redis_ca_file=tmp_path / "ca.pem")

        with service.client() as client:
            journey(client)

        assert service.stop() == 0


@pytest.mark.parametrize(
    "fault", ["another authority", "the system's authorities", "another name"]
)
def test_a_store_whose_certificate_does_not_hold_is_not_spoken_to(
    fault, tmp_path, start_server, bundles
):
    authority, server = trustme.CA(), start_server()
    trusted = trustme.CA() if fault == "another authority" else authority
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    name = "elsewhere.example" if fault == "another name" else "localhost"
    more = {} if fault == "the system's authorities" else {"redis_ca_file": tmp_path / "ca.pem"}
    with behind_tls(server.folder / "s", authority.issue_cert(name)) as port:
        url = f"rediss://kindred:secret@localhost:{port}/0"
        service = Service(tmp_path / "var", bundles, redis_url=url, **more).start()
        try:
            until = time.monotonic() + 60
            with service.client() as client:
                while "store unavailable" not in service.log.read_text():
                    assert time.monotonic() < until
                    time.sleep(0.1)
                answer = client.get("/health/ready")
            assert answer.status_code == 503
            assert "store-unavailable" in answer.json()["reasons"]
        finally:
            service.stop()
    assert "secret" not in service.log.read_text()
