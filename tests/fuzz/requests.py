"""`python -m tests.fuzz.requests --n N --seed S`: whole requests, mutated byte by byte.

Each is a valid request of some route, changed in a few places, head and body alike, and sent over
a connection of its own to a real service. Whatever it is, the answer must be no 5xx but a 503 with
its cause, the service must live, and no request may cost more than a second of the processor.
Prints one line of JSON; request `i` of a seed can be made again by `--only i`.
"""

import argparse
import json
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.audio_bundles import make_audio_bundle
from tests.bundles import make_bundle
from tests.drawings import as_json, draw, part
from tests.fuzz.mutations import mutated, swapped
from tests.refusals import TICK, _stat, processes
from tests.services import Service
from tests.sounds import encoded, voice
from tests.text_bundles import make_text_bundle

MOST_SECONDS = 1.0
MOST_WAIT = 40.0  # seconds, on any machine, until an answer ends
LOOK_EVERY = 200  # requests, between two looks at which processes there are
HOST = "http://127.0.0.1"
IMAGE = {"content-type": "image/png"}


def corpus() -> list[bytes]:
    """Return a valid request of each kind, as it goes over the wire."""
    drawing, pair = draw(1), [part(draw(1), "a"), part(draw(2), "b")]
    vector = np.eye(32, dtype=float)[0].tolist()
    line = json.dumps({"identity": "ada", "embedding": vector}).encode() + b"\n"
    sound = ("files", ("clip.wav", encoded(voice(1)), "audio/wav"))
    text = {"files": [{"text": "The man plays the flute."}], "comparator": "words"}
    calls: list[tuple[str, str, dict]] = [
        ("POST", "/verify", {"files": pair, "data": {"target_fmr": "0.1"}}),
        ("POST", "/verify", {"json": {"a": as_json(drawing), "b": {"embedding": vector}}}),
        ("POST", "/embed", {"files": [part(drawing)]}),
        ("POST", "/embed", {"files": [sound], "data": {"comparator": "sounds"}}),
        ("POST", "/embed", {"json": text}),
        ("POST", "/identify?top=1", {"content": drawing, "headers": IMAGE}),
        ("POST", "/identify", {"files": [part(drawing)], "data": {"target_fpir": "0.1"}}),
        ("POST", "/identify", {"json": {"files": [{"embedding": vector}], "top": 3, "k": 2}}),
        ("POST", "/enroll", {"files": [part(drawing)], "data": {"identity": "ada"}}),
        ("POST", "/enroll", {"json": {"identity": "bob", "files": [as_json(drawing)]}}),
        ("POST", "/enroll/bulk", {"content": line * 3}),
        ("POST", "/cluster", {"files": [part(draw(i)) for i in range(3)]}),
        ("POST", "/galleries", {"json": {"name": "g", "target_fpir": 0.1}}),
        ("POST", "/galleries/g/cohort", {"files": [part(draw(i)) for i in range(3)]}),
        ("GET", "/galleries", {}),
        ("GET", "/galleries/default", {}),
        ("GET", "/galleries/default/health", {}),
        ("GET", "/galleries/default/export", {}),
        ("GET", "/galleries/default/identities", {"params": {"limit": "10"}}),
        ("GET", "/galleries/default/identities/ada", {}),
        ("PATCH", "/galleries/default/identities/ada", {"json": {"metadata": {"a": 1}}}),
        ("DELETE", "/galleries/default/identities/bob", {}),
        ("DELETE", "/galleries/g", {}),
        ("POST", "/galleries/i/import", {"content": b'{"kindred": 1}\n'}),
        ("GET", "/comparators/tiny", {}),
        ("GET", "/health/ready", {}),
        ("GET", "/metrics", {}),
        ("GET", "/openapi.json", {}),
    ]
    return [_wire(httpx.Request(method, HOST + path, **how)) for method, path, how in calls]


def _wire(request: httpx.Request) -> bytes:
    head = b"%s %s HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)
    fields = [*request.headers.raw, (b"Connection", b"close"), (b"Idempotency-Key", b"k1")]
    head += b"".join(b"%s: %s\r\n" % field for field in fields)
    return head + b"\r\n" + request.read()


def made(requests: list[bytes], seed: int, number: int) -> bytes:
    """Return the request of a number: a valid one, changed anywhere, or only in its body."""
    rng = np.random.default_rng([seed, number])
    head, _, body = requests[int(rng.integers(len(requests)))].partition(b"\r\n\r\n")
    if body and rng.random() < 0.6:
        body = swapped(body, rng) if rng.random() < 0.5 else mutated(body, rng)
        lines = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"content-length")]
        lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body
    whole = head + b"\r\n\r\n" + body
    return swapped(whole, rng) if rng.random() < 0.5 else mutated(whole, rng)


def ask(url: str, request: bytes) -> int | None:
    """Send bytes, and no more; return the status of the first answer, None if there is none."""
    host, _, port = url.removeprefix("http://").partition(":")
    said = b""
    with socket.create_connection((host, int(port)), MOST_WAIT) as channel:
        with suppress(ConnectionError, BrokenPipeError):
            channel.sendall(request)
            channel.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while got := channel.recv(2**16):
                said = (said + got)[:64]
    if said and not said.startswith(b"HTTP/1.1 "):
        raise AssertionError(f"no HTTP: {said[:64]!r}")
    return int(said[9:12]) if said else None


def fuzz(service: Service, numbers: range, seed: int) -> dict[str, object]:
    """Send the requests of these numbers, and return what came of them."""
    assert service.process is not None
    requests, statuses = corpus(), Counter[str]()
    bad: list[dict[str, object]] = []
    dearest, spent = 0.0, _meter(service.process.pid)
    spent()
    for number in numbers:
        begun = time.monotonic()
        status = ask(service.url, made(requests, seed, number))
        cost = spent()
        dearest = max(dearest, cost)
        statuses[str(status)] += 1
        if cost > MOST_SECONDS or (status is not None and status >= 500 and status != 503):
            took = round(time.monotonic() - begun, 2)
            bad.append({"request": number, "status": status, "cpu": round(cost, 2), "s": took})
        if service.process.poll() is not None:
            bad.append({"request": number, "ended": service.process.returncode})
            break
    log = [json.loads(line) for line in service.log.read_text().splitlines() if '"defect"' in line]
    return {
        "n": len(numbers),
        "seed": seed,
        "statuses": dict(sorted(statuses.items())),
        "dearest_cpu_seconds": round(dearest, 2),
        "defects": Counter(_place(line) for line in log),
        "bad": bad,
    }


def _place(line: dict[str, Any]) -> str:
    """Return what a defect was, and where."""
    first = line.get("exceptions", [{}])[0]
    return f"{first.get('type')} {(first.get('frames') or ['?'])[-1]}"


def _meter(root: int) -> Callable[[], float]:
    """Return a function that tells the processor seconds of a service since it was last asked."""
    known: dict[int, int] = {}
    asked = 0

    def spent() -> float:
        nonlocal asked
        if asked % LOOK_EVERY == 0:
            for pid in set(processes(root)) - set(known):
                known[pid] = _ticks(pid) or 0
        asked += 1
        ticks = 0
        for pid, before in list(known.items()):
            now = _ticks(pid)
            if now is None:  # it has ended: who waited for it counts all of it from now on
                ticks -= known.pop(pid)
            else:
                known[pid] = now
                ticks += now - before
        return max(0, ticks) * TICK

    return spent


def _ticks(pid: int) -> int | None:
    """Return the processor time of a process and of its children that have ended, if it runs."""
    stat = _stat(pid)
    return sum(map(int, stat[11:15])) if stat else None


def start(folder: Path) -> Service:
    """Return a service of every modality."""
    make_bundle(folder / "bundles", cohort=400, dimension=32)
    make_text_bundle(folder / "bundles")
    make_audio_bundle(folder / "bundles")
    service = Service(folder / "var", folder / "bundles", default_comparator="tiny")
    return service.start(timeout=300).wait_ready(timeout=300)


def main() -> None:
    """Fuzz, and print what came of it; exit 1 if anything was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    numbers = range(options.n)
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
        print(made(corpus(), options.seed, options.only))
    with tempfile.TemporaryDirectory() as folder:
        service = start(Path(folder))
        try:
            told = fuzz(service, numbers, options.seed)
        finally:
            ended = service.stop()
    print(json.dumps(told | {"exit": ended}))
    raise SystemExit(bool(told["bad"] or told["defects"] or ended))


if __name__ == "__main__":
    main()
