"""Durable enrollments a second, beside the same bytes written raw with the same barrier.

    python -m benchmarks.store

Both go to an embedded server that fsyncs each write; the ratio is what atomicity, idempotency,
duplicates and the change log cost.
"""

import argparse
import asyncio
import hashlib
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from benchmarks.ratios import HEAD, Ratio
from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from service.store.kept import Enrollment, GallerySettings, NewSample
from service.store.redis_store import RedisIdentityStore

DIMENSION = 128


async def rate(write: Callable[[int], Awaitable[object]], clients: int, seconds: float) -> float:
    """Return writes a second from this many clients."""
    numbers, until = itertools.count(), time.perf_counter() + seconds

    async def client() -> int:
        done = 0
        while time.perf_counter() < until:
            await write(next(numbers))
            done += 1
        return done

    return sum(await asyncio.gather(*(client() for _ in range(clients)))) / seconds


async def measure(seconds: float, rounds: int) -> list[Ratio]:
    """Return a row for each number of clients."""
    rows = []
    vector = np.random.default_rng(0).normal(size=DIMENSION).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder)) as server:
            redis = DurableRedis(server.url, timeout=10)
            store = RedisIdentityStore(redis)
            await store.create_gallery(GallerySettings("bench", "bench@1", "digest"))

            async def enroll(number: int) -> None:
                print_ = hashlib.sha256(str(number).encode()).hexdigest()
                samples = [NewSample(print_, vector)]
                await store.enroll(Enrollment("bench", "digest", f"id-{number}", samples))

            async def raw(number: int) -> None:
                await redis.write("HSET", f"raw:{number}", "embedding", vector.tobytes())

            for clients in (1, 8, 32):
                pairs = [
                    (await rate(enroll, clients, seconds), await rate(raw, clients, seconds))
                    for _ in range(rounds)
                ]
                ours, theirs = zip(*pairs, strict=True)
                what = f"durable enrollments, {clients} clients"
                rows.append(Ratio(what, "raw durable writes", "writes/s", ours, theirs))
            await store.close()
    return rows


def main() -> None:
    """Measure with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="alternations with raw writes")
    asked = parser.parse_args()
    print(HEAD)
    for row in asyncio.run(measure(asked.seconds, asked.rounds)):
        print(row.line())


if __name__ == "__main__":
    main()
