"""What deciding costs over searching, ratios first: python -m benchmarks.index [--references N]."""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterable

import faiss
import numpy as np


from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference
from index.identification import Identifier
from index.roster import Rule

DIMENSION = 128
SAMPLES = 4  # per identity
COHORT = 400
RULES: tuple[Rule, ...] = ("max", "mean", "centroid", "knn")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--references", type=int, default=100_000)
    asked.add_argument("--metric", choices=["cosine", "l2", "l1"], default="cosine")
    asked.add_argument("--cluster", type=int, nargs="*", default=[2_000, 20_000])
    options = asked.parse_args()
    faiss.omp_set_num_threads(1)  # ratios that do not depend on how busy the other cores are
    searching(options.references, options.metric)
    clustering(options.cluster)


def searching(count: int, metric: Metric) -> None:
    rng = np.random.default_rng(0)
    rows = world(rng, count // SAMPLES, SAMPLES)
    known = world(rng, 200, 1)
    known = unit(rows[:: len(rows) // 200][:200] + 0.04 * rng.standard_normal((200, DIMENSION)))
    strangers = world(rng, 200, 1)
    references = [Reference(key, f"identity {key // SAMPLES}") for key in range(len(rows))]

    raw = {"cosine": faiss.IndexFlatIP, "l2": faiss.IndexFlatL2}.get(
        metric, lambda d: faiss.IndexFlat(d, faiss.METRIC_L1)
    )(DIMENSION)
    raw.add(rows)
    gallery = FaissGallery(DIMENSION, metric)
    gallery.add(references, rows)
    floor = p50(lambda probe: raw.search(probe, 5), known)
    print(f"{count} references × {DIMENSION}, {metric}, {SAMPLES} an identity, one thread")
    print(f"{'FAISS flat search, k = 5':40} {1:7.2f} ×  {floor * 1e3:9.3f} ms")
    for k in (5, 64):
        show(
            f"FaissGallery.search, k = {k}", p50(lambda p, k=k: gallery.search(p, k), known), floor
        )

    for rule in RULES:
        identifier = Identifier(
            lambda: FaissGallery(DIMENSION, metric), head(metric), world(rng, COHORT, 1), rule=rule
        )
        identifier.enroll(references, rows)
        started = time.perf_counter()
        identifier.identify(known[:1])
        show(f"{rule}: {COHORT} strangers searched", time.perf_counter() - started, floor)
        show(f"{rule}: identify, known", p50(identifier.identify, known), floor)
        show(f"{rule}: identify, stranger", p50(identifier.identify, strangers), floor)
        started = time.perf_counter()
        identifier.identify(strangers)
        show(f"{rule}: identify, each of 200", (time.perf_counter() - started) / 200, floor)

        key = itertools.count(len(rows))
        show(
            f"{rule}: enroll one sample",
            p50(lambda p: identifier.enroll([Reference(next(key), "new")], p), strangers[:20]),  # noqa: B023 — used before the next turn
            floor,
        )
        show(
            f"{rule}: forget one sample",
            p50(lambda k: identifier.forget(k), [[i] for i in range(40)]),
            floor,
        )


def clustering(sizes: Iterable[int]) -> None:
    for size in sizes:
        rows = world(np.random.default_rng(1), size // 20, 20)
        for method in (linkage, leader):
            started = time.perf_counter()
            found = method(rows, head("cosine"), 0.5, metric="cosine")
            taken = time.perf_counter() - started
            print(
                f"{method.__name__:8} {size:7} × {DIMENSION}: {taken:7.2f} s, "
                f"{len(found.clusters)} clusters of {size // 20}"
            )


def head(metric: Metric) -> Callable[[np.ndarray], np.ndarray]:
    """A head that is undecided half-way between a typical genuine and impostor distance."""
    middle, slope = {"cosine": (0.4, 15.0), "l2": (0.85, 8.0), "l1": (7.5, 1.0)}[metric]
    return lambda distances: 1 / (1 + np.exp(slope * (distances - middle)))


def world(rng: np.random.Generator, identities: int, samples: int) -> Embeddings:
    """Unit vectors of identities in a 24-dimensional part of the space, as encoders make them."""
    shape = rng.standard_normal(DIMENSION) * np.exp(-np.arange(DIMENSION) / 12)
    centres = unit(rng.standard_normal((identities, 1, DIMENSION)) * np.abs(shape))
    return unit(centres + 0.045 * rng.standard_normal((identities, samples, DIMENSION))).reshape(
        -1, DIMENSION
    )


def unit(vectors: np.ndarray) -> Embeddings:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def p50(call: Callable[[Embeddings], object], probes: Embeddings | list[list[int]]) -> float:
    """Return the median time of a call in seconds, one probe at a time."""
    taken = []
    for i in range(len(probes)):
        started = time.perf_counter()
        call(probes[i : i + 1] if isinstance(probes, np.ndarray) else probes[i])
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def show(what: str, taken: float, floor: float) -> None:
    print(f"{what:40} {taken / floor:7.2f} ×  {taken * 1e3:9.3f} ms", flush=True)


if __name__ == "__main__":
    main()
