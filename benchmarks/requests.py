"""The request path: `/embed`, `/identify` and `/verify` beside the bare loop on the same core.

    python -m benchmarks.requests

The service runs as shipped, on core 0; clients on the others. The bare loop decodes, resizes and
runs the encoder for the same picture, one after the other, with no HTTP. The ratio is the share
of the machine that requests get.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx

from models_store import Sample, open_shelf
from tests.services import ROOT, Service

DRAWING = next((ROOT / "kindred" / "drawings").glob("*/1.png"))
CONNECTIONS = 16


def bare_loop(bundles: Path, seconds: float) -> float:
    """Return pictures a second: decode, resize, run, on one core."""
    comparator = open_shelf(bundles, threads=1).comparators["ink@1"]
    sample, done, begun = Sample(DRAWING.read_bytes()), 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        comparator.embed([comparator.prepare(sample)])
        done += 1
    return done / (time.perf_counter() - begun)


async def ask(url: str, path: str, parts: list[str], seconds: float) -> float:
    """Return answers a second at 16 connections."""
    content = DRAWING.read_bytes()
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        request = client.build_request(
            "POST", path, files=[(p, ("x.png", content)) for p in parts]
        )
        body, headers = request.read(), dict(request.headers)
        until = time.perf_counter() + seconds

        async def one_connection() -> int:
            done = 0
            while time.perf_counter() < until:
                answer = await client.post(path, content=body, headers=headers)
                answer.raise_for_status()
                done += 1
            return done

        return sum(await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))) / seconds


def main() -> None:
    """Print a line for each call: requests a second, and the ratio to the bare loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="alternations with the bare loop")
    asked = parser.parse_args()
    bundles = ROOT / "models_store" / "bundles"
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, cores[:1])  # the service inherits it
        service = Service(Path(folder) / "var", bundles, threads=1)
        try:
            service.start().wait_ready()
            ratios: dict[str, list[float]] = {}
            for _ in range(asked.rounds):
                os.sched_setaffinity(0, cores[:1])
                limit = bare_loop(bundles, asked.seconds)
                os.sched_setaffinity(0, cores[1:] or cores)
                for path, parts in (
                    ("/embed", ["files"]),
                    ("/identify", ["files"]),
                    ("/verify", ["a", "b"]),
                ):
                    rate = asyncio.run(ask(service.url, path, parts, asked.seconds))
                    ratios.setdefault(path, []).append(rate * len(parts) / limit)
                    print(f"{path:10} {rate:7.0f}/s   bare loop {limit:7.0f}/s")
        finally:
            service.stop()
    for path, found in ratios.items():
        spread = f"{min(found):.2f}–{max(found):.2f}"
        print(f"{path:10} {median(found):.2f} of the bare loop ({spread})")


if __name__ == "__main__":
    main()
