"""The request path, beside the bare loop and what a user would otherwise write, on one core.

    python -m benchmarks.requests

The service runs as shipped on the first core, as the naive app does, clients on the others. The
bare loop decodes, resizes and runs the same encoder for the same picture, with no HTTP, one after
the other or 64 at a time. All take turns in one run, and each round gives a ratio: by the clock,
and by the processor time that all processes of each take for a picture, which other work on the
machine moves less.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import httpx

from benchmarks.clients import DRAWING, Clients, post
from models_store import Sample, open_shelf
from tests.refusals import processor_seconds
from tests.services import ROOT, Service

BUNDLES = ROOT / "models_store" / "bundles"
ENROLLED = 12
SETTLING = 3.0  # seconds after the last enrollment, until what it leaves to do is done
WARM = 0.5  # seconds that each is asked before it is measured


@dataclass(frozen=True, slots=True)
class Row:
    """One call: how many pictures it has, on how many connections, and which loop it is beside."""

    path: str
    parts: tuple[str, ...]
    connections: int = 16
    at_once: int = 1


ROWS: Mapping[str, Row] = {
    "/embed": Row("/embed", ("files",)),
    "/identify": Row("/identify", ("files",)),
    "/verify, 2 pictures": Row("/verify", ("a", "b")),
    "/embed, 64 pictures": Row("/embed", ("files",) * 64, connections=2, at_once=64),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Pictures a second by the clock, and the processor milliseconds that each takes."""

    rate: float
    ms: float


def bare_loop(at_once: int, seconds: float) -> Pace:
    """Return the pace of decoding, resizing and running the encoder, in this process."""
    comparator = open_shelf(BUNDLES, threads=1).comparators["ink@1"]
    sample, done = Sample(DRAWING.read_bytes()), 0
    for measured in (False, True):
        begun, spent, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begun < (seconds if measured else WARM):
            comparator.embed([comparator.prepare(sample) for _ in range(at_once)])
            done += at_once
    spent = time.process_time() - spent
    return Pace(done / (time.perf_counter() - begun), 1000 * spent / done)


def served(url: str, pid: int, row: Row, seconds: float) -> Pace:
    """Return the pace of a service, all of its processes together."""
    clients, request = Clients(url), post(row.path, *row.parts)
    clients.closed_loop(row.path, request, row.connections, WARM)
    clients.answers.clear()
    begun, spent = time.perf_counter(), processor_seconds(pid)
    clients.closed_loop(row.path, request, row.connections, seconds)
    spent, taken = processor_seconds(pid) - spent, time.perf_counter() - begun
    clients.close()
    statuses = {answer.status for answer in clients.answers}
    if statuses != {200}:
        raise SystemExit(f"{row.path}: expected 200 only, got {sorted(statuses)}")
    pictures = len(clients.answers) * len(row.parts)
    return Pace(pictures / taken, 1000 * spent / pictures)


@contextmanager
def on_core(cores: set[int]) -> Iterator[None]:
    """Keep this process, and those that it starts meanwhile, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    yield
    os.sched_setaffinity(0, before)


@contextmanager
def naive_app() -> Iterator[tuple[str, int]]:
    """Serve the naive app; give its address and process."""
    command = [sys.executable, "-m", "benchmarks.naive", str(BUNDLES)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as app:
        assert app.stderr is not None
        try:
            said = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in app.stderr)
            yield next(found[0] for found in said if found), app.pid
        finally:
            app.kill()


def enroll(url: str) -> None:
    """Enroll a drawing of each of some characters, other than the one that is asked about."""
    drawings = sorted((ROOT / "kindred" / "drawings").glob("*/2.png"))[:ENROLLED]
    with httpx.Client(base_url=url, timeout=30) as client:
        for drawing in drawings:
            files = [("files", (drawing.name, drawing.read_bytes()))]
            data = {"identity": drawing.parent.name}
            client.post("/enroll", data=data, files=files).raise_for_status()
    time.sleep(SETTLING)


def measure(rounds: int, seconds: float) -> dict[str, dict[str, list[Pace]]]:
    """Return the pace of each row round by round: ours, of the naive app, of the bare loop."""
    cores = sorted(os.sched_getaffinity(0))
    first, others = {cores[0]}, set(cores[1:]) or set(cores)
    found: dict[str, dict[str, list[Pace]]] = {name: {} for name in ROWS}
    with tempfile.TemporaryDirectory(prefix="kindred-requests-") as folder, on_core(others):
        # Here nobody is turned away for the time that it would wait: pace is what is asked for.
        service = Service(Path(folder) / "var", BUNDLES, threads=1, max_wait=2)
        try:
            with on_core(first), naive_app() as (naive_url, naive_pid):
                service.start(240).wait_ready(240)
                assert service.process is not None
                with on_core(others):
                    enroll(service.url)
                for _ in range(rounds):
                    bare = {
                        n: bare_loop(n, seconds) for n in {row.at_once for row in ROWS.values()}
                    }
                    with on_core(others):
                        naive = {
                            row: served(naive_url, naive_pid, row, seconds)
                            for row in ROWS.values()
                            if row.path == "/embed"
                        }
                        for name, row in ROWS.items():
                            ours = served(service.url, service.process.pid, row, seconds)
                            alone = naive[ROWS["/embed"]]
                            for whose, pace in (
                                ("ours", ours),
                                ("naive", naive.get(row, alone)),
                                ("bare", bare[row.at_once]),
                            ):
                                found[name].setdefault(whose, []).append(pace)
        finally:
            service.stop()
    return found


def spread(ratios: list[float]) -> str:
    """Return the median of ratios, and from where to where they lie."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def compared(paces: dict[str, list[Pace]]) -> dict[str, str]:
    """Return how one row compares."""
    ours, naive, bare = paces["ours"], paces["naive"], paces["bare"]
    by_clock = [
        (a.rate / b.rate, a.rate / c.rate) for a, b, c in zip(ours, bare, naive, strict=True)
    ]
    by_processor = [(b.ms / a.ms, c.ms / a.ms) for a, b, c in zip(ours, bare, naive, strict=True)]
    return {
        "pictures/s": f"{median(pace.rate for pace in ours):.0f}",
        "bare loop": f"{median(pace.rate for pace in bare):.0f}",
        "naive app": f"{median(pace.rate for pace in naive):.0f}",
        "ms a picture": f"{median(pace.ms for pace in ours):.2f}",
        "of the bare loop": spread([share for share, _ in by_processor]),
        "by the clock": spread([share for share, _ in by_clock]),
        "times the naive app": spread([times for _, times in by_processor]),
        "by the clock ": spread([times for _, times in by_clock]),
    }


def main() -> None:
    """Print a table, and write it as JSON if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="in which all take turns")
    parser.add_argument("--out", type=Path, help="file for every pace of every round, as JSON")
    asked = parser.parse_args()
    found = measure(asked.rounds, asked.seconds)
    rows = {name: compared(paces) for name, paces in found.items()}
    columns = list(next(iter(rows.values())))
    print(f"| call | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(row[column] for column in columns)} |")
    if asked.out:
        paces = {
            name: {whose: [asdict(pace) for pace in each] for whose, each in row.items()}
            for name, row in found.items()
        }
        asked.out.write_text(json.dumps(paces, indent=1))


if __name__ == "__main__":
    main()
