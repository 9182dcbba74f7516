"""Where clusters have to be cut for a purity to hold, measured on held-out identities."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from evaluation.cuts import Rows, collections
from evaluation.pairs import Embedded, Labels
from index.clustering import join
from index.ranking import STANDS
from models_store.manifest import ClusterPurity

PURITIES = (0.8, 0.9, 0.95, 0.98, 0.99)
FEWEST_IDENTITIES = 20
_ITEMS = 2_000  # in one clustering at most
_DRAWS = 3  # of each kind of collection
_CUTS = np.arange(-4, 10.01, 0.25)  # log-odds

_Curve = tuple[npt.NDArray[np.float64], float]


def purity(labels: Labels, clusters: Labels) -> float:
    """Return the share of items (n,) whose cluster is of their identity more than of any other.

    Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, 16.3.
    """
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts.max(axis=1).sum() / len(labels))


def purity_laws(embedded: Embedded, seed: int) -> tuple[ClusterPurity, ...]:
    """Return, for each usual purity that is reached, how the cut depends on how many clusters.

    Collections of many sizes are clustered; a line through the cuts where their mean purity is
    reached tells their log-odds from the logarithm of the number of clusters at a score of .5.
    Empty below 20 identities of two samples.
    """
    if np.count_nonzero(np.bincount(embedded.labels) >= 2) < FEWEST_IDENTITIES:
        return ()
    kinds = collections(embedded, np.random.default_rng(seed), draws=_DRAWS, items=_ITEMS)
    curves = [_curve(embedded, drawn) for drawn in kinds]
    laws = (_law(target, curves) for target in PURITIES)
    return tuple(law for law in laws if law is not None)


def _curve(embedded: Embedded, drawn: list[Rows]) -> _Curve:
    """Return the mean purity at every cut, and the mean log number of clusters at .5."""
    purities, clusters = [], []
    for rows in drawn:
        labels = np.unique(embedded.labels[rows], return_inverse=True)[1]
        tree = join(embedded.embeddings[rows], embedded.score, metric=embedded.metric)
        cuts = [tree.cut(cut) for cut in expit(_CUTS).tolist()]
        purities.append([purity(labels, cut) for cut in cuts])
        clusters.append(np.log(tree.clusters(STANDS)))
    return np.mean(purities, axis=0), float(np.mean(clusters))


def _law(target: float, curves: list[_Curve]) -> ClusterPurity | None:
    """Return the line through where each curve last rises to the target; None without a line."""
    points = []
    for purities, clusters in curves:
        below = np.flatnonzero(purities < target)
        if len(below) and below[-1] + 1 < len(_CUTS):
            i = below[-1]
            share = (target - purities[i]) / (purities[i + 1] - purities[i])
            cut = _CUTS[i] + share * (_CUTS[i + 1] - _CUTS[i])
            points.append((clusters, cut))
    if len(points) < len(curves) / 2:
        return None
    counts, cuts = np.array(points).T
    slope, intercept = np.polyfit(counts, cuts, 1)
    if slope < 0:
        return None
    return ClusterPurity(
        purity=target,
        log_odds=float(intercept),
        by_clusters=float(slope),
        clusters=(round(np.exp(counts.min())), round(np.exp(counts.max()))),
    )
