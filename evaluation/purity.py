"""Where clusters have to be cut for a purity to hold, measured on held-out identities."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from evaluation.pairs import Embedded, Labels
from index.clustering import join
from models_store.manifest import ClusterPurity

PURITIES = (0.8, 0.9, 0.95, 0.98, 0.99)
FEWEST_IDENTITIES = 20
_SMALLEST = 10  # identities
_SAMPLES = (2, 5, 10, 20)
_ITEMS = 2_000  # in one clustering at most
_DRAWS = 4  # of each number of identities and of samples
_CUTS = np.arange(-4, 10.01, 0.25)  # log-odds

_Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def purity(labels: Labels, clusters: Labels) -> float:
    """Return the share of items (n,) whose cluster is of their identity more than of any other.

    Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, 16.3.
    """
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts.max(axis=1).sum() / len(labels))


def purity_laws(embedded: Embedded, seed: int) -> tuple[ClusterPurity, ...]:
    """Return, for each usual purity that is reached, how the cut depends on how many clusters.

    Collections of 10 identities up to all, of 2 to 20 samples each, are clustered; a line through
    the cuts where their mean purity is reached tells the log-odds from the logarithm of the number
    of clusters. Empty below 20 identities of two samples.
    """
    able = np.flatnonzero(np.bincount(embedded.labels) >= 2)
    if len(able) < FEWEST_IDENTITIES:
        return ()
    random = np.random.default_rng(seed)
    steps = max(2, round(np.log2(len(able) / _SMALLEST)) + 1)
    sizes = np.unique(np.geomspace(_SMALLEST, len(able), steps).astype(int))
    curves = [
        _curve(embedded, able, int(size), samples, random)
        for size in sizes
        for samples in _SAMPLES
        if size * samples <= _ITEMS
    ]
    laws = (_law(target, curves) for target in PURITIES)
    return tuple(law for law in laws if law is not None)


def _curve(
    embedded: Embedded, able: Labels, size: int, samples: int, random: np.random.Generator
) -> _Curve:
    """Return the mean purity and the mean log number of clusters at every cut."""
    purities, clusters = [], []
    for _ in range(_DRAWS):
        rows = np.concatenate(
            [
                random.permutation(np.flatnonzero(embedded.labels == identity))[:samples]
                for identity in random.permutation(able)[:size]
            ]
        )
        labels = np.unique(embedded.labels[rows], return_inverse=True)[1]
        tree = join(embedded.embeddings[rows], embedded.score, metric=embedded.metric)
        cuts = [tree.cut(cut) for cut in expit(_CUTS).tolist()]
        purities.append([purity(labels, cut) for cut in cuts])
        clusters.append([np.log(cut.max() + 1) for cut in cuts])
    return np.mean(purities, axis=0), np.mean(clusters, axis=0)


def _law(target: float, curves: list[_Curve]) -> ClusterPurity | None:
    """Return the line through where each curve last rises to the target; None without a line."""
    points = []
    for purities, clusters in curves:
        below = np.flatnonzero(purities < target)
        if len(below) and below[-1] + 1 < len(_CUTS):
            i = below[-1]
            share = (target - purities[i]) / (purities[i + 1] - purities[i])
            cut = _CUTS[i] + share * (_CUTS[i + 1] - _CUTS[i])
            points.append((np.interp(cut, _CUTS, clusters), cut))
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
