"""How latency, memory, start-up and pace grow, each beside its limit, as pictures.

    python -m benchmarks.growth --out docs/performance

Times are of the processor where that can be, so that other work on the machine hardly tells.
Against the size of a gallery: `/identify` with a ready embedding beside a raw FAISS search, the
memory of the service's process beside an empty one's and the bytes of the vectors, and what it
takes until it is ready. Against connections and pictures in a request: the pace of `/embed` beside
the bare loop. And where the time of a request goes.
"""

import argparse
import asyncio
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import httpx
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot

from benchmarks.clients import Clients
from benchmarks.requests import BUNDLES, ROWS, WARM, Row, bare_loop, enroll, on_core, served
from benchmarks.start import fill
from models_store import open_shelf
from service.watching.drift import WINDOW
from tests.bundles import make_bundle
from tests.refusals import processes, processor_seconds
from tests.services import Service

SIZES = (1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DIMENSION, EACH, PROBES = 128, 5, 200
CALM = 0.1  # of a processor, by which a service that nobody asks looks after itself
PACE = "pictures/s of processor time"
PATIENCE = 900.0  # seconds until a large gallery is read, on a busy machine

Curve = dict[str, list[float]]
"""What was measured at each place of an axis, by name; lists of the axis' length."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture: curves against an axis, drawn plainly, and their limits, dashed."""

    name: str
    title: str
    x: str
    y: str
    places: Sequence[float]
    curves: Mapping[str, Sequence[float]]
    limits: Mapping[str, Sequence[float]]


def sizes(places: Sequence[int]) -> Iterator[Panel]:
    """Yield how a gallery's size tells."""
    found = [of_size(size) for size in places]
    curve: Curve = {name: [each[name] for each in found] for name in found[0]}
    yield Panel(
        "latency",
        "One probe, ready to be compared",
        "references × 128",
        "ms of processor time",
        places,
        {"/identify over HTTP": curve["identify"]},
        {"raw FAISS flat search, in turns with it": curve["faiss"]},
    )
    yield Panel(
        "memory",
        "Memory of the service's process",
        "references × 128",
        "MiB",
        places,
        {"with a gallery": curve["memory"]},
        {"empty, and the bytes of the vectors": curve["least"]},
    )
    yield Panel(
        "start",
        "Start to ready",
        "references × 128",
        "s of processor time",
        places,
        {"from the store": curve["cold"], "from a snapshot": curve["warm"]},
        {"an empty service": curve["empty"]},
    )


def of_size(size: int) -> dict[str, float]:
    """Return what a gallery of a size costs."""
    rows = np.random.default_rng(0).standard_normal((size, DIMENSION), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    probes = rows[:: max(1, size // PROBES)][:PROBES]
    with tempfile.TemporaryDirectory(prefix="kindred-growth-") as name:
        folder = Path(name)
        make_bundle(folder / "bundles", dimension=DIMENSION, cohort=400)
        comparator = open_shelf(folder / "bundles", "cpu", 1).comparators["tiny@1"]
        asked = argparse.Namespace(samples=size, each=EACH, dimension=DIMENSION, seed=0)
        with started(folder / "none", folder / "bundles") as (service, empty):
            without = memory(service)
        asyncio.run(fill(folder / "var", comparator, asked))
        with started(folder / "var", folder / "bundles") as (service, cold):
            identify, raw = probed(service, probes, rows)
            taken = memory(service)
        with started(folder / "var", folder / "bundles") as (_, warm):
            pass
    return {
        "identify": identify,
        "faiss": raw,
        "memory": taken / 2**20,
        "least": (without + rows.nbytes) / 2**20,
        "empty": empty,
        "cold": cold,
        "warm": warm,
    }


@contextmanager
def started(data_dir: Path, bundles: Path) -> Iterator[tuple[Service, float]]:
    """Start a service over a folder; give it, and the processor seconds until it was ready."""
    service = Service(data_dir, bundles, drain_timeout=120, threads=1)
    try:
        service.start(PATIENCE).wait_ready(PATIENCE)
        assert service.process is not None
        yield service, processor_seconds(service.process.pid)
    finally:
        service.stop()


def probed(service: Service, probes: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Return the processor milliseconds that a probe costs the service, and raw FAISS.

    They take turns, for a scan of vectors that lie in the processor's cache, as in a loop of its
    own, takes a fraction of the time.
    """
    assert service.process is not None
    raw = faiss.IndexFlatIP(DIMENSION)
    raw.add(rows)
    faiss.omp_set_num_threads(1)
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:

        def ask() -> float:
            alone = 0.0
            for probe in probes:
                body = {"gallery": "large", "files": [{"embedding": probe.tolist()}]}
                client.post("/identify", json=body).raise_for_status()
                begun = time.thread_time()
                raw.search(probe[None], 5)
                alone += time.thread_time() - begun
            return alone

        for _ in range(math.ceil(WINDOW / len(probes)) + 1):
            ask()  # the first make what decides, and limits of drift
        calm(service.process.pid)
        before = processor_seconds(service.process.pid)
        alone = ask()
        taken = processor_seconds(service.process.pid) - before
    return 1000 * taken / len(probes), 1000 * alone / len(probes)


def calm(pid: int) -> None:
    """Wait until a process has hardly anything to do: lists of a large gallery are made, say."""
    while True:
        before = processor_seconds(pid)
        time.sleep(2)
        if processor_seconds(pid) - before < CALM * 2:
            return


def memory(service: Service) -> int:
    """Return the bytes that the service's own process has in memory."""
    assert service.process is not None
    pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def paces(seconds: float) -> Iterator[Panel]:
    """Yield how connections and pictures in a request tell, and print where the time goes."""
    cores = sorted(os.sched_getaffinity(0))
    first, others = {cores[0]}, set(cores[1:]) or set(cores)
    comparator = open_shelf(BUNDLES, threads=1).comparators["ink@1"]
    many: Curve = {"rate": [], "p99": [], "bare": [], "alone": []}
    large: Curve = {"rate": [], "bare": []}
    with tempfile.TemporaryDirectory(prefix="kindred-growth-") as name, on_core(others):
        service = Service(Path(name) / "var", BUNDLES, threads=1, max_wait=60)
        try:
            with on_core(first):
                service.start(PATIENCE).wait_ready(PATIENCE)
            assert service.process is not None
            where = service.url, service.process.pid
            enroll(service.url)
            for connections in CONNECTIONS:
                pace = served(*where, Row("/embed", ("files",), connections), seconds)
                with on_core(first):
                    bare = bare_loop(comparator, 1, seconds / 2)
                many["rate"].append(1000 / pace.ms)
                many["p99"].append(pace.p99)
                many["bare"].append(1000 / bare.ms)
                many["alone"].append(bare.rate)
            for count in BATCHES:
                row = Row("/embed", ("files",) * count, 2, count)
                large["rate"].append(1000 / served(*where, row, seconds).ms)
                with on_core(first):
                    large["bare"].append(1000 / bare_loop(comparator, count, seconds / 2).ms)
            for path in ("/embed", "/embed, body itself", "/identify", "/verify, 2 pictures"):
                print(path, costs(*where, ROWS[path], seconds), flush=True)
        finally:
            service.stop()
    yield Panel(
        "connections",
        "/embed, one picture a request",
        "connections",
        PACE,
        CONNECTIONS,
        {"the service, all its processes": many["rate"]},
        {"bare loop": many["bare"]},
    )
    yield Panel(
        "waiting",
        "/embed, one picture a request",
        "connections",
        "ms, 99 of 100 answered within",
        CONNECTIONS,
        {"the service, one core": many["p99"]},
        {
            "as many as there are, at the pace of the bare loop": [
                1000 * c / bare for c, bare in zip(CONNECTIONS, many["alone"], strict=True)
            ]
        },
    )
    yield Panel(
        "batches",
        "/embed, two connections",
        "pictures in a request",
        PACE,
        BATCHES,
        {"the service, all its processes": large["rate"]},
        {"bare loop, as many at a time": large["bare"]},
    )


def costs(url: str, pid: int, row: Row, seconds: float) -> dict[str, float]:
    """Return the processor milliseconds of a request: who in the service spends them."""
    clients = Clients(url)
    clients.closed_loop(row.path, row.request(), row.connections, WARM)
    clients.answers.clear()
    before = spent(pid)
    clients.closed_loop(row.path, row.request(), row.connections, seconds)
    after = spent(pid)
    clients.close()
    count = len(clients.answers)
    found = {whose: round((after[whose] - before[whose]) / count, 3) for whose in after}
    return found | {"together": round(sum(found.values()), 3), "requests": count}


def spent(pid: int) -> dict[str, float]:
    """Return the milliseconds of the event loop, of other threads, and of other processes."""
    found = {"event loop": 0.0, "encoder and search": 0.0, "decoders": 0.0, "store": 0.0}
    for each in processes(pid):
        for task in Path(f"/proc/{each}/task").glob("*"):
            taken = int((task / "schedstat").read_text().split()[0]) / 1e6
            if each == pid:
                whose = "event loop" if int(task.name) == pid else "encoder and search"
            else:
                words = Path(f"/proc/{each}/cmdline").read_bytes()
                whose = "store" if b"valkey" in words else "decoders"
            found[whose] += taken
    return found


def draw(panel: Panel, folder: Path) -> None:
    """Write a picture of a panel, axes by powers of ten or two."""
    mpl.rcParams["svg.hashsalt"] = "kindred"  # or each run would name its parts otherwise
    figure, axes = pyplot.subplots(figsize=(5, 3), layout="constrained")
    for label, values in panel.curves.items():
        axes.plot(panel.places, values, marker="o", markersize=3, label=label)
    for label, values in panel.limits.items():
        axes.plot(panel.places, values, linestyle="--", color="grey", label=label)
    axes.set_xscale("log")
    axes.set_xticks(panel.places, [f"{place:,}" for place in panel.places])
    axes.minorticks_off()
    if panel.y.startswith("ms"):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(xlabel=panel.x, ylabel=panel.y, title=panel.title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    figure.savefig(folder / f"{panel.name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Measure, draw, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/performance"))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each pace")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    found = []
    for panels in (paces(asked.seconds), sizes(asked.sizes)):
        for panel in panels:
            draw(panel, asked.out)
            print(json.dumps(asdict(panel), ensure_ascii=False), flush=True)
            found.append(asdict(panel))
    (asked.out / "growth.json").write_text(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
