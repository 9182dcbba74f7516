"""Which of these belong together: order-free linkage, and the seeds' leader procedure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.sparse import coo_array, csr_array

from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference, checked, distances
from index.ranking import STANDS, rank
from index.roster import Roster, Score, Scores

Labels = npt.NDArray[np.int64]

EXACT_UP_TO = 5_000  # items; all their pairs take 100 MB
NEIGHBOURS = 256  # of each item, beyond that
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Cluster:
    """Items that belong together, as positions in the input.

    `medoid` is the member with the highest mean score for the others, and `mean_score` the mean
    over pairs of members: None where there is one member only.
    """

    id: int
    size: int
    members: tuple[int, ...]
    medoid: int
    mean_score: float | None


@dataclass(frozen=True, slots=True)
class Clustering:
    """A label for each item, counted from 0 by first appearance, and what each label holds."""

    labels: tuple[int, ...]
    clusters: tuple[Cluster, ...]


def linkage(
    embeddings: Embeddings,
    score: Score,
    threshold: float,
    *,
    metric: Metric = "cosine",
    exact_up_to: int = EXACT_UP_TO,
) -> Clustering:
    """Join clusters while the mean score over their pairs is at least `threshold`.

    The partition does not depend on the order of the input (n, d); equal embeddings are one item
    and end up together. Up to `exact_up_to` items it is average linkage on all pairs; beyond, each
    item is compared with its nearest 256 and every other pair counts as score 0, so that groups of
    more than a few hundred may come apart.
    """
    rows = checked(embeddings, embeddings.shape[-1], metric)
    items, where = np.unique(rows, axis=0, return_inverse=True)
    if len(items) < 2:
        labels = np.zeros(len(items), dtype=np.int64)
    elif len(items) <= exact_up_to:
        labels = _linked(items, score, threshold, metric)
    else:
        labels = _linked_sparsely(items, score, threshold, metric)
    return _described(labels[where.ravel()], rows, score, metric)


def leader(
    embeddings: Embeddings, score: Score, threshold: float = STANDS, *, metric: Metric = "cosine"
) -> Clustering:
    """Let each item in turn join the cluster that the seeds' rule names, or found its own.

    One pass in the order of the input (n, d), on which the result depends: the baseline.
    """
    rows = checked(embeddings, embeddings.shape[-1], metric)
    roster = Roster(lambda: FaissGallery(rows.shape[1], metric), score)
    labels = np.empty(len(rows), dtype=np.int64)
    for i in range(len(rows)):
        item = rows[i : i + 1]
        [ranking] = rank(roster, item, "knn", 1, stands=threshold)
        joins = ranking and ranking[0].score >= threshold
        labels[i] = int(ranking[0].identity) if joins else len(roster)
        roster.enroll([Reference(i, str(labels[i]))], item)
    return _described(labels, rows, score, metric)


def _linked(items: Embeddings, score: Score, threshold: float, metric: Metric) -> Labels:
    apart = np.concatenate(
        [
            1 - scores[i, start + i + 1 :]
            for start, scores in _blocks(items, score, metric)
            for i in range(len(scores))
        ]
    )
    tree = scipy_linkage(apart, "average")
    labels: Labels = fcluster(tree, 1 - threshold, "distance").astype(np.int64)
    return labels


def _linked_sparsely(items: Embeddings, score: Score, threshold: float, metric: Metric) -> Labels:
    """Average linkage on a neighbour graph, by merging all mutually best pairs at a time.

    As a merged cluster is never closer to a third than the nearer of its parts was, mutual bests
    stay so until they are merged: this yields what merging the best pair of all each time does.
    """
    sums = _neighbour_scores(items, score, metric)
    sizes = np.ones(len(items))
    labels = np.arange(len(items))
    while len(pairs := _mutual_bests(sums, sizes, threshold)):
        into = np.arange(len(sizes))
        into[pairs[:, 1]] = pairs[:, 0]
        _, into = np.unique(into, return_inverse=True)
        merge = csr_array((np.ones(len(into)), (np.arange(len(into)), into)))
        sums = merge.T @ sums @ merge
        sizes = merge.T @ sizes
        labels = into[labels]
    return labels


def _neighbour_scores(items: Embeddings, score: Score, metric: Metric) -> csr_array:
    """Return the scores of each item with its nearest, symmetric (n, n)."""
    gallery = FaissGallery(items.shape[1], metric)
    gallery.add([Reference(i, "") for i in range(len(items))], items)
    keys, far = [], []
    for start in range(0, len(items), _BLOCK):
        found = gallery.search(items[start : start + _BLOCK], NEIGHBOURS + 1)
        keys.append(found.keys)
        far.append(found.distances)
    column, apart = np.concatenate(keys), np.concatenate(far)
    row = np.repeat(np.arange(len(items)), column.shape[1])
    value = score(apart.astype(np.float64)).ravel()
    one_way = coo_array((value, (row, column.ravel())), shape=(len(items), len(items))).tocsr()
    return csr_array(one_way.maximum(one_way.T))


def _mutual_bests(sums: csr_array, sizes: Scores, threshold: float) -> Labels:
    """Return the pairs (m, 2), smaller first, that are each other's best and reach the threshold.

    Of equals the one that comes first is best, so that some pair is always mutual.
    """
    pairs = sums.tocoo()
    means = pairs.data / (sizes[pairs.row] * sizes[pairs.col])
    close = (means >= threshold) & (pairs.row != pairs.col)
    row, column, means = pairs.row[close], pairs.col[close], means[close]
    order = np.lexsort((column, -means, row))
    firsts = order[np.unique(row[order], return_index=True)[1]]
    best = np.full(len(sizes), -1)
    best[row[firsts]] = column[firsts]
    here = np.flatnonzero(best >= 0)
    mutual = here[(best[best[here]] == here) & (here < best[here])]
    return np.column_stack([mutual, best[mutual]])


def _described(labels: Labels, rows: Embeddings, score: Score, metric: Metric) -> Clustering:
    if not len(labels):
        return Clustering((), ())
    _, firsts, inverse = np.unique(labels, return_index=True, return_inverse=True)
    by_appearance = np.argsort(np.argsort(firsts))[inverse]
    members = np.split(
        np.argsort(by_appearance, kind="stable"), np.cumsum(np.bincount(by_appearance))[:-1]
    )
    clusters = [_cluster(i, each, rows[each], score, metric) for i, each in enumerate(members)]
    return Clustering(tuple(by_appearance.tolist()), tuple(clusters))


def _cluster(i: int, members: Labels, rows: Embeddings, score: Score, metric: Metric) -> Cluster:
    size = len(members)
    if size == 1:
        return Cluster(i, 1, (int(members[0]),), int(members[0]), None)
    order = np.lexsort(rows.T)  # equal means go the same way whatever the order of the input
    others = [
        scores.sum(axis=1) - scores.diagonal(offset=start)
        for start, scores in _blocks(rows[order], score, metric)
    ]
    totals = np.concatenate(others)
    medoid = members[order[int(totals.argmax())]]
    mean = float(totals.sum() / (size * (size - 1)))
    return Cluster(i, size, tuple(members.tolist()), int(medoid), mean)


def _blocks(rows: Embeddings, score: Score, metric: Metric) -> Iterator[tuple[int, Scores]]:
    """Yield each item's scores with all of them, block by block of rows."""
    for start in range(0, len(rows), _BLOCK):
        far = distances(rows[start : start + _BLOCK], rows, metric)
        yield start, score(far.astype(np.float64))
