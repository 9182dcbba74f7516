"""Where clusters are best cut, and the collections of held-out identities that tell."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.metrics import adjusted_rand_score

from evaluation.pairs import Embedded, Labels
from index.clustering import join, leader

Rows = npt.NDArray[np.int64]
Method = Literal["linkage", "leader"]

CUTS = expit(np.arange(-2, 8.01, 0.5))  # .12 to .9997
_FEWEST, _SAMPLES = 10, (2, 5, 10, 20)


def draw(
    embedded: Embedded, identities: Labels, samples: int, random: np.random.Generator
) -> Rows:
    """Return the rows of up to so many samples, drawn at random, of each of these identities."""
    order = random.permutation(len(embedded.labels))
    return np.concatenate([order[embedded.labels[order] == i][:samples] for i in identities])


def collections(
    embedded: Embedded, random: np.random.Generator, *, draws: int, items: int
) -> list[list[Rows]]:
    """Return the rows of collections such as people cluster, `draws` of each kind.

    Of 10 identities, twice as many and so on up to all that have two samples; of 2, 5, 10 and 20
    samples each; of no more than so many items.
    """
    able = np.flatnonzero(np.bincount(embedded.labels) >= 2)
    steps = max(2, round(np.log2(len(able) / _FEWEST)) + 1)
    sizes = np.geomspace(min(_FEWEST, len(able)), len(able), steps).round().astype(int)
    return [
        [draw(embedded, random.permutation(able)[:size], samples, random) for _ in range(draws)]
        for size in np.unique(sizes).tolist()
        for samples in _SAMPLES
        if size * samples <= items
    ]


def best_cut(embedded: Embedded, clustered: Sequence[Rows], method: Method = "linkage") -> float:
    """Return the score at which clusterings of these rows agree best with their identities.

    By the adjusted Rand index, in the mean over the collections.
    """
    cuts = CUTS if method == "linkage" else CUTS[::2]  # the leader procedure takes its time
    agreed = [_agreements(embedded, rows, cuts.tolist(), method) for rows in clustered]
    return float(cuts[np.mean(agreed, axis=0).argmax()])


def _agreements(embedded: Embedded, rows: Rows, cuts: list[float], method: Method) -> list[float]:
    labels, items = embedded.labels[rows], embedded.embeddings[rows]
    if method == "linkage":
        tree = join(items, embedded.score, metric=embedded.metric)
        found = [tree.cut(cut) for cut in cuts]
    else:
        found = [
            np.array(leader(items, embedded.score, cut, metric=embedded.metric).labels)
            for cut in cuts
        ]
    return [float(adjusted_rand_score(labels, each)) for each in found]
