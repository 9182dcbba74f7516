"""Which of these belong together: order-free linkage, and the seeds' leader procedure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy
from scipy.special import expit

from index.cohort import TargetUnresolvable
from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference, checked, distances
from index.ranking import STANDS, rank
from index.roster import Roster, Score, Scores
from index.ward import Merges, ward

Labels = npt.NDArray[np.int64]

_BLOCK = 1024
_TRUSTED = 4  # times as many clusters, or as few, as a law was measured on
_ALIKE = 2  # times as often as strangers of a law's kind, those told apart may look alike
_LOOKED_AT = 1000  # items whose pairs tell how alike they look


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
    """How items were joined: one of each of two clusters, and up to which threshold they are.

    Equal embeddings are one item: `items[i]` is that of the i-th input.
    """

    items: Labels  # (n,)
    merges: Labels  # (m, 2)
    scores: Scores  # (m,)

    @property
    def size(self) -> int:
        """How many items there are."""
        return int(self.items.max(initial=-1)) + 1

    def clusters(self, threshold: float) -> int:
        """How many clusters there are if merges of this score or more are made."""
        return self.size - int(np.count_nonzero(self.scores >= threshold))

    def cut(self, threshold: float) -> Labels:
        """Return the cluster of each input (n,) if merges of this score or more are made."""
        made = self.merges[self.scores >= threshold]
        graph = scipy.sparse.coo_array((np.ones(len(made)), made.T), shape=(self.size, self.size))
        _, parts = scipy.sparse.csgraph.connected_components(graph, directed=False)
        labels: Labels = parts.astype(np.int64)
        return labels[self.items]


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How alike two of a kind look that are not one: a `share` of them scores at least `score`."""

    score: float
    share: float


@dataclass(frozen=True, slots=True)
class PurityLaw:
    """Where to cut for a share `purity` of items to lie where most of a cluster are theirs.

    The log-odds of the threshold are `log_odds + by_clusters · ln(clusters)`, of how many clusters
    there are at a score of .5: among twice as many there are twice as many that an item may
    wrongly join. Measured on held-out identities that made between `clusters[0]` and
    `clusters[1]`, of a kind whose `strangers` look so much alike, where that is known.
    """

    purity: float
    log_odds: float
    by_clusters: float
    clusters: tuple[int, int]
    strangers: Resemblance | None = None

    def threshold(self, tree: Tree) -> float:
        """Return the cut that keeps the purity, or raise TargetUnresolvable.

        From a quarter to four times as many clusters as were measured the law is trusted. Fewer
        than were measured are cut as the fewest: that keeps no less.
        """
        clusters, (fewest, most) = tree.clusters(STANDS), self.clusters
        if not fewest / _TRUSTED <= clusters <= _TRUSTED * most:
            raise TargetUnresolvable(
                f"a purity of {self.purity:g} was measured on {fewest} to {most} clusters, "
                f"here are {clusters}; give a threshold or a target_fmr"
            )
        return float(expit(self.log_odds + self.by_clusters * np.log(max(clusters, fewest))))


def linkage(
    embeddings: Embeddings,
    score: Score,
    threshold: float | PurityLaw,
    *,
    metric: Metric = "cosine",
) -> Clustering:
    """Join clusters by Ward's rule while they score at least `threshold`, as `join` has it.

    The partition does not depend on the order of the input (n, d); equal embeddings are one item
    and end up together. A law of purity chooses the threshold by how many clusters there are. It
    raises TargetUnresolvable where it was not measured on so many, or on the likes of these: where
    clusters at a score of .5 look alike twice as often as strangers of its kind.
    """
    rows = checked(embeddings, embeddings.shape[-1], metric)
    tree = join(rows, score, metric=metric)
    if isinstance(threshold, PurityLaw):
        cut = threshold.threshold(tree)
        _demand_its_kind(threshold, tree, rows, score, metric)
    else:
        cut = threshold
    return _described(tree.cut(cut), rows, score, metric, cut)


def join(embeddings: Embeddings, score: Score, *, metric: Metric = "cosine") -> Tree:
    """Return all that `linkage` joins at any threshold: (n, d) to n inputs.

    Two clusters score what single samples would that are as far apart as Ward's height of the two
    says, after it was divided by the square root of how many items a cluster has in the mean by
    then, or of how many pairs the two make where these are fewer. So two single samples have the
    score of their pair, and one threshold does for clusters of any size: the height at which
    clusters agree best with identities was measured to grow as that root. Clusters that join
    score no more than what they were joined of.

    Distances by `l1` are joined in the order of Ward's rule too, and scored by the l1 distance of
    the means.
    """
    rows = checked(embeddings, embeddings.shape[-1], metric)
    items, where = np.unique(rows, axis=0, return_inverse=True)
    if len(items) < 2:
        return Tree(where.ravel(), np.empty((0, 2), np.int64), np.empty(0))
    merges = ward(items)
    scores = score(_as_single(merges, items, metric))
    lowest = np.full(len(items), np.inf)  # in the cluster that an item stands for
    for i, (a, b) in enumerate(merges.pairs.tolist()):
        lowest[a] = scores[i] = min(scores[i], lowest[a], lowest[b])
    return Tree(where.ravel(), merges.pairs, scores)


def _demand_its_kind(
    law: PurityLaw, tree: Tree, rows: Embeddings, score: Score, metric: Metric
) -> None:
    """Raise TargetUnresolvable if those told apart look too much alike for a law to hold."""
    if law.strangers is None:
        return
    _, items = np.unique(tree.items, return_index=True)  # in an order that is not the input's
    some = items[:: -(-len(items) // _LOOKED_AT)]
    labels = tree.cut(STANDS)[some]
    scores = score(distances(rows[some], rows[some], metric).astype(np.float64))
    told_apart = scores[labels[:, None] != labels]
    alike = float((told_apart >= law.strangers.score).mean()) if len(told_apart) else 0.0
    if alike > _ALIKE * law.strangers.share:
        raise TargetUnresolvable(
            f"a purity of {law.purity:g} was measured where {law.strangers.share:.0%} of pairs of "
            f"strangers score {law.strangers.score:.3g} or more, of the pairs told apart here "
            f"{alike:.0%} do: these look too much alike; give a threshold"
        )


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


def _as_single(merges: Merges, items: Embeddings, metric: Metric) -> Scores:
    """Return how far apart single samples are that are to be judged as these clusters are."""
    clusters = len(items) - np.argsort(np.argsort(merges.heights, kind="stable"))
    crowd = np.minimum(len(items) / clusters, merges.sizes.prod(axis=1))
    grown = merges.growth / np.sqrt(crowd)
    if metric == "cosine":  # of unit vectors it is half the squared distance
        apart = grown * np.einsum("ij,ij->i", merges.apart, merges.apart) / 2
    else:
        apart = np.sqrt(grown) * np.linalg.norm(merges.apart, 2 if metric == "l2" else 1, axis=1)
    for i in np.flatnonzero(merges.sizes.prod(axis=1) == 1).tolist():
        a, b = merges.pairs[i]
        apart[i] = distances(items[a : a + 1], items[b : b + 1], metric).item()  # to the last bit
    single: Scores = apart
    return single


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
