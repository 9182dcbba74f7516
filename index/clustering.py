"""Which of these belong together: order-free linkage, and the seeds' leader procedure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from index.cohort import TargetUnresolvable
from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference, checked, distances
from index.ranking import STANDS, rank
from index.roster import Roster, Score, Scores

Labels = npt.NDArray[np.int64]

EXACT_UP_TO = 5_000  # items; all their pairs take 100 MB
NEIGHBOURS = 256  # of each item, beyond that
_BLOCK = 1024
_TRUSTED = 4  # times as many clusters as a law was measured on


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
    """A label for each item, counted from 0 by first appearance, and what each label holds.

    `threshold` is where it was cut.
    """

    labels: tuple[int, ...]
    clusters: tuple[Cluster, ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class Tree:
    """How items were joined: one of each of two clusters, and the mean score of these.

    Equal embeddings are one item: `items[i]` is that of the i-th input.
    """

    items: Labels  # (n,)
    merges: Labels  # (m, 2)
    scores: Scores  # (m,)

    @property
    def size(self) -> int:
        """How many items there are."""
        return int(self.items.max(initial=-1)) + 1

    def cut(self, threshold: float) -> Labels:
        """Return the cluster of each input (n,) if merges of this score or more are made."""
        made = self.merges[self.scores >= threshold]
        graph = coo_array((np.ones(len(made)), made.T), shape=(self.size, self.size))
        labels: Labels = connected_components(graph, directed=False)[1].astype(np.int64)
        return labels[self.items]


@dataclass(frozen=True, slots=True)
class PurityLaw:
    """Where to cut for a share `purity` of items to lie where most of a cluster are theirs.

    The log-odds of the threshold are `log_odds + by_clusters · ln(clusters)`: among twice as many
    clusters there are twice as many that an item may wrongly join. Measured on held-out
    identities that made between `clusters[0]` and `clusters[1]` clusters.
    """

    purity: float
    log_odds: float
    by_clusters: float
    clusters: tuple[int, int]

    @property
    def lowest(self) -> float:
        """The threshold among two clusters: no partition is cut below it."""
        return self._at(2)

    def threshold(self, tree: Tree) -> float:
        """Return the lowest cut that keeps the purity, or raise TargetUnresolvable.

        Up to four times as many clusters as were measured the law is trusted.
        """
        falling = np.sort(tree.scores)[::-1]
        clusters = tree.size - np.arange(len(falling) + 1)
        # With the first i merges made, the cut lies between the i-th and the next one's score.
        needed = np.array([self._at(max(count, 2)) for count in clusters.tolist()])
        allowed = falling >= needed[1:]
        made = int(allowed.argmin()) if not allowed.all() else len(falling)
        if clusters[made] > _TRUSTED * self.clusters[1]:
            raise TargetUnresolvable(
                f"a purity of {self.purity:g} was measured on up to {self.clusters[1]} clusters, "
                f"here are {clusters[made]}; give a threshold or a target_fmr"
            )
        next_one = falling[made] if made < len(falling) else -np.inf
        return float(max(needed[made], np.nextafter(next_one, np.inf)))

    def _at(self, clusters: int) -> float:
        return float(expit(self.log_odds + self.by_clusters * np.log(clusters)))


def linkage(
    embeddings: Embeddings,
    score: Score,
    threshold: float | PurityLaw,
    *,
    metric: Metric = "cosine",
    exact_up_to: int = EXACT_UP_TO,
) -> Clustering:
    """Join clusters while the mean score over their pairs is at least `threshold`.

    The partition does not depend on the order of the input (n, d); equal embeddings are one item
    and end up together. Up to `exact_up_to` items it is average linkage on all pairs; beyond, each
    item is compared with its nearest 256 and every other pair counts as score 0, so that groups of
    more than a few hundred may come apart. A law of purity chooses the threshold by how many
    clusters there are, or raises TargetUnresolvable.
    """
    if isinstance(threshold, PurityLaw):
        tree = join(embeddings, score, threshold.lowest, metric=metric, exact_up_to=exact_up_to)
        threshold = threshold.threshold(tree)
    else:
        tree = join(embeddings, score, threshold, metric=metric, exact_up_to=exact_up_to)
    rows = checked(embeddings, embeddings.shape[-1], metric)
    return _described(tree.cut(threshold), rows, score, metric, threshold)


def join(
    embeddings: Embeddings,
    score: Score,
    lowest: float = 0.0,
    *,
    metric: Metric = "cosine",
    exact_up_to: int = EXACT_UP_TO,
) -> Tree:
    """Return all that `linkage` joins at any threshold from `lowest` on: (n, d) to n inputs."""
    rows = checked(embeddings, embeddings.shape[-1], metric)
    items, where = np.unique(rows, axis=0, return_inverse=True)
    merges, scores = np.empty((0, 2), np.int64), np.empty(0)
    if len(items) > exact_up_to:
        merges, scores = _linked_sparsely(items, score, lowest, metric)
    elif len(items) > 1:
        merges, scores = _linked(items, score, metric)
    return Tree(where.ravel(), merges, scores)


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
    return _described(labels, rows, score, metric, threshold)


def _linked(items: Embeddings, score: Score, metric: Metric) -> tuple[Labels, Scores]:
    # Negated, because SciPy joins the nearest; 1 - score would round.
    apart = np.concatenate(
        [
            -scores[i, start + i + 1 :]
            for start, scores in _blocks(items, score, metric)
            for i in range(len(scores))
        ]
    )
    merges = scipy_linkage(apart, "average")
    pairs = merges[:, :2].astype(np.int64)
    # SciPy counts clusters on from the items; any item of a cluster stands for it here.
    stands_for = np.arange(2 * len(items) - 1)
    for i, (a, _) in enumerate(pairs, start=len(items)):
        stands_for[i] = stands_for[a]
    return stands_for[pairs], -merges[:, 2]


def _linked_sparsely(
    items: Embeddings, score: Score, lowest: float, metric: Metric
) -> tuple[Labels, Scores]:
    """Average linkage on a neighbour graph, by merging all mutually best pairs at a time.

    As a merged cluster is never closer to a third than the nearer of its parts was, mutual bests
    stay so until they are merged: this yields what merging the best pair of all each time does.
    """
    sums = _neighbour_scores(items, score, metric)
    sizes = np.ones(len(items))
    stands_for = np.arange(len(items))
    merged, scores = [np.empty((0, 2), np.int64)], [np.empty(0)]
    while len((found := _mutual_bests(sums, sizes, lowest))[0]):
        pairs, means = found
        merged.append(stands_for[pairs])
        scores.append(means)
        into = np.arange(len(sizes))
        into[pairs[:, 1]] = pairs[:, 0]
        kept, into = np.unique(into, return_inverse=True)
        merge = csr_array((np.ones(len(into)), (np.arange(len(into)), into)))
        sums = merge.T @ sums @ merge
        sizes = merge.T @ sizes
        stands_for = stands_for[kept]
    return np.concatenate(merged), np.concatenate(scores)


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


def _mutual_bests(sums: csr_array, sizes: Scores, threshold: float) -> tuple[Labels, Scores]:
    """Return the pairs (m, 2), smaller first, that are each other's best, and their means (m,).

    They reach the threshold. Of equals the one that comes first is best, so that some pair is
    always mutual.
    """
    pairs = sums.tocoo()
    means = pairs.data / (sizes[pairs.row] * sizes[pairs.col])
    close = (means >= threshold) & (pairs.row != pairs.col)
    row, column, means = pairs.row[close], pairs.col[close], means[close]
    order = np.lexsort((column, -means, row))
    firsts = order[np.unique(row[order], return_index=True)[1]]
    best, reached = np.full(len(sizes), -1), np.empty(len(sizes))
    best[row[firsts]], reached[row[firsts]] = column[firsts], means[firsts]
    here = np.flatnonzero(best >= 0)
    mutual = here[(best[best[here]] == here) & (here < best[here])]
    return np.column_stack([mutual, best[mutual]]), reached[mutual]


def _described(
    labels: Labels, rows: Embeddings, score: Score, metric: Metric, threshold: float
) -> Clustering:
    if not len(labels):
        return Clustering((), (), threshold)
    _, firsts, inverse = np.unique(labels, return_index=True, return_inverse=True)
    by_appearance = np.argsort(np.argsort(firsts))[inverse]
    members = np.split(
        np.argsort(by_appearance, kind="stable"), np.cumsum(np.bincount(by_appearance))[:-1]
    )
    clusters = [_cluster(i, each, rows[each], score, metric) for i, each in enumerate(members)]
    return Clustering(tuple(by_appearance.tolist()), tuple(clusters), threshold)


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
