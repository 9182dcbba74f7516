"""The request path, beside the bare loop and what a user would otherwise write, on one core.

    python -m benchmarks.requests
    python -m benchmarks.requests --device cuda

The service runs as shipped on the first core, as the naive app and one of LitServe do, clients on
the others. The bare loop decodes, resizes and runs the same encoder for the same picture, with no
HTTP, one after the other or 64 at a time. All take turns in one run, and each round gives a ratio:
by the clock, and by the processor time that all processes of each take for a picture, which other
work on the machine moves less.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles

import httpx

from benchmarks.clients import DRAWING, Clients, post, post_raw
from benchmarks.ratios import Ratio, spread
from models_store import Comparator, Sample, open_shelf
from tests.refusals import processor_seconds
from tests.servers import free_port
from tests.services import ROOT, Service

BUNDLES = ROOT / "models_store" / "bundles"
ENROLLED = 12
SETTLING = 3.0  # seconds after the last enrollment, until what it leaves to do is done
WARM = 0.5  # seconds that each is asked before it is measured
PROBES = 600  # that are identified before, so that the window of drift is full, as it soon is
INSTALL = "not installed: pip install -e '.[bench]'"


@dataclass(frozen=True, slots=True)
class Row:
    """One call: how many pictures it has, on how many connections, and which loop it is beside."""

    path: str
    parts: tuple[str, ...]
    connections: int = 16
    at_once: int = 1
    raw: bool = False  # whether the picture is the body itself

    def request(self) -> bytes:
        """Return one request."""
        return post_raw(self.path) if self.raw else post(self.path, *self.parts)


ROWS: Mapping[str, Row] = {
    "/embed": Row("/embed", ("files",)),
    "/embed, body itself": Row("/embed", ("files",), raw=True),
    "/identify": Row("/identify", ("files",)),
    "/identify, body itself": Row("/identify", ("files",), raw=True),
    "/verify, 2 pictures": Row("/verify", ("a", "b")),
    "/embed, 64 pictures": Row("/embed", ("files",) * 64, connections=2, at_once=64),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Pictures a second by the clock, and the processor milliseconds that each takes.

    `p99` is what 99 of 100 requests, or runs of the bare loop, were done within: milliseconds.
    """

    rate: float
    ms: float
    p99: float


def bare_loop(comparator: Comparator, at_once: int, seconds: float) -> Pace:
    """Return the pace of decoding, resizing and running the encoder, in this process."""
    sample, taken = Sample(DRAWING.read_bytes()), [0.0]
    for measured in (False, True):
        begun, spent, taken = time.perf_counter(), time.process_time(), []
        while (since := time.perf_counter()) - begun < (seconds if measured else WARM):
            comparator.embed([comparator.prepare(sample) for _ in range(at_once)])
            taken.append(time.perf_counter() - since)
    spent, done = time.process_time() - spent, at_once * len(taken)
    return Pace(done / (time.perf_counter() - begun), 1000 * spent / done, _p99(taken))


def _p99(seconds: list[float]) -> float:
    return 1000 * (quantiles(seconds, n=100)[-1] if len(seconds) > 1 else seconds[0])


def served(url: str, pid: int, row: Row, seconds: float) -> Pace:
    """Return the pace of a service, all of its processes together."""
    clients, request = Clients(url), row.request()
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
    waited = [answer.seconds for answer in clients.answers]
    return Pace(pictures / taken, 1000 * spent / pictures, _p99(waited))


@contextmanager
def on_core(cores: set[int]) -> Iterator[None]:
    """Keep this process, and those that it starts meanwhile, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    yield
    os.sched_setaffinity(0, before)


@contextmanager
def naive_app(device: str = "cpu") -> Iterator[tuple[str, int]]:
    """Serve the naive app; give its address and process."""
    command = [sys.executable, "-m", "benchmarks.naive", str(BUNDLES), device]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as app:
        assert app.stderr is not None
        try:
            said = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in app.stderr)
            yield next(found[0] for found in said if found), app.pid
        finally:
            app.kill()


@contextmanager
def litserve_app(device: str = "cpu") -> Iterator[tuple[str, int] | None]:
    """Serve the same with LitServe; give its address and process, None where it is not there."""
    if find_spec("litserve") is None:
        yield None
        return
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.litserve", str(BUNDLES), str(port), device]
    # It starts processes of its own, and only all of them together are all of it.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as app:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/health", app)
            yield url, app.pid
        finally:
            os.killpg(app.pid, signal.SIGKILL)


def _wait_for(url: str, app: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 240
    while app.poll() is None and time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the app of LitServe did not start")


def enroll(url: str) -> None:
    """Enroll a drawing of each of some characters, other than the one that is asked about."""
    drawings = sorted((ROOT / "kindred" / "drawings").glob("*/2.png"))[:ENROLLED]
    with httpx.Client(base_url=url, timeout=30) as client:
        for drawing in drawings:
            files = [("files", (drawing.name, drawing.read_bytes()))]
            data = {"identity": drawing.parent.name}
            client.post("/enroll", data=data, files=files).raise_for_status()
        probes = [("files", (DRAWING.name, DRAWING.read_bytes()))] * (PROBES // 10)
        for _ in range(10):
            client.post("/identify", files=probes).raise_for_status()
    time.sleep(SETTLING)


def measure(rounds: int, seconds: float, device: str = "cpu") -> dict[str, dict[str, list[Pace]]]:
    """Return the pace of each row round by round: ours, and of each rival that it has."""
    comparator = open_shelf(BUNDLES, device, threads=1).comparators["ink@1"]
    cores = sorted(os.sched_getaffinity(0))
    first, others = {cores[0]}, set(cores[1:]) or set(cores)
    found: dict[str, dict[str, list[Pace]]] = {name: {} for name in ROWS}
    with tempfile.TemporaryDirectory(prefix="kindred-requests-") as folder, on_core(others):
        # Here nobody is turned away for the time that it would wait: pace is what is asked for.
        service = Service(Path(folder) / "var", BUNDLES, threads=1, max_wait=2, device=device)
        try:
            with on_core(first), naive_app(device) as naive, litserve_app(device) as lit:
                service.start(240).wait_ready(240)
                assert service.process is not None
                with on_core(others):
                    enroll(service.url)
                for _ in range(rounds):
                    bare = {
                        n: bare_loop(comparator, n, seconds)
                        for n in {row.at_once for row in ROWS.values()}
                    }
                    with on_core(others):
                        one, many = ROWS["/embed"], ROWS["/embed, 64 pictures"]
                        naively = {row: served(*naive, row, seconds) for row in (one, many)}
                        litly = lit and served(*lit, one, seconds)
                        for name, row in ROWS.items():
                            paces = {
                                "ours": served(service.url, service.process.pid, row, seconds),
                                "naive": naively[many if row == many else one],
                                "bare": bare[row.at_once],
                            }
                            if litly and row != many:
                                paces["litserve"] = litly
                            for whose, pace in paces.items():
                                found[name].setdefault(whose, []).append(pace)
        finally:
            service.stop()
    return found


def rows(found: dict[str, dict[str, list[Pace]]]) -> Iterator[Ratio]:
    """Return each call beside each rival, by the clock."""
    for name, paces in found.items():
        ours = [pace.rate for pace in paces["ours"]]
        many = ROWS[name].at_once > 1
        rivals = (
            ("bare", "bare loop", 0.85 if many else 0.55),
            ("naive", "naive app", None if many else 1.5),
            ("litserve", "LitServe", 3.0),
        )
        for whose, rival, wanted in rivals:
            if theirs := paces.get(whose):
                note = f"{spread(by_processor(paces['ours'], theirs))} by processor"
                rates = [pace.rate for pace in theirs]
                yield Ratio(name, rival, "pictures/s", ours, rates, wanted, note)
            elif not many:
                yield Ratio(name, rival, "pictures/s", wanted=wanted, note=INSTALL)


def by_processor(ours: list[Pace], theirs: list[Pace]) -> list[float]:
    """Return how many times more we do in the same processor time, round by round."""
    return [b.ms / a.ms for a, b in zip(ours, theirs, strict=True)]


def compared(paces: dict[str, list[Pace]]) -> dict[str, str]:
    """Return how one row compares."""
    ours, naive, bare = paces["ours"], paces["naive"], paces["bare"]
    lit = paces.get("litserve", [])
    by_clock = [
        (a.rate / b.rate, a.rate / c.rate) for a, b, c in zip(ours, bare, naive, strict=True)
    ]
    return {
        "pictures/s": f"{median(pace.rate for pace in ours):.0f}",
        "bare loop": f"{median(pace.rate for pace in bare):.0f}",
        "naive app": f"{median(pace.rate for pace in naive):.0f}",
        "ms a picture": f"{median(pace.ms for pace in ours):.2f}",
        "of the bare loop": spread(by_processor(ours, bare)),
        "by the clock": spread([share for share, _ in by_clock]),
        "times the naive app": spread(by_processor(ours, naive)),
        "by the clock ": spread([times for _, times in by_clock]),
        "times LitServe": spread(by_processor(ours, lit)) if lit else "–",
        "by the clock  ": spread([a.rate / b.rate for a, b in zip(ours, lit, strict=True)])
        if lit
        else "–",
        "p99, ms": f"{median(pace.p99 for pace in ours):.0f}",
    }


def main() -> None:
    """Print a table, and write it as JSON if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="in which all take turns")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, help="file for every pace of every round, as JSON")
    asked = parser.parse_args()
    found = measure(asked.rounds, asked.seconds, asked.device)
    table = {name: compared(paces) for name, paces in found.items()}
    columns = list(next(iter(table.values())))
    print(f"| call | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, row in table.items():
        print(f"| {name} | {' | '.join(row[column] for column in columns)} |")
    if asked.out:
        paces = {
            name: {whose: [asdict(pace) for pace in each] for whose, each in row.items()}
            for name, row in found.items()
        }
        asked.out.write_text(json.dumps(paces, indent=1))


if __name__ == "__main__":
    main()
