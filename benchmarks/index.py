"""What deciding costs over searching, ratios first: python -m benchmarks.index --help."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import faiss
import numpy as np

from index.clustering import leader, linkage
from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference
from index.identification import Identifier
from index.roster import Rule, Score

DIMENSION = 128
SAMPLES = 4  # per identity
COHORT = 400
SMALL = 5_000  # the leader procedure looks at everybody for everyone
FAISS_METRIC = {
    "cosine": faiss.METRIC_INNER_PRODUCT,
    "l2": faiss.METRIC_L2,
    "l1": faiss.METRIC_L1,
}
Probes = Sequence[Any] | Embeddings
RULES: tuple[Rule, ...] = ("max", "mean", "centroid", "knn")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--references", type=int, default=100_000)
    asked.add_argument("--metric", choices=["cosine", "l2", "l1"], default="cosine")
    asked.add_argument("--cluster", type=int, nargs="*", default=[2_000, 20_000], help="items")
    options = asked.parse_args()
    faiss.omp_set_num_threads(1)  # ratios that do not depend on how busy the other cores are
    searching(options.references, options.metric)
    clustering(options.cluster)


def searching(count: int, metric: Metric) -> None:
    rng = np.random.default_rng(0)
    rows = world(rng, count // SAMPLES, SAMPLES)
    known = unit(rows[:: len(rows) // 200][:200] + 0.04 * rng.standard_normal((200, DIMENSION)))
    strangers = world(rng, 200, 1)
    references = [Reference(key, f"identity {key // SAMPLES}") for key in range(len(rows))]

    raw = faiss.IndexFlat(DIMENSION, FAISS_METRIC[metric])
    raw.add(rows)

    def show(what: str, call: Callable[[Any], object], arguments: Probes, each: int = 1) -> None:
        """Print the median time of a call and its ratio to a raw search timed beside it."""
        taken = p50(call, arguments) / each
        floor = p50(lambda probe: raw.search(probe, 5), known[:50])
        print(f"{taken / floor:8.2f} × raw search {taken * 1e3:10.3f} ms  {what}", flush=True)

    print(f"{count} references × {DIMENSION}, {metric}, {SAMPLES} an identity, one thread")
    gallery = FaissGallery(DIMENSION, metric)
    gallery.add(references, rows)
    show("raw FAISS flat search, k = 5", lambda probe: raw.search(probe, 5), known)
    show("FaissGallery.search, k = 5", lambda probe: gallery.search(probe, 5), known)
    show("FaissGallery.search, k = 64", lambda probe: gallery.search(probe, 64), known)
    for rule in RULES:
        identifier = Identifier(
            partial(FaissGallery, DIMENSION, metric),
            head(metric),
            world(rng, COHORT, 1),
            rule=rule,
        )
        identifier.enroll(references, rows)
        show(f"{rule}: evidence made, once", identifier.identify, known[:1])
        show(f"{rule}: identify, enrolled", identifier.identify, known)
        show(f"{rule}: identify, stranger", identifier.identify, strangers)
        show(f"{rule}: identify, each of 200", identifier.identify, [strangers], each=200)
        new = [[Reference(len(rows) + i, f"new {i}")] for i in range(40)]
        one = iter(strangers[:, None])
        show(f"{rule}: enroll one", partial(enroll_next, identifier, one), new)
        show(f"{rule}: forget one", identifier.forget, [[SAMPLES * i] for i in range(200)])


def enroll_next(
    identifier: Identifier, embeddings: Iterator[Embeddings], references: list[Reference]
) -> None:
    identifier.enroll(references, next(embeddings))


def clustering(sizes: Iterable[int]) -> None:
    for size in sizes:
        rows = world(np.random.default_rng(1), size // 20, 20)
        for method in (linkage, leader) if size <= SMALL else (linkage,):
            started = time.perf_counter()
            found = method(rows, head("cosine"), 0.9, metric="cosine")
            taken = time.perf_counter() - started
            print(
                f"{method.__name__:8} {size:7} × {DIMENSION}: {taken:7.2f} s, "
                f"{len(found.clusters)} clusters of {size // 20}"
            )


def head(metric: Metric) -> Score:
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
    scaled: Embeddings = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("f4")
    return scaled


def p50(call: Callable[[Any], object], arguments: Probes) -> float:
    """Return the median time of a call in seconds; of an array's rows, one at a time."""
    taken = []
    for i in range(len(arguments)):
        one = arguments[i : i + 1] if isinstance(arguments, np.ndarray) else arguments[i]
        started = time.perf_counter()
        call(one)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
