"""Whether probes are still like those that scores were learnt on: a shift, told from chance.

A probe's best score against some strangers does not depend on who is enrolled, and moves when
samples are blurred, noisy or of another kind. That need not be an error: it says that what was
measured may hold no more.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric, distances
from index.roster import Score, Scores

BINS = 10
FEWEST = 100  # probes that tell anything of a shift
_SIMULATIONS = 100_000
_BLOCK = 5000  # of them at a time
_SURE = 0.9999  # of windows without a shift, the share that stays below the limit
_STEP = 100  # probes; a limit is simulated for the next fewer, at .2 s of processor time
_FINE = 4  # … and for sizes of references so many to a doubling


def best_scores(
    probes: Embeddings,
    strangers: Embeddings,
    score: Score,
    metric: Metric,
    *,
    themselves: bool = False,
) -> Scores:
    """Return the best score of each probe (n, d) against strangers (M, d).

    With `themselves` the probes are these strangers, and none counts for itself.
    """
    far = distances(probes, strangers, metric)
    if themselves:
        np.fill_diagonal(far, np.inf)
    return score(far.min(axis=1).astype(np.float64))


def places(scores: Scores, reference: Scores, chance: np.random.Generator) -> Scores:
    """Return where scores (n,) lie among those of a reference (m,): each in [0, 1).

    Of a probe exchangeable with the reference it is uniform, ties included, for these are broken
    by chance (smoothed conformal p-values: Vovk et al., Algorithmic Learning in a Random World,
    2005, with the sides exchanged).
    """
    rising = np.sort(reference)
    below, reached = (np.searchsorted(rising, scores, side) for side in ("left", "right"))
    among = below + chance.random(len(scores)) * (reached - below + 1)
    found: Scores = np.minimum(among / (len(rising) + 1), np.nextafter(1, 0))
    return found


def stability_index(where: Scores) -> float:
    """Return the population stability index of places (n,) in ten bins of equal expectation.

    PSI = Σ (q - p) ln(q / p), p = 1/10 and q the share in a bin, each with half a probe more so
    that an empty bin is no infinity (Siddiqi, Credit Risk Scorecards, 2006).
    """
    counts = np.bincount((np.asarray(where) * BINS).astype(int), minlength=BINS)
    return float(_index(counts))


def no_drift_limit(reference: float, probes: int) -> float:
    """Return what the index stays below in 9,999 of 10,000 windows without any shift.

    The fixed limits in common use (.1 and .25) know neither the number of `probes` nor how few
    scores a `reference` may have: between neighbours of m scores lie shares of the population
    that are distributed as Dirichlet(1, …, 1), so ten bins of them as Dirichlet(m + 1 / 10, …).
    Sizes in between are taken for the next smaller that is simulated, whose limit is higher.
    Raises ValueError below one score or one probe.
    """
    if reference < 1 or probes < 1:
        raise ValueError(f"expected some scores and some probes, got {reference} and {probes}")
    doublings = np.floor(np.log2(reference) * _FINE + 1e-9) / _FINE
    return _limit(float(2**doublings), max(probes // _STEP * _STEP, min(probes, _STEP)))


def size_together(sizes: npt.ArrayLike, probes: npt.ArrayLike) -> float:
    """Return how large one reference would be that told as much as several do together.

    Reference i has `sizes` i scores and `probes` i of the window's were placed in it: with shares
    w of the probes, the errors of independent references add up to Σ w² / size.
    """
    counts = np.asarray(probes, np.float64)
    shares = counts / counts.sum()
    return float(1 / (shares**2 / np.asarray(sizes, np.float64)).sum())


def design_effect(where: Scores, groups: npt.ArrayLike) -> float:
    """Return how much more the places (n,) of a sample vary than those of independent probes.

    That is the variance of the counts in ten bins between `groups` (n,), such as persons or
    stretches of time, over what it would be if groups did not tell (Kish, Survey Sampling, 1965):
    1 then, and about the size of a group where all in it are alike. It is at least 1.
    """
    bins = (np.asarray(where) * BINS).astype(int)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return 1.0
    counts = np.zeros((len(names), BINS))
    np.add.at(counts, (group, bins), 1)
    sizes, shares = counts.sum(axis=1, keepdims=True), counts.sum(axis=0) / len(bins)
    chance = float((sizes * (1 - sizes / len(bins)) * shares * (1 - shares)).sum())
    varied = float(((counts - sizes * shares) ** 2).sum())
    return max(1.0, varied / chance) if chance else 1.0


@lru_cache(maxsize=1024)
def _limit(reference: float, probes: int) -> float:
    chance, shape = np.random.default_rng(0), np.full(BINS, (reference + 1) / BINS)
    windows = [  # a block at a time: what a thread once took of memory it keeps
        _index(chance.multinomial(probes, chance.dirichlet(shape, _BLOCK)))
        for _ in range(_SIMULATIONS // _BLOCK)
    ]
    return float(np.quantile(np.concatenate(windows), _SURE))


def _index(counts: npt.NDArray[np.int64]) -> Scores:
    """Return the index of counts (…, bins) whose expectation is the same in each bin."""
    shares = (counts + 0.5) / (counts.sum(axis=-1, keepdims=True) + BINS / 2)
    index: Scores = ((shares - 1 / BINS) * np.log(shares * BINS)).sum(axis=-1)
    return index
