"""Clustering measured: order-free linkage and the seeds' leader procedure, over many orders."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from sklearn.metrics import adjusted_rand_score

from evaluation.agreement import agreement
from evaluation.cuts import Method, Rows, best_cut, draw
from evaluation.pair_counts import Progress
from evaluation.pairs import Embedded
from evaluation.report import ClusteringRow, Side
from evaluation.samples import Samples
from index.clustering import leader, linkage

IDENTITIES, EACH = 60, 10  # clustered at most
ORDERS = 5
FEWEST = 4  # identities: two to choose the cut, two to be clustered
_CHOOSING = 250  # samples that choose the cut


def measure_sides(
    samples: Samples, seed: int, progress: Progress
) -> tuple[list[ClusteringRow], list[str]]:
    """Return what clustering each of two sides by itself comes to, and why one is left out."""
    rows: list[ClusteringRow] = []
    left_out: list[str] = []
    sides: tuple[Side, Side] = ("a", "b")
    for done, side in enumerate(sides):

        def told(share: float, done: int = done) -> None:
            progress((done + share) / len(sides))

        several = int((samples.embedded.counts(of_b=side == "b") > 1).sum())
        if several < FEWEST:
            left_out.append(
                f"side {side}: {several} identities with two samples there; {FEWEST} are needed"
            )
            continue
        found = measure_clustering(samples.of_side(side), seed, told)
        rows += [row.model_copy(update={"side": side}) for row in found]
    return rows, left_out


def measure_clustering(samples: Samples, seed: int, progress: Progress) -> Iterator[ClusteringRow]:
    """Yield both methods, cut where other identities agree best and where the bundle says.

    Half of the identities choose the cut; up to sixty of the others are clustered, in five
    orders. Nothing is yielded below four identities.
    """
    e = samples.embedded
    if e.identities < FEWEST:
        return
    random = np.random.default_rng(seed)
    order = random.permutation(e.identities)
    half = e.identities // 2
    choosing = draw(e, order[:half][:IDENTITIES], EACH, random)
    choosing = random.permutation(choosing)[:_CHOOSING]
    rows = draw(e, order[half:][:IDENTITIES], EACH, random)
    cuts: list[tuple[Method, Literal["other identities", "bundle"], float]] = [
        (method, "other identities", best_cut(e, [choosing], method))
        for method in ("linkage", "leader")
    ]
    progress(0.3)
    if samples.served.cluster_threshold is not None:
        cuts.append(("linkage", "bundle", samples.served.cluster_threshold))
    orders = [random.permutation(rows) for _ in range(ORDERS)]
    for done, (method, source, cut) in enumerate(cuts):
        found = [_labels(e, some, cut, method) for some in orders]
        spread = [
            float(adjusted_rand_score(e.labels[some], labels))
            for some, labels in zip(orders, found, strict=True)
        ]
        yield ClusteringRow(
            method=method,
            cut_from=source,
            cut=cut,
            clusters=len(set(found[0].tolist())),
            identities=len(np.unique(e.labels[rows])),
            samples=len(rows),
            orders=len(orders),
            agreement=agreement(e.labels[orders[0]], found[0], (min(spread), max(spread)), seed),
        )
        progress(0.3 + 0.7 * (done + 1) / len(cuts))


def _labels(embedded: Embedded, rows: Rows, cut: float, method: Method) -> Rows:
    procedure = linkage if method == "linkage" else leader
    found = procedure(embedded.embeddings[rows], embedded.score, cut, metric=embedded.metric)
    return np.array(found.labels)
