"""A gallery that memory does not hold, simulated: python -m benchmarks.on_disk --rows 10000000.

Vectors lie in a file, as a snapshot has them. A byte a number of each, in lists by the nearest
centre, is where to look first: in memory, or in a file as well. What is found there is compared
again by the vectors themselves. Probes are searched for with nothing of the files in memory, then
once more; exact search of everything is the floor, by which the recall is told as well.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.index import BLOCK, DIMENSION, beside, blocks
from index.gallery import Embeddings

PROBES = 200
NEAREST = 10
DEEP = 100  # candidates that are compared again
LISTS_A_ROOT = 2.5  # as many lists as this times the root of the rows
SAMPLED = 32  # rows a list that centres are found by
EFFORTS = (16, 32, 64, 128, 256)  # lists looked into, until enough is found
ENOUGH = 0.99

Rows = npt.NDArray[np.int64]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=10_000_000)
    asked.add_argument("--folder", type=Path, help="where there is room for 650 bytes a row")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        simulate(options.rows, Path(folder))


def simulate(count: int, folder: Path) -> None:
    vectors, codes = folder / "vectors", folder / "codes"
    probes = written(count, vectors)
    before = anonymous()
    started = time.perf_counter()
    right = exact(opened(vectors), probes)
    scan = (time.perf_counter() - started) / len(probes)
    print(
        f"{count} × {DIMENSION}, exact, {len(probes)} probes at a time: {scan * 1e3:.1f} ms each"
    )

    started = time.perf_counter()
    index = listed(opened(vectors))
    print(f"{index.nlist} lists after {time.perf_counter() - started:.0f} s")
    for effort in EFFORTS:
        index.nprobe = effort
        found = np.concatenate([search(index, opened(vectors), probe) for probe in probes])
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(found, right, strict=True)]))
        if recall >= ENOUGH:
            break
    print(f"{recall:.4f} of the ten nearest by looking into {effort} lists", flush=True)
    tell("codes in memory", index, vectors, probes, [vectors])
    print(f"{(anonymous() - before) / vectors.stat().st_size:8.2f} × the bytes of the vectors")
    faiss.write_index(index, str(codes))
    del index
    mapped: Any = faiss.read_index(str(codes), faiss.IO_FLAG_MMAP)
    mapped.nprobe = effort
    tell("codes in a file", mapped, vectors, probes, [vectors, codes])


def opened(vectors: Path) -> Embeddings:
    """Return the rows of a file, which are read as they are looked at."""
    return np.memmap(vectors, "<f4", "r").reshape(-1, DIMENSION)


def written(count: int, path: Path) -> Embeddings:
    """Write the rows to a file, and return probes near some of them."""
    near = []
    with path.open("wb") as file:
        for _, rows in blocks(count, spread=False):
            file.write(rows.tobytes())
            near.append(rows[:: max(1, len(rows) * count // BLOCK // PROBES)].copy())
    return beside(np.concatenate(near)[:PROBES])


def exact(rows: Embeddings, probes: Embeddings) -> Rows:
    """Return the rows nearest to each probe (n, k), by looking at all."""
    best = np.full((len(probes), NEAREST), -np.inf, "f4")
    found = np.zeros(best.shape, np.int64)
    for start in range(0, len(rows), BLOCK):
        scores, places = faiss.knn(
            probes, np.asarray(rows[start : start + BLOCK]), NEAREST, faiss.METRIC_INNER_PRODUCT
        )
        both, where = np.hstack([best, scores]), np.hstack([found, places + start])
        order = np.argsort(-both, axis=1, kind="stable")[:, :NEAREST]
        best = np.take_along_axis(both, order, axis=1)
        found = np.take_along_axis(where, order, axis=1)
    return found


def listed(rows: Embeddings) -> Any:
    """Return a byte a number of each row, in lists."""
    lists = int(LISTS_A_ROOT * len(rows) ** 0.5)
    index: Any = faiss.index_factory(DIMENSION, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = 8
    step = max(1, len(rows) // (SAMPLED * lists))
    index.train(np.ascontiguousarray(rows[::step]))
    for start in range(0, len(rows), BLOCK):
        index.add(np.asarray(rows[start : start + BLOCK]))
    return index


def search(index: Any, rows: Embeddings, probe: Embeddings) -> Rows:
    """Return the rows nearest to a probe (d,), by looking into lists: (1, k)."""
    candidates = np.sort(index.search(probe[None], DEEP)[1][0])
    near = rows[candidates] @ probe
    return candidates[np.argsort(-near, kind="stable")[:NEAREST]][None]


def tell(what: str, index: Any, vectors: Path, probes: Embeddings, files: list[Path]) -> None:
    """Print how long a search takes with nothing of these files in memory, and with it there."""
    for file in files:
        with file.open("r+b") as forgotten:
            os.fsync(forgotten.fileno())  # what is not written yet stays in memory
            os.posix_fadvise(forgotten.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    rows, times = opened(vectors), []
    for _ in ("cold", "warm"):
        taken = []
        for probe in probes:
            started = time.perf_counter()
            search(index, rows, probe)
            taken.append(time.perf_counter() - started)
        times.append(median(taken) * 1e3)
    print(f"{what}: {times[0]:.1f} ms a search from disk, {times[1]:.1f} ms once it was read")


def anonymous() -> int:
    """Return how many bytes this process has in memory that are in no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
