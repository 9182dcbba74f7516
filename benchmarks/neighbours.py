"""How long one request can keep others waiting: `python -m benchmarks.neighbours`.

While each of the largest requests that the default limits allow is served, somebody else asks
`/health/live` fifty times a second and `/verify` ten times. Printed are their worst answers beside
those with no such neighbour, in milliseconds, one line of JSON for each neighbour.
"""

import argparse
import heapq
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.clients import DRAWING, Clients, get, post
from tests.services import ROOT, Service

LIVE_EVERY, VERIFY_EVERY = 0.02, 0.1  # seconds


def unit(count: int, dimension: int) -> list[list[float]]:
    """Return random unit vectors."""
    rows = np.random.default_rng(0).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).round(9).tolist()


def largest(folder: Path, dimension: int) -> dict[str, list[str]]:
    """Write the bodies, and return the words after `curl URL`, by what they are."""
    rows = unit(4096, dimension)

    def as_file(name: str, content: str) -> str:
        (folder / name).write_text(content)
        return f"@{folder / name}"

    def as_json(name: str, document: object) -> list[str]:
        return [
            *("-H", "content-type: application/json"),
            *("--data-binary", as_file(name, json.dumps(document))),
        ]

    embeddings = as_json("embeddings", {"files": [{"embedding": row} for row in rows]})
    wrong = as_json("wrong", {"files": [{"embedding": ["1"] * 500_000}]})
    nested = as_json("nested", {"files": [{"embedding": [[]] * 125_000}]})
    files = [word for _ in range(256) for word in ("-F", f"files=@{DRAWING}")]
    lines = "\n".join(
        json.dumps({"identity": f"id-{i % 1000}", "embedding": row, "metadata": {"n": "x" * 3000}})
        for i, row in enumerate(rows)
    )
    bulk = ["-H", "content-type: application/x-ndjson", "--data-binary", as_file("bulk", lines)]
    return {
        "/embed, 4,096 embeddings": ["/embed", *embeddings],
        "/identify, 4,096 embeddings": ["/identify", *embeddings],
        "/cluster, 4,096 embeddings": ["/cluster", *embeddings],
        "/embed, 256 pictures": ["/embed", *files],
        "/cluster, 256 pictures": ["/cluster", *files],
        "/embed, 500,000 words for numbers": ["/embed", *wrong],
        "/embed, 125,000 lists for numbers": ["/embed", *nested],
        "/enroll/bulk, 4,096 lines": ["/enroll/bulk", *bulk],
        "export, 4,096 samples": ["/galleries/default/export"],
        "health, 4,096 samples": ["/galleries/default/health"],
        "cluster of 4,096 enrolled": ["/cluster", *as_json("enrolled", {"gallery": "default"})],
        "1,000 identities listed": ["/galleries/default/identities?limit=1000"],
    }


def worst(url: str, neighbour: Sequence[str], seconds: float) -> dict[str, object]:
    """Return the worst answers while a neighbour asks over and over for so long."""
    clients = Clients(url)
    begun, asked = time.perf_counter(), 0
    process: subprocess.Popen[bytes] | None = None
    if neighbour:
        clients.answers.clear()

    def arrivals(path: str, request: bytes, every: float) -> Iterator[tuple[float, str, bytes]]:
        nonlocal process, asked
        due = 0.0
        while due < seconds:
            if neighbour and (process is None or process.poll() is not None):
                words = ["curl", "-s", "-o", "/dev/null", url + neighbour[0], *neighbour[1:]]
                process, asked = subprocess.Popen(words), asked + 1
            yield due, path, request
            due = max(due + every, time.perf_counter() - begun)

    live = arrivals("/health/live", get("/health/live"), LIVE_EVERY)
    verify = arrivals("/verify", post("/verify", "a", "b"), VERIFY_EVERY)
    clients.run(heapq.merge(live, verify))
    clients.close()
    if process is not None:
        process.kill()
        process.wait()

    def slowest(path: str, q: float) -> float:
        found = [answer.seconds for answer in clients.answers if answer.path == path]
        return round(1000 * float(np.percentile(found, q)), 1)

    return {
        "requests": asked,
        "live_p99_ms": slowest("/health/live", 99),
        "live_worst_ms": slowest("/health/live", 100),
        "verify_p50_ms": slowest("/verify", 50),
        "verify_worst_ms": slowest("/verify", 100),
        "failed": sum(answer.status != 200 for answer in clients.answers),
    }


def main() -> None:
    """Print a line for each neighbour, the quiet first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each neighbour")
    parser.add_argument("--only", default="", help="neighbours with this in their name")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kindred-neighbours-") as folder:
        service = Service(Path(folder) / "var", ROOT / "models_store" / "bundles")
        try:
            service.start().wait_ready()
            with service.client() as client:
                comparator = client.get("/galleries/default").json()["comparator"]
                about = client.get(f"/comparators/{comparator}").json()
            neighbours = {"nobody": []} | largest(Path(folder), about["dimension"])
            for name, words in neighbours.items():
                if asked.only in name or name == "nobody":
                    found = worst(service.url, words, asked.seconds)
                    print(json.dumps({"neighbour": name} | found), flush=True)
        finally:
            service.stop()


if __name__ == "__main__":
    main()
