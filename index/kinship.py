"""A cohort judged as if it were akin to the gallery, by how the gallery scores against itself."""

import numpy as np
from scipy.special import logit

from index.cohort import Cohort
from index.roster import Scores

_LIKELY = 0.3  # how many standard deviations of strangers' scores kin commonly lie above them
_IN_PAIRS = 1.5  # own trials as few as one: who is somebody's nearest has them for nearest
_HEAVIEST = 2.0  # strangers that one own trial counts as, at most
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


def _raised(scores: Scores, log_odds: float) -> Scores:
    """Multiply the odds of scores; 0 and 1 stay what they are, and the order stays."""
    odds = np.exp(log_odds)
    raised: Scores = scores * odds / (1 + scores * (odds - 1))
    return raised


def _log_odds(scores: Scores) -> Scores:
    """Return log odds in rising order, so that their sum does not depend on who came first."""
    odds: Scores = logit(np.clip(np.sort(scores), _SURE, 1 - _SURE))
    return odds
