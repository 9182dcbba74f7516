"""`python -m benchmarks.bulk`: durable embeddings a second through `/enroll/bulk`.

    python -m benchmarks.bulk --before 0 100000 1000000 --lines 100000
    python -m benchmarks.bulk --pictures 2000

One client sends lines to a real service over HTTP, and reads the answers meanwhile, into a gallery
that holds so many samples already. Beside it are what the same server does with the same bytes in
raw pipelines, each made durable, and single enrollments one after the other. Printed are rates,
processor microseconds a line of service, store and client, and the longest wait of another client
who asks `/identify` ten times a second. Pictures stand beside a loop that decodes and runs them.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np

from benchmarks.clients import DRAWING
from benchmarks.ratios import HEAD, Ratio
from models_store import Sample, open_shelf
from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from tests.services import ROOT, Service

DIMENSION = 128
GROUP = 256  # lines of one raw pipeline
BUNDLES = ROOT / "models_store" / "bundles"


def embeddings(start: int, count: int, each: int = 1) -> Iterator[bytes]:
    """Yield lines of random unit vectors, `each` of them of one identity."""
    rng = np.random.default_rng(start)
    for first in range(start, start + count, 1000):
        rows = rng.standard_normal((min(1000, start + count - first), DIMENSION))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for i, row in enumerate(rows.astype(np.float32).tolist(), first):
            numbers = b", ".join(b"%.9g" % number for number in row)
            yield b'{"identity": "id-%d", "embedding": [%s]}\n' % (i // each, numbers)


def pictures(count: int) -> list[bytes]:
    """Return so many drawings, no two the same bytes."""
    drawing = DRAWING.read_bytes()
    return [drawing + b"%d" % i for i in range(count)]


def enroll(url: str, lines: Sequence[bytes]) -> bytes:
    """Send lines in one body, and return all answers, which are read meanwhile."""
    host, port = url.removeprefix("http://").split(":")
    answers: list[bytes] = []
    with socket.create_connection((host, int(port))) as channel:

        def read() -> None:
            while piece := channel.recv(2**18):
                answers.append(piece)

        reading = threading.Thread(target=read)
        reading.start()
        head = f"POST /enroll/bulk HTTP/1.1\r\nhost: {host}:{port}\r\n"
        channel.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for i in range(0, len(lines), GROUP):
            piece = b"".join(lines[i : i + GROUP])
            channel.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        channel.sendall(b"0\r\n\r\n")
        reading.join()
    return b"".join(answers)


def seconds_of(pid: int) -> float:
    """Return how much processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def store_of(pid: int) -> int:
    """Return the process of a service's embedded store."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if "valkey" in Path(f"/proc/{child}/comm").read_text():
            return int(child)
    raise RuntimeError("the service has no store of its own")


def timed(service: Service, lines: Sequence[bytes]) -> dict[str, float]:
    """Enroll lines, and return how fast that was and what it took."""
    assert service.process is not None
    pids = {"service": service.process.pid, "store": store_of(service.process.pid)}

    def spent() -> dict[str, float]:
        taken = {name: seconds_of(pid) for name, pid in pids.items()}
        return taken | {"client": time.process_time()}

    before, begun = spent(), time.perf_counter()
    answers = enroll(service.url, lines)
    took = time.perf_counter() - begun
    after = spent()
    added = answers.count(b'"added"')
    if added != len(lines):
        raise RuntimeError(f"{added} of {len(lines)} lines were added: {answers[-300:]!r}")
    each = {f"{name} µs": (after[name] - before[name]) / added * 1e6 for name in after}
    return {"lines/s": added / took} | each


def singly(url: str, lines: Sequence[bytes]) -> float:
    """Return enrollments a second of a client that sends one, and waits, and sends the next."""
    with httpx.Client(base_url=url, timeout=60) as client:
        bodies = [json.loads(line) for line in lines]
        begun = time.perf_counter()
        for i, body in enumerate(bodies):
            one = {"identity": f"one-{i}", "files": [{"embedding": body["embedding"]}]}
            client.post("/enroll", json=one).raise_for_status()
        return len(bodies) / (time.perf_counter() - begun)


class Neighbour(threading.Thread):
    """Somebody who asks ten times a second; `worst` is the longest wait, in seconds."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.worst = 0.0
        self._url = url
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask on and on."""
        probe = json.loads(next(embeddings(10**9, 1)))["embedding"]
        body = {"files": [{"embedding": probe}], "threshold": 0.5}
        with httpx.Client(base_url=self._url, timeout=60) as client:
            client.post("/identify", json=body)
            while not self._ended.wait(0.1):
                begun = time.perf_counter()
                client.post("/identify", json=body).raise_for_status()
                self.worst = max(self.worst, time.perf_counter() - begun)

    def end(self) -> float:
        """Ask no more, and return the longest wait."""
        self._ended.set()
        self.join()
        return self.worst


async def raw(count: int) -> float:
    """Return embeddings a second that the server takes as plain hashes, a barrier a pipeline."""
    row = np.zeros(DIMENSION, np.float32).tobytes()
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder)) as server:
            redis = DurableRedis(server.url, timeout=20)
            begun = time.perf_counter()
            for first in range(0, count, GROUP):
                group = range(first, first + GROUP)
                names = [hashlib.sha256(b"%d" % i).hexdigest() for i in group]
                words = [word for name in names for word in (name, row)]
                await redis.write("HSET", f"raw:{first}", *words)
            took = time.perf_counter() - begun
            await redis.close()
    return count / took


def bare_loop(count: int) -> float:
    """Return pictures a second that one process decodes and runs, 64 at a time, and no more."""
    comparator = next(
        each for each in open_shelf(BUNDLES).comparators.values() if each.manifest.name == "ink"
    )
    contents = pictures(count)
    begun = time.perf_counter()
    for i in range(0, count, 64):
        comparator.embed([comparator.prepare(Sample(one)) for one in contents[i : i + 64]])
    return count / (time.perf_counter() - begun)


def rows(lines: int, many_pictures: int, rounds: int) -> Iterator[Ratio]:
    """Yield the rows of `make bench`: into a new gallery, and pictures."""
    ours, limits, singles, drawn, bare = [], [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            service = Service(Path(folder) / "var", BUNDLES, default_comparator="ink").start()
            try:
                service.wait_ready()
                ours.append(timed(service, list(embeddings(0, lines)))["lines/s"])
                singles.append(singly(service.url, list(embeddings(10**8, min(200, lines)))))
                sent = [
                    json.dumps({"identity": f"d-{i}", "base64": base64.b64encode(one).decode()})
                    for i, one in enumerate(pictures(many_pictures))
                ]
                drawn.append(timed(service, [f"{one}\n".encode() for one in sent])["lines/s"])
            finally:
                service.stop()
        limits.append(asyncio.run(raw(lines)))
        bare.append(bare_loop(many_pictures))
    yield Ratio("bulk, embeddings", "raw durable pipelines", "lines/s", ours, limits)
    yield Ratio("bulk, embeddings", "one by one", "lines/s", ours, singles)
    yield Ratio("bulk, pictures", "bare loop", "pictures/s", drawn, bare, wanted=0.85)


def grow(before: int, lines: int, policy: str) -> dict[str, float]:
    """Return what enrolling into a gallery of so many samples takes."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(
            Path(folder) / "var", BUNDLES, default_comparator="ink", on_suspicion=policy
        ).start()
        try:
            service.wait_ready()
            for first in range(0, before, 50_000):
                enroll(service.url, list(embeddings(first, min(50_000, before - first))))
            alone = timed(service, list(embeddings(before, lines)))
            neighbour = Neighbour(service.url)
            neighbour.start()
            beside = timed(service, list(embeddings(before + lines, lines)))
            alone["lines/s beside a neighbour"] = beside["lines/s"]
            alone["neighbour's worst, ms"] = 1000 * neighbour.end()
        finally:
            service.stop()
    return alone


def main() -> None:
    """Measure with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=int, nargs="*", default=[0], help="samples there are")
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3, help="of the rows; 0: none of them")
    parser.add_argument("--policy", default="warn", choices=["warn", "refuse", "ignore"])
    asked = parser.parse_args()
    for before in asked.before:
        found = grow(before, asked.lines, asked.policy)
        told = {name: round(value, 1) for name, value in found.items()}
        print(json.dumps({"before": before} | told), flush=True)
    if asked.rounds:
        print(HEAD, flush=True)
        for row in rows(asked.lines, asked.pictures, asked.rounds):
            print(row.line(), flush=True)


if __name__ == "__main__":
    main()
