"""`python -m benchmarks`: everything beside its rivals, in turns, on two cores: ratios first.

    python -m benchmarks --out bench.json
    python -m benchmarks --short

Prints a table, and what `benchmarks.index` tells of search and clusters below it. `--short` takes
half a minute and shows that all of it runs; its figures say nothing.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks import bulk, requests, store
from benchmarks.ratios import HEAD, Ratio, write

Part = Callable[[bool], Iterable[Ratio]]


def of_requests(short: bool) -> Iterable[Ratio]:
    """The request path beside the bare loop, a naive app and LitServe."""
    rounds, seconds = (1, 0.2) if short else (5, 2.0)
    return requests.rows(requests.measure(rounds, seconds))


def of_store(short: bool) -> Iterable[Ratio]:
    """Durable enrollments beside raw writes."""
    return asyncio.run(store.measure(*((0.1, 1) if short else (2.0, 5))))


def of_bulk(short: bool) -> Iterable[Ratio]:
    """Many enrollments in one request, beside raw writes, single ones and the bare loop."""
    return bulk.rows(*((256, 64, 1) if short else (50_000, 1024, 3)))


def of_training(short: bool) -> Iterable[Ratio]:
    """A fit, and the choice of triplets."""
    try:
        from benchmarks import training, triplets
    except ImportError as error:
        return [Ratio("training", "bare torch loop", "images/s", note=f"not installed: {error}")]
    return [*training.rows(1 if short else 5), *triplets.rows(1 if short else 9)]


PARTS: Mapping[str, Part] = {
    "requests": of_requests,
    "store": of_store,
    "bulk": of_bulk,
    "training": of_training,
}


def main() -> int:
    """Print the table as it grows, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS, "index"], help="all, if none")
    parser.add_argument("--short", action="store_true", help="only show that it runs")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON of each round")
    asked = parser.parse_args()
    begun, rows = time.monotonic(), []
    print(HEAD, flush=True)
    for name, part in PARTS.items():
        if not asked.parts or name in asked.parts:
            for row in part(asked.short):
                rows.append(row)
                print(row.line(), flush=True)
    write(rows, asked.out)
    print(
        f"\n{asked.out}: every round of each, after {time.monotonic() - begun:.0f} s", flush=True
    )
    if asked.parts and "index" not in asked.parts:
        return 0
    small = ["--references", "2000", "--cluster", "200"] if asked.short else []
    return subprocess.run([sys.executable, "-m", "benchmarks.index", *small]).returncode


if __name__ == "__main__":
    sys.exit(main())
