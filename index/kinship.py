"""A cohort judged as if it were akin to the gallery, by how near its own and each group come."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from index.cohort import Cohort, Source
from index.roster import Scores

_LIKELY = 0.3  # how many standard deviations of strangers' scores kin commonly lie above them
_IN_PAIRS = 1.5  # own trials as few as one: who is somebody's nearest has them for nearest
_HEAVIEST = 2.0  # strangers that one own trial counts as, at most
_FEWEST = 10  # strangers of a group that tell how near it comes
_SURE = 1e-9  # a head that says 0 or 1 is not surer than this


def kinship(strangers: Scores, own: Scores) -> float:
    """Return by how many log odds people akin to the gallery outscore these strangers.

    `strangers` (M,) are best scores in the gallery and `own` (T,) those of its own trials. The
    difference of their means is drawn towards none as far as chance alone would explain it (the
    posterior mean under a normal prior), and is never negative: unlike galleries gain nothing.
    """
    if not len(strangers) or not len(own):
        return 0.0
    theirs, ours = _log_odds(strangers), _log_odds(own)
    spread = float(theirs.var())
    chance = spread * (1 / len(theirs) + _IN_PAIRS / len(ours))
    expected = spread * _LIKELY**2
    trusted = expected / (expected + chance) if spread else 1.0
    return max(0.0, trusted * float(ours.mean() - theirs.mean()))


def as_the_nearest(strangers: Scores, groups: npt.NDArray[np.int64] | None) -> Scores:
    """Return best scores (M,) as if every group of strangers came as near as the nearest does.

    Strangers may come in `groups` (M,) that are unlike each other, as speakers of two data sets
    are by their microphones. A gallery mostly is of one kind, and so are those who come to it:
    its own kind outscores the rest, and the cohort as a whole would let too many of it in. So
    mean and deviation of each group's log odds are made those of the group with the highest mean,
    as verification normalises scores by a cohort (Z-norm: Auckenthaler et al., Digital Signal
    Processing 10, 2000). Groups of fewer than ten stay as they are.
    """
    if groups is None:
        return strangers
    odds = logit(np.clip(strangers, _SURE, 1 - _SURE))
    moments = {
        group: (float(own.mean()), float(own.std()))
        for group in np.unique(groups).tolist()
        if len(own := np.sort(odds[groups == group])) >= _FEWEST
    }
    raised = strangers.copy()
    if not moments:
        return raised
    nearest = max(moments, key=lambda group: moments[group])
    mean, spread = moments[nearest]
    for group, (own_mean, own_spread) in moments.items():
        if group != nearest and own_spread > 0:
            some = groups == group
            raised[some] = expit(mean + (odds[some] - own_mean) * (spread / own_spread))
    return raised


def akin(strangers: Scores, own: Scores, kinship: float) -> Cohort:
    """Return the strangers, raised to the gallery's kin, and its own trials as one cohort.

    Where the gallery's own trials are fewer than the strangers, each counts as up to two. With no
    own trials it is the strangers as they are.
    """
    raised = strangers if kinship == 0 else _raised(strangers, kinship)
    weights = np.ones(len(strangers) + len(own))
    if len(own):
        weights[len(strangers) :] = np.clip(len(strangers) / len(own), 1, _HEAVIEST)
    return Cohort(np.concatenate([raised, own]), weights, interpolated=True)


def judging(
    strangers: Scores, groups: npt.NDArray[np.int64] | None, own: Scores, source: Source
) -> tuple[Cohort, int, float]:
    """Return what thresholds rest on, how many own trials are in it, and their kinship."""
    if source == "gallery":
        # Of its own kind: nobody need stand in, and whoever sent them can count.
        return Cohort(strangers), 0, 0.0
    values = as_the_nearest(strangers, groups)
    raised = kinship(values, own)
    return akin(values, own, raised), len(own), raised


def _raised(scores: Scores, log_odds: float) -> Scores:
    """Multiply the odds of scores; 0 and 1 stay what they are, and the order stays."""
    odds = np.exp(log_odds)
    raised: Scores = scores * odds / (1 + scores * (odds - 1))
    return raised


def _log_odds(scores: Scores) -> Scores:
    """Return log odds in rising order, so that their sum does not depend on who came first."""
    odds: Scores = logit(np.clip(np.sort(scores), _SURE, 1 - _SURE))
    return odds
