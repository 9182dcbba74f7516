"""`python -m benchmarks.series`: how many series a service shows, by how many galleries it has.

Galleries are made over HTTP; in some of them somebody is enrolled and asked for, so that what
counts by gallery has counted. Ends with status 1 if a scrape has series that the first had not.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.services import ROOT, Service

DRAWING = ROOT / "kindred/drawings/greek-01/1.png"
MOST_SERIES = 1500


def main() -> int:
    """Make galleries, scrape in between, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--galleries", type=int, nargs="+", default=[20, 10_000])
    parser.add_argument("--used", type=int, default=20, help="of them, at each step")
    parser.add_argument("--at-once", type=int, default=4, help="requests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "var", ROOT / "models_store/bundles")
        service.start(timeout=300).wait_ready(120)
        try:
            with (
                httpx.Client(base_url=service.url, timeout=120) as client,
                ThreadPoolExecutor(options.at_once) as pool,
            ):
                return _compare(client, pool, options.galleries, options.used)
        finally:
            service.stop()


def _compare(client: httpx.Client, pool: ThreadPoolExecutor, steps: list[int], used: int) -> int:
    print("| galleries | series | new since the first | bytes | seconds a scrape |")
    print("|---|---|---|---|---|")
    first: set[str] = set()
    status, made = 0, 1  # there is a gallery from the start
    for count in steps:
        names = [f"g{i}" for i in range(made, count)]
        _tell(f"making {len(names)} galleries")
        list(pool.map(lambda name: _make(client, name), names))
        list(pool.map(lambda name: _use(client, name), ["default", *names[-used:]]))
        made = max(made, count)
        time.sleep(2)  # gauges are shown every second
        started = time.perf_counter()
        text = client.get("/metrics").raise_for_status().text
        seconds = time.perf_counter() - started
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        found = {line.rpartition(" ")[0] for line in lines}
        first = first or found
        shown = float(
            next(line for line in lines if line.startswith("kindred_galleries ")).split()[1]
        )
        row = (f"{shown:,.0f}", len(found), len(found - first), f"{len(text):,}", f"{seconds:.3f}")
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        if found - first or len(found) > MOST_SERIES or shown != made:
            status = 1
    return status


def _make(client: httpx.Client, name: str) -> None:
    client.post("/galleries", json={"name": name}).raise_for_status()


def _use(client: httpx.Client, name: str) -> None:
    content = DRAWING.read_bytes()
    for path, fields in (("/enroll", {"identity": "alpha"}), ("/identify", {})):
        files = [("files", content)]
        client.post(path, data={"gallery": name, **fields}, files=files).raise_for_status()


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
