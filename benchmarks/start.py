"""How long a gallery takes to be ready again, one JSON line a way: `python -m benchmarks.start`.

A gallery is written into an embedded store, as an import writes it. Then the store is started, the
gallery read from it, stowed, and taken up from the snapshot, as the service does; both are asked
the same. Then `python -m service` is started over that store, without the snapshot and with it:
counted from the start of the process to the first 200 of `/health/ready`, what the store takes to
read its own file apart. Seconds are of the clock, and of one process's processor time: this one's,
or the service's; memory is the service's largest.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index import Frozen, Identification
from models_store import Comparator, open_shelf
from service.app import new_index
from service.replicas.replica import Replica
from service.replicas.snapshots import Snapshot, Snapshots
from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from service.store.kept import (
    Counts,
    GallerySettings,
    GalleryState,
    KeptIdentity,
    KeptSample,
    Position,
)
from service.store.redis_store import RedisIdentityStore
from tests.bundles import make_bundle
from tests.services import Service

AT_ONCE = 400  # identities
PROBES = 100


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=5, help="samples of one identity")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--file-only", action="store_true", help="no store: only what a snapshot costs to take up"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kindred-start-") as folder:
        make_bundle(Path(folder) / "bundles", dimension=asked.dimension, cohort=400)
        comparator = open_shelf(Path(folder) / "bundles", "cpu", 1).comparators["tiny@1"]
        measure = _measure_file if asked.file_only else _measure
        asyncio.run(measure(Path(folder), comparator, asked))


def _tell(asked: argparse.Namespace, what: str, seconds: dict[str, float], **more: object) -> None:
    rounded = {name: round(value, 2) for name, value in seconds.items()}
    print(json.dumps({"what": what} | rounded | more | vars(asked)), flush=True)


async def _measure_file(folder: Path, comparator: Comparator, asked: argparse.Namespace) -> None:
    """Write a snapshot of a gallery in which nothing was searched, and take it up."""
    numbers = np.arange(1, asked.samples // asked.each + 1)
    keys = np.arange(1, len(numbers) * asked.each + 1)
    names = [f"id-{number}" for number in numbers]
    rows = _unit(np.random.default_rng(asked.seed), len(keys), asked.dimension)
    counts = np.full(len(numbers), asked.each)
    frozen = Frozen(names, counts, keys, rows, None, {})
    at = Position("1" * 32, 1, "0")
    snapshots = Snapshots(folder)
    snapshots.write(Snapshot("large", comparator.digest, at, numbers, None, frozen))
    settings = GallerySettings("large", comparator.title, comparator.digest)
    state = GalleryState(settings, datetime.now(UTC), at, 0, 0, 0, 0, 0, 0)

    async def take_up() -> None:
        found = snapshots.read("large", comparator.digest, at.lineage)
        assert found is not None
        new_index(comparator, state).thaw(found.frozen, searched=True)

    _tell(asked, "file to index", (await _timed(take_up))[0], bytes=_size(folder))


async def _measure(folder: Path, comparator: Comparator, asked: argparse.Namespace) -> None:
    tell = partial(_tell, asked)
    await fill(folder / "var", comparator, asked)
    server = EmbeddedRedis(folder / "var", patience=600)
    tell("the store reads its file", (await _timed(server.start))[0])
    snapshots = Snapshots(folder / "var" / "snapshots")
    redis = DurableRedis(server.url, timeout=60)
    store = RedisIdentityStore(redis)
    with ThreadPoolExecutor(2) as executor:

        async def load() -> Replica:
            state = await store.gallery("large")
            return await Replica.load(store, state, comparator, new_index, executor, snapshots)

        worked = await _store_cpu(redis)
        for name, value in (("log-slower-than", 1000), ("max-len", 100_000)):
            await redis.read("CONFIG SET", f"slowlog-{name}", value)
        seconds, first = await _timed(load)
        seconds["store_cpu_s"] = await _store_cpu(redis) - worked
        calls = await redis.read("SLOWLOG GET", 100_000)
        longest = max((call["duration"] for call in calls), default=0)
        tell("without a snapshot", seconds, longest_call_ms=longest / 1000)
        before = _answers(first, asked)

        async def stow() -> None:
            snapshots.write(await first.freeze())

        seconds, _ = await _timed(stow)
        tell("stowing", seconds, bytes=_size(folder / "var" / "snapshots"))
        seconds, second = await _timed(load)
        assert second.resumed is not None
        equal = _answers(second, asked) == before
        tell("with a snapshot", seconds, bit_equal=equal, probes=PROBES)
    await redis.close()
    await asyncio.to_thread(_measure_service, folder, server.url, tell)
    await server.stop()


def _measure_service(folder: Path, store: str, tell: Callable[..., None]) -> None:
    for what in ("service, without a snapshot", "service, with a snapshot"):
        if "without" in what:
            for snapshot in (folder / "var" / "snapshots").glob("*.snapshot"):
                snapshot.unlink()
        service = Service(folder / "var", folder / "bundles", redis_url=store, drain_timeout=120)
        begun = time.perf_counter()
        ready = service.start().wait_ready(timeout=600)
        seconds = {"wall_s": time.perf_counter() - begun, "cpu_s": _cpu(ready)}
        with ready.client() as client:
            held = client.get("/galleries/large").json()["samples"]
        tell(what, seconds, held=held, peak_mib=_peak(ready))
        service.stop()


def _cpu(service: Service) -> float:
    """Return the processor seconds of the service's own process until now."""
    assert service.process is not None
    times = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def _peak(service: Service) -> int:
    """Return the most memory that the service's own process has had, in MiB."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


async def _timed(function: Callable[[], Awaitable[Any]]) -> tuple[dict[str, float], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = await function()
    seconds = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return seconds, done


async def _store_cpu(redis: DurableRedis) -> float:
    info = await redis.read("INFO", "cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.snapshot"))


def _answers(replica: Replica, asked: argparse.Namespace) -> list[Identification]:
    probes = _unit(np.random.default_rng([asked.seed, 1]), PROBES, asked.dimension)
    return replica.index.identify(probes)


async def fill(folder: Path, comparator: Comparator, asked: argparse.Namespace) -> None:
    """Write a gallery `large` of random samples into an embedded store, as an import does."""
    rng, now = np.random.default_rng(asked.seed), datetime.now(UTC)
    async with EmbeddedRedis(folder) as server:
        redis = DurableRedis(server.url, timeout=60)
        store = RedisIdentityStore(redis)
        lineage = await store.begin_import("large")
        total = asked.samples // asked.each
        for first in range(0, total, AT_ONCE):
            numbers = range(first + 1, min(first + AT_ONCE, total) + 1)
            identities = {
                number: KeptIdentity(
                    number,
                    f"id-{number}",
                    now,
                    None,
                    [
                        KeptSample(id_, f"{id_:064x}", now, row)
                        for id_, row in enumerate(
                            _unit(rng, asked.each, asked.dimension),
                            (number - 1) * asked.each + 1,
                        )
                    ],
                )
                for number in numbers
            }
            await store.stage("large", lineage, identities)
        settings = GallerySettings("large", comparator.title, comparator.digest)
        counts = Counts(0, total, total * asked.each, total, total * asked.each)
        await store.finish_import(settings, lineage, now, counts)
        await redis.close()


def _unit(rng: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    rows = rng.standard_normal((count, dimension), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


if __name__ == "__main__":
    main()
