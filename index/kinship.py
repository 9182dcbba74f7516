"""A cohort judged as if it were akin to the gallery, by how near its own and each group come.

How near is told in distances: by how many log odds a score lies below the highest that the head
gives, and of that the square root. Of a head that is linear in the cosine or squared Euclidean
distance this is the Euclidean distance, up to a factor. So nobody who is brought nearer comes
nearer than a sample is to itself.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from index.cohort import Cohort, Source
from index.roster import Scores

_LIKELY = 0.3  # how many standard deviations of strangers' distances kin commonly come nearer
_IN_PAIRS = 1.5  # own trials as few as one: who is somebody's nearest has them for nearest
_HEAVIEST = 2.0  # strangers that one own trial counts as where these come as near, at most
_ENOUGH = 70  # strangers; own trials outweigh fewer of them by less, and .05 is still resolved
_FEWEST = 10  # strangers of a group that tell how near it comes
_UNLIKE = 2.5  # standard deviations of strangers' distances; no kin of theirs lie so far from them
_SURE = 1e-9  # a head that says 0 or 1 is not surer than this


def judging(
    strangers: Scores,
    groups: npt.NDArray[np.int64] | None,
    own: Scores,
    source: Source,
    highest: float,
) -> tuple[Cohort, int, float]:
    """Return what thresholds rest on, how many own trials are in it, and their kinship.

    `strangers` (M,) are best scores in the gallery, `own` (T,) those of its own trials, and
    `highest` is the highest score there can be.
    """
    if source == "gallery":
        # Of its own kind: nobody need stand in, and whoever sent them can count.
        return Cohort(strangers), 0, 0.0
    cohort, kinship = akin(as_the_nearest(strangers, groups, highest), own, highest)
    return cohort, len(own), kinship


def akin(strangers: Scores, own: Scores, highest: float) -> tuple[Cohort, float]:
    """Return strangers (M,), come as near as the gallery's kin, and its own trials (T,) as one.

    Kin come nearer by the difference of the mean distances, drawn towards none as far as chance
    alone would explain it (the posterior mean under a normal prior), and never negative: unlike
    galleries gain nothing. What that raised the strangers by, in log odds and in the mean, is
    returned as well.

    Where own trials are fewer than the strangers, each counts as up to two of them. The further
    strangers had to come the less they tell, so it counts 1 + z² times as much where they were z
    standard deviations away: a shift that is wrong by a share of itself has such a variance. But
    ten trials are ten: none counts as more strangers than there are trials.
    """
    if not len(strangers) or not len(own):
        return Cohort(np.concatenate([strangers, own]), interpolated=True, own=len(own)), 0.0
    strangers, own = np.sort(strangers), np.sort(own)  # sums do not depend on who came first
    theirs, ours = _distances(strangers, highest), _distances(own, highest)
    nearer, spread = max(0.0, float(theirs.mean() - ours.mean())), float(theirs.var())
    trusted = _LIKELY**2 / (_LIKELY**2 + 1 / len(theirs) + _IN_PAIRS / len(ours))
    raised = _scores(theirs - trusted * nearer, highest) if nearer else strangers
    counts = np.clip(len(strangers) / len(own), 1, _HEAVIEST) * (1 + nearer**2 / (spread or _SURE))
    most = len(own) * min(1.0, len(strangers) / _ENOUGH)
    weights = np.ones(len(strangers) + len(own))
    weights[len(strangers) :] = max(1.0, min(counts, most))
    kinship = float((_log_odds(raised) - _log_odds(strangers)).mean())
    together = np.concatenate([raised, own])
    return Cohort(together, weights, interpolated=True, own=len(own)), kinship


def unlike(some: Scores, others: Scores, highest: float) -> bool:
    """Whether best scores (M,) and others (T,) lie further apart than those of any kin.

    Fewer than ten of either, or scores that are all one, do not tell.
    """
    if min(len(some), len(others)) < _FEWEST:
        return False
    a, b = _distances(some, highest), _distances(others, highest)
    return abs(float(a.mean() - b.mean())) > _UNLIKE * float(a.std()) > _SURE


def as_the_nearest(
    strangers: Scores, groups: npt.NDArray[np.int64] | None, highest: float
) -> Scores:
    """Return best scores (M,) as if every group of strangers came as near as the nearest does.

    Strangers may come in `groups` (M,) that are unlike each other, as speakers of two data sets
    are by their microphones. A gallery mostly is of one kind, and so are those who come to it:
    its own kind outscores the rest, and the cohort as a whole would let too many of it in. So
    mean and deviation of each group's distances are made those of the group of the lowest mean,
    as verification normalises scores by a cohort (Z-norm: Auckenthaler et al., Digital Signal
    Processing 10, 2000). Groups of fewer than ten stay as they are.
    """
    if groups is None:
        return strangers
    distances = _distances(strangers, highest)
    moments = {
        group: (float(own.mean()), float(own.std()))
        for group in np.unique(groups).tolist()
        if len(own := np.sort(distances[groups == group])) >= _FEWEST
    }
    raised = strangers.copy()
    if not moments:
        return raised
    nearest = min(moments, key=lambda group: moments[group])
    mean, spread = moments[nearest]
    for group, (own_mean, own_spread) in moments.items():
        if group != nearest and own_spread > 0:
            some = groups == group
            moved = mean + (distances[some] - own_mean) * (spread / own_spread)
            raised[some] = _scores(moved, highest)
    return raised


def _distances(scores: Scores, highest: float) -> Scores:
    return np.sqrt(np.maximum(0.0, _log_odds(highest) - _log_odds(scores)))


def _scores(distances: Scores, highest: float) -> Scores:
    scores: Scores = expit(_log_odds(highest) - np.maximum(0.0, distances) ** 2)
    return scores


def _log_odds(scores: Scores | float) -> Scores:
    odds: Scores = logit(np.clip(scores, _SURE, 1 - _SURE))
    return odds
