"""What deciding costs over searching, ratios first: python -m benchmarks.index --help.

With `--large 1000000` the approximate search beside the exact one. `--rivals` are FAISS's own
indexes beside that, else scikit-learn's clusterings: each best of what it may be set to, by how
well it does.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from scipy.special import expit
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from index.approximate_gallery import ApproximateGallery
from index.clustering import leader, linkage
from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference
from index.identification import Identifier
from index.roster import Rule, Score

DIMENSION = 128
SAMPLES = 4  # per identity
COHORT = 400
SMALL = 5_000  # the leader procedure looks at everybody for everyone
LARGEST_MATRIX = 10_000  # items of which all distances are held
BLOCK = 50_000  # references added at a time
RIVALS: dict[str, list[Callable[[], Any]]] = {
    "HDBSCAN": [partial(HDBSCAN, min_cluster_size=5, copy=True)],
    "DBSCAN": [partial(DBSCAN, eps=eps, min_samples=3) for eps in (0.6, 0.7, 0.8)],
    "agglomerative": [
        partial(AgglomerativeClustering, None, distance_threshold=apart, linkage="average")
        for apart in (0.75, 0.85)
    ],
}
ENOUGH = 0.99  # of the ten nearest, which a gallery must find
INDEXES: Mapping[str, Sequence[str]] = {
    "IVF2048,SQ8": [f"nprobe={some}" for some in (16, 32, 64, 128)],
    "IVF2048,PQ64x4fs,RFlat": [f"nprobe={some},k_factor_rf=30" for some in (16, 32, 64, 128)],
    "IVF2048,RaBitQ,RFlat": [f"nprobe={some},k_factor_rf=100" for some in (16, 32, 64, 128)],
    "HNSW16": [f"efSearch={some}" for some in (32, 64, 128, 256)],
}
"""FAISS's indexes of a million, and what each may be set to."""

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
    asked.add_argument("--large", type=int, help="references, searched approximately")
    asked.add_argument("--spread", action="store_true", help="no identities among these")
    asked.add_argument("--rivals", action="store_true", help="FAISS's indexes, or scikit-learn")
    asked.add_argument("--cluster", type=int, nargs="*", default=[2_000, 20_000], help="items")
    asked.add_argument("--threads", type=int, default=1, help="of FAISS; one is one core's ratios")
    options = asked.parse_args()
    faiss.omp_set_num_threads(options.threads)
    if options.large:
        approximate(options.large, spread=options.spread)
        if options.rivals:
            indexes(options.large, spread=options.spread)
        return
    if options.references:
        searching(options.references, options.metric)
        together(options.references)
    clustering(options.cluster, rivals=options.rivals)


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


def together(count: int, callers: int = 16) -> None:
    """Probes that come at a time, in one search and one by one."""
    rng = np.random.default_rng(0)
    rows = world(rng, count // SAMPLES, SAMPLES)
    identifier = Identifier(
        partial(FaissGallery, DIMENSION, "cosine"), head("cosine"), world(rng, COHORT, 1)
    )
    references = [Reference(key, f"identity {key // SAMPLES}") for key in range(len(rows))]
    identifier.enroll(references, rows)
    identifier.prepare()
    probes = unit(rows[:: len(rows) // 320][:320] + 0.04 * rng.standard_normal((320, DIMENSION)))
    one = p50(identifier.identify, probes[:80])
    batch = p50(identifier.identify, [probes[i : i + callers] for i in range(0, 320, callers)])
    print(
        f"{callers * one / batch:8.2f} × as many a second: {callers} callers' probes in one "
        f"search ({batch / callers * 1e3:.3f} ms each), one by one ({one * 1e3:.3f} ms)"
    )


def approximate(count: int, *, spread: bool) -> None:
    """A gallery that has moved to lists, beside FAISS's exact search of the same rows."""
    gallery = ApproximateGallery(DIMENSION, "cosine", above=min(100_000, count - 1))
    before, known = resident(), []
    for start, rows in blocks(count, spread=spread):
        gallery.add([Reference(start + i, "") for i in range(len(rows))], rows)
        known.append(rows[:: max(1, len(rows) * count // BLOCK // 200)].copy())
    del rows
    started = time.perf_counter()
    gallery.settle()
    print(
        f"{count} references × {DIMENSION}, one thread, lists after "
        f"{time.perf_counter() - started:.0f} s: {gallery.approximate}"
    )
    probes = beside(np.concatenate(known)[:200])
    held = (resident() - before) / (count * DIMENSION * 4)
    print(f"{held:8.2f} × the bytes of the vectors in memory")
    exact = partial(gallery.search, k=10, exact=True)
    floor = p50(exact, probes[:40])
    print(f"{1:8.2f} × exact search {floor * 1e3:10.3f} ms  k = 10")
    for k in (10, 64):
        taken = p50(partial(gallery.search, k=k), probes)
        print(f"{taken / floor:8.2f} × exact search {taken * 1e3:10.3f} ms  k = {k}")
    found, right = gallery.search(probes, 10).keys, exact(probes).keys
    hits = [np.isin(a, b).mean() for a, b in zip(found, right, strict=True)]
    print(
        f"{np.mean(hits):8.4f} of the ten nearest, {np.mean(found[:, 0] == right[:, 0]):.4f} of "
        f"the nearest; measured by the gallery itself {gallery.recall:.4f}"
    )
    removed = p50(lambda key: gallery.remove([key]), list(range(0, 2000, 10)))
    print(f"{removed * 1e3:19.3f} ms  to remove one", flush=True)


def indexes(count: int, *, spread: bool) -> None:
    """FAISS's indexes of the same rows, at the least effort that finds enough, or at the most."""
    rows = np.concatenate([some for _, some in blocks(count, spread=spread)])
    probes = beside(rows[:: len(rows) // 200][:200])
    exact = faiss.IndexFlatIP(DIMENSION)
    exact.add(rows)
    right = exact.search(probes, 10)[1]
    floor = p50(lambda probe: exact.search(probe, 10), probes[:40])
    for name, settings in INDEXES.items():
        index = faiss.index_factory(DIMENSION, name, faiss.METRIC_INNER_PRODUCT)
        started = time.perf_counter()
        index.train(rows[:: max(1, len(rows) // 100_000)])
        index.add(rows)
        built = time.perf_counter() - started
        for setting in settings:
            faiss.ParameterSpace().set_index_parameters(index, setting)  # type: ignore[arg-type]
            found = index.search(probes, 10)[1]
            recall = float(
                np.mean([np.isin(a, b).mean() for a, b in zip(found, right, strict=True)])
            )
            if recall >= ENOUGH:
                break
        taken = p50(partial(index.search, k=10), probes)
        held = faiss.serialize_index(index).nbytes / rows.nbytes
        print(
            f"{taken / floor:8.2f} × exact search {taken * 1e3:10.3f} ms  {name}, {setting}: "
            f"{recall:.4f} of the ten nearest, {held:.2f} × the bytes, {built:.0f} s to build",
            flush=True,
        )


def blocks(count: int, *, spread: bool) -> Iterator[tuple[int, Embeddings]]:
    """Yield rows, each block with the number of its first; of identities, unless `spread`."""
    shape = np.exp(-np.arange(DIMENSION) / 24)
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng(start)
        size = min(BLOCK, count - start)
        if spread:
            yield start, unit(rng.standard_normal((size, DIMENSION)) * shape)
        else:
            yield start, world(rng, size // SAMPLES, SAMPLES)


def beside(rows: Embeddings) -> Embeddings:
    """Return a probe near each row."""
    return unit(rows + 0.04 * np.random.default_rng(1).standard_normal(rows.shape))


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def enroll_next(
    identifier: Identifier, embeddings: Iterator[Embeddings], references: list[Reference]
) -> None:
    identifier.enroll(references, next(embeddings))


def clustering(sizes: Iterable[int], *, rivals: bool) -> None:
    for size in sizes:
        rows = world(np.random.default_rng(1), size // 20, 20)
        truth = np.repeat(np.arange(size // 20), 20)
        for method in (linkage, leader) if size <= SMALL else (linkage,):
            started = time.perf_counter()
            found = method(rows, head("cosine"), 0.9, metric="cosine")
            taken = time.perf_counter() - started
            print(
                f"{method.__name__:8} {size:7} × {DIMENSION}: {taken:7.2f} s, "
                f"{len(found.clusters)} clusters of {size // 20}, "
                f"ARI {adjusted_rand_score(truth, found.labels):.3f}",
                flush=True,
            )
        for name, tried in RIVALS.items() if rivals else ():
            if name == "agglomerative" and size > LARGEST_MATRIX:
                continue
            best, taken = -1.0, 0.0
            for rival in tried:
                started = time.perf_counter()
                labels = rival().fit_predict(rows)
                ari = float(adjusted_rand_score(truth, labels))
                if ari > best:
                    best, taken = ari, time.perf_counter() - started
            print(f"{name:8} {size:7} × {DIMENSION}: {taken:7.2f} s, ARI {best:.3f}", flush=True)


def head(metric: Metric) -> Score:
    """A head that is undecided half-way between a typical genuine and impostor distance."""
    middle, slope = {"cosine": (0.4, 15.0), "l2": (0.85, 8.0), "l1": (7.5, 1.0)}[metric]
    return lambda distances: expit(slope * (middle - distances))


def world(rng: np.random.Generator, identities: int, samples: int) -> Embeddings:
    """Unit vectors of identities in a 24-dimensional part of the space, as encoders make them."""
    of_encoder = np.random.default_rng(0)
    shape = of_encoder.standard_normal(DIMENSION) * np.exp(-np.arange(DIMENSION) / 12)
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
