"""More than can be served: who gets in, how fast, and what the others are told.

    python -m benchmarks.overload

The service runs as shipped, and the clients in one process beside it. First its capacity is found
with a few connections that ask again as soon as they are answered. Then requests come at random
times at a fixed rate, whatever becomes of them (an open loop), and latency counts from when each
was due; after each rate the capacity is found again. Last, sockets that never send a whole request
stand beside honest clients.
"""

import argparse
import gc
import heapq
import json
import os
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.clients import Answer, Clients, get, post
from tests.services import ROOT, Service

ALWAYS = ("/health/live", "/health/ready", "/metrics")
ALWAYS_RATE = 10.0  # a second, of each but the metrics, which are asked for once a second
CLOSED_LOOP = 8  # connections
USEFUL = 1.0  # seconds within which an answer is worth having


def at_random(
    rng: np.random.Generator, rate: float, seconds: float, path: str, request: bytes
) -> Iterator[tuple[float, str, bytes]]:
    """Yield arrivals of a Poisson process."""
    now = rng.exponential(1 / rate)
    while now < seconds:
        yield now, path, request
        now += rng.exponential(1 / rate)


def open_loop(
    url: str, rate: float, seconds: float, path: str, request: bytes, seed: int
) -> list[Answer]:
    """Return what becomes of requests at this rate, and of those that always get an answer."""
    gc.disable()  # a collection among 100,000 answers would be told as the service's delay
    rng, clients = np.random.default_rng(seed), Clients(url)
    streams = [at_random(rng, rate, seconds, path, request)]
    for each in ALWAYS:
        often = 1.0 if each == "/metrics" else ALWAYS_RATE
        streams.append(at_random(rng, often, seconds, each, get(each)))
    clients.run(heapq.merge(*streams))
    clients.close()
    gc.enable()
    return clients.answers


def capacity(url: str, seconds: float, path: str, request: bytes) -> float:
    """Return answers a second where each connection asks again at once."""
    clients = Clients(url)
    clients.closed_loop(path, request, CLOSED_LOOP, seconds / 2)  # until it is warm
    clients.answers.clear()
    clients.closed_loop(path, request, CLOSED_LOOP, seconds)
    clients.close()
    return sum(answer.status == 200 for answer in clients.answers) / seconds


@dataclass(frozen=True, slots=True)
class Level:
    """What was seen at one rate; seconds in milliseconds."""

    load: float  # of capacity
    capacity: float  # answers a second in the closed loop: the mean of before and after
    offered: int
    accepted: int
    refused: int
    failed: int
    goodput: float  # useful answers a second, of capacity
    accepted_p50_ms: float
    accepted_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    always_p99_ms: float
    always_failed: int


def level(answers: list[Answer], load: float, most: float, seconds: float) -> Level:
    """Return the figures of answers at one rate."""
    by_status: dict[int, list[float]] = defaultdict(list)
    always: list[Answer] = []
    for answer in answers:
        if answer.path in ALWAYS:
            always.append(answer)
        else:
            by_status[answer.status].append(answer.seconds)
    accepted, refused = by_status.pop(200, []), by_status.pop(503, [])
    offered = len(answers) - len(always)
    return Level(
        load=load,
        capacity=round(most, 1),
        offered=offered,
        accepted=len(accepted),
        refused=len(refused),
        failed=sum(map(len, by_status.values())),
        goodput=round(sum(s <= USEFUL for s in accepted) / seconds / most, 3),
        accepted_p50_ms=_percentile(accepted, 50),
        accepted_p99_ms=_percentile(accepted, 99),
        refused_p50_ms=_percentile(refused, 50),
        refused_p99_ms=_percentile(refused, 99),
        always_p99_ms=_percentile([answer.seconds for answer in always], 99),
        always_failed=sum(answer.status != 200 for answer in always),
    )


def _percentile(seconds: list[float], q: float) -> float:
    return round(1000 * float(np.percentile(seconds, q)), 1) if seconds else 0.0


def stuck_sockets(url: str, count: int) -> list[socket.socket]:
    """Return sockets that send nothing, half a head, or half a body."""
    where = urlsplit(url)
    halves = (b"", b"POST /embed HTTP/1.1\r\nHost: loc", post("/embed", "files")[:-20])
    channels = []
    for i in range(count):
        channel = socket.create_connection((str(where.hostname), int(where.port or 80)))
        channel.send(halves[i % len(halves)])
        channel.setblocking(False)
        channels.append(channel)
    return channels


def still_open(channels: list[socket.socket]) -> int:
    """Return how many of these sockets the server has not closed."""
    count = 0
    for channel in channels:
        try:
            while data := channel.recv(65536):
                pass
        except BlockingIOError:
            count += 1
        except OSError:
            continue
        else:
            assert not data
    return count


@dataclass(frozen=True, slots=True)
class Beside:
    """Honest requests, each on a connection of its own, beside stuck sockets."""

    stuck: int
    honest: int
    succeeded: int
    honest_p99_ms: float
    closed_after_s: float | None  # all sockets without a whole head; None: not in the time given
    bodies_closed_after_s: float | None


def beside_stuck(
    url: str, rate: float, seconds: float, path: str, count: int, seed: int
) -> Beside:
    """Return how honest clients fare, and when the others were closed."""
    request = post(path, "files").replace(b"\r\nHost", b"\r\nConnection: close\r\nHost", 1)
    rng, clients, begun = np.random.default_rng(seed), Clients(url), time.perf_counter()
    channels = stuck_sockets(url, count)
    heads = [c for i, c in enumerate(channels) if i % 3 != 2]
    bodies = channels[2::3]
    closed: dict[str, float] = {}
    arrivals = at_random(rng, rate, seconds, path, request)

    def watched() -> Iterator[tuple[float, str, bytes]]:
        look = 0.0
        for arrival in arrivals:
            if arrival[0] > look:
                look = arrival[0] + 0.25
                for name, group in (("heads", heads), ("bodies", bodies)):
                    if name not in closed and not still_open(group):
                        closed[name] = round(time.perf_counter() - begun, 1)
            yield arrival

    clients.run(watched())
    clients.close()
    for channel in channels:
        channel.close()
    seconds_taken = [answer.seconds for answer in clients.answers]
    return Beside(
        stuck=count,
        honest=len(clients.answers),
        succeeded=sum(answer.status == 200 for answer in clients.answers),
        honest_p99_ms=_percentile(seconds_taken, 99),
        closed_after_s=closed.get("heads"),
        bodies_closed_after_s=closed.get("bodies"),
    )


def main() -> None:
    """Print a line of JSON for each measurement, and write them all to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--loads", type=float, nargs="*", default=[0.7, 3.0, 10.0])
    parser.add_argument("--path", default="/embed", choices=("/embed", "/identify"))
    parser.add_argument("--stuck", type=int, default=500, help="sockets that are stuck")
    parser.add_argument("--connections", type=int, default=1000, help="that the service takes")
    parser.add_argument("--max-wait", type=float, default=None, help="instead of as shipped")
    parser.add_argument("--bundles", type=Path, default=ROOT / "models_store" / "bundles")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-core", action="store_true", help="service and clients apart")
    parser.add_argument("--out", type=Path, help="file to write, as JSON")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    found: dict[str, object] = {"asked": {k: str(v) for k, v in vars(asked).items()}}
    with tempfile.TemporaryDirectory(prefix="kindred-overload-") as folder:
        if asked.one_core:
            os.sched_setaffinity(0, cores[:1])  # the service inherits it
        settings = {"threads": 1} if asked.one_core else {}
        if asked.max_wait is not None:
            settings["max_wait"] = asked.max_wait
        service = Service(
            Path(folder) / "var", asked.bundles, max_connections=asked.connections, **settings
        )
        try:
            service.start(240).wait_ready(240)
            if asked.one_core:
                os.sched_setaffinity(0, cores[1:] or cores)
            request = post(asked.path, "files")
            most = capacity(service.url, asked.seconds, asked.path, request)
            for load in asked.loads:
                answers = open_loop(
                    service.url, load * most, asked.seconds, asked.path, request, asked.seed
                )
                before, most = most, capacity(service.url, asked.seconds, asked.path, request)
                one = level(answers, load, (before + most) / 2, asked.seconds)
                found[f"{load:g}x"] = asdict(one)
                print(json.dumps(asdict(one)), flush=True)
            if asked.stuck:
                long = 35.0 if asked.seconds >= 10 else 14.0
                beside = beside_stuck(
                    service.url, most / 4, long, asked.path, asked.stuck, asked.seed
                )
                found["stuck"] = asdict(beside)
                print(json.dumps(asdict(beside)), flush=True)
        finally:
            service.stop()
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
