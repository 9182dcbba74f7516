"""A process is killed at one step of enrolling or forgetting; then the client asks again."""

import base64
import hashlib
import http.client
import json
import shutil
import subprocess
import time
from dataclasses import replace

from tests.drawings import as_json, draw
from tests.torture.audit import Sample, draw_samples
from tests.torture.clients import outcome_of
from tests.torture.history import Operation
from tests.torture.scene import DIMENSION, Scene, Victim

STRACE = shutil.which("strace")
SLOW = 200_000  # µs of one fsync, so that there is a moment between writing and fsync


class Client:
    """One client with one connection, which says what it was told."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.sent: list[Sample] = []
        self.gone: list[Sample] = []

    def call(
        self, operation: Operation, method: str, path: str, body: bytes, *, half: bool = False
    ) -> Operation:
        """Send a request, or its first half; return what became of it."""
        number = self._scene.history.invoke(operation)
        port = self._scene.services[0].port
        patience = 1 if half else 10
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
        try:
            connection.putrequest(method, path)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            if operation.key:
                connection.putheader("Idempotency-Key", operation.key)
            connection.endheaders(body[: len(body) // 2] if half else body)
            response = connection.getresponse()
            said = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return self._scene.history.end(number, "unknown")
        finally:
            connection.close()
        return self._scene.history.end(
            number,
            outcome_of(response.status),
            status=response.status,
            version=said.get("version"),
        )


def kill_at(scene: Scene, step: str, victim: Victim, client: Client, name: str) -> bool:
    """Kill at a step, start again, and let the client settle it; return whether it came to it."""
    gallery = "default"
    service = scene.services[0]
    [sample] = draw_samples(scene.rng, 1, DIMENSION)
    picture = step == "E1"  # only samples that are decoded come by there
    content = as_json(draw(int(scene.rng.integers(10_000)))) if picture else None
    body = {"identity": name, "files": [content or {"embedding": sample.values.tolist()}]}
    fingerprint = _fingerprint(content) if content else sample.fingerprint
    if not picture:
        client.sent.append(sample)
    enroll = Operation("f", "enroll", gallery, fingerprint, name, key=name)
    forget = Operation("f", "forget", gallery, "", name)

    def ask(operation: Operation, *, half: bool = False) -> Operation:
        if operation.kind == "forget":
            return client.call(
                operation, "DELETE", f"/galleries/{gallery}/identities/{operation.identity}", b""
            )
        return client.call(operation, "POST", "/enroll", json.dumps(body).encode(), half=half)

    _warm_up(scene, client, name)
    if step == "E9":
        ask(enroll)
    victims = {"service": [service.pid], "store": [scene.store.process.pid]}
    killed = [pid for who, pids in victims.items() if victim in (who, "both") for pid in pids]
    slowed = _slow_fsync(scene.store.process.pid) if step == "E4" else None
    # The service may end itself at once, so it is the last.
    service.arm(step, killed[::-1], scene.store.process.pid)
    first = ask(forget if step == "E9" else enroll, half=step == "E0")
    until = time.monotonic() + 10
    while service.arm_file.exists() and time.monotonic() < until:
        time.sleep(0.01)
    came = not service.disarm()
    if slowed:
        slowed.kill()
        slowed.wait()
    if victim != "service":
        scene.store.kill9()
        scene.store.start()
    else:
        scene.store.cont()
    if victim != "store":
        service.kill9()  # for certain: it was killed if it came to the step
        service.start()
    service.wait_ready()
    while first.outcome == "unknown":
        first = ask(replace(forget if step == "E9" else enroll, retried=True))
    if step == "E9":
        client.gone.append(sample)
    scene.tally.kills[f"{step} {victim}"] = scene.tally.kills.get(f"{step} {victim}", 0) + came
    return came


def _warm_up(scene: Scene, client: Client, name: str) -> None:
    """Let a store that was started again have the scripts, so that the next is run at once."""
    [sample] = draw_samples(scene.rng, 1, DIMENSION)
    client.sent.append(sample)
    body = {"identity": f"{name}-before", "files": [{"embedding": sample.values.tolist()}]}
    warm = Operation("f", "enroll", "default", sample.fingerprint, f"{name}-before")
    client.call(warm, "POST", "/enroll", json.dumps(body).encode())


def _fingerprint(content: dict[str, str]) -> str:
    return hashlib.sha256(base64.b64decode(content["base64"])).hexdigest()


def _slow_fsync(pid: int) -> "subprocess.Popen[bytes] | None":
    """Let a process take long for each fsync, where there is strace."""
    if STRACE is None:
        return None
    words = ["-f", "-qq", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:delay_enter={SLOW}"]
    traced = subprocess.Popen(
        [STRACE, *words, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(0.15)
    return traced
