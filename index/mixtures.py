"""How probable it is that a name is wrong, and that two identities are one."""

import numpy as np
import scipy
from scipy.special import expit

from index.roster import Scores

_BOUNDS = ((-6, 4), (-2, 4), (-12, 12))  # how far the tail's mean lies, its deviation, log odds


def label_noise(margins: Scores, others: int) -> tuple[float, Scores]:
    """Return the share of wrong names and the probability (n,) that each name is wrong.

    `margins` (n, k) tell how much nearer each sample is to its nearest k of `others` identities
    than to the rest of its own. The name of a sample is that of one identity drawn by
    softmax(-β · distance) with probability 1 - ν, and anybody else's with probability ν; β and ν
    are those that make the names most likely.
    """

    def named(sharpness: float) -> tuple[Scores, Scores]:
        """Return how likely each name is if it is right, and if it is anybody else's."""
        with np.errstate(over="ignore"):
            own = 1 / (1 + np.exp(np.exp(sharpness) * margins).sum(axis=1))
        return own.clip(1e-300), (1 - own) / others

    def surprise(sharpness: float) -> float:
        right, wrong = named(sharpness)
        noise = _share(right, wrong)
        return -float(np.log((1 - noise) * right + noise * wrong).mean())

    # Both a blunt β without noise and a sharp one with noise may be best nearby: look at all.
    grid = np.linspace(-2, 6, 25) - np.log(max(float(np.std(margins)), 1e-9))
    best = int(np.argmin([surprise(each) for each in grid.tolist()]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    least = scipy.optimize.minimize_scalar(surprise, bounds=bounds, method="bounded")
    right, wrong = named(least.x)
    noise = _share(right, wrong)
    return noise, noise * wrong / ((1 - noise) * right + noise * wrong)


def one_thing(pairs: Scores, least: float) -> Scores:
    """Return the probability (n,) that each pair of identities is one thing.

    `pairs` (n,) tell how near two identities are, in standard deviations from the mean of what
    one thing cut in two comes to. Those above `least` are taken for a mixture of such, which are
    normal, and of look-alikes, which grow fewer as the upper half of a normal distribution does
    (the two groups of Efron, JASA 99, 2004); the share of each and the tail are the likeliest, had
    one more pair been seen that is one thing: else a single one would be put down to the tail.
    Below `least` nobody is one thing, and whoever is nearer than others is so as surely as they.
    """
    # The same samples under two names are nearer than one thing cut in two, and no less one: as
    # if a deviation beyond the mean, where the tail tells nothing better.
    pairs = np.minimum(pairs, 1)
    looked_at = np.sort(pairs[pairs > least])
    if not len(looked_at):
        return np.zeros(len(pairs))
    norm = scipy.stats.norm
    one = norm.logpdf(looked_at) - norm.logsf(least)

    def others(before: float, spread: float) -> Scores:
        mean, deviation = least - np.exp(before), np.exp(spread)
        tail: Scores = norm.logpdf(looked_at, mean, deviation) - norm.logsf(least, mean, deviation)
        return tail

    def surprise(parameters: Scores) -> float:
        before, spread, odds = parameters
        of_one, of_others = one - np.logaddexp(0, -odds), others(before, spread)
        told = np.logaddexp(of_one, of_others - np.logaddexp(0, odds))
        return float(np.logaddexp(0, -odds) - told.sum())

    starts = [(before, spread, -3.0) for before in (-2.0, 1.0) for spread in (0.0, 1.0)]
    found = [scipy.optimize.minimize(surprise, each, bounds=_BOUNDS) for each in starts]
    before, spread, odds = min(found, key=lambda each: float(each.fun)).x
    probability = np.maximum.accumulate(expit(odds + one - others(before, spread)))
    place = np.searchsorted(looked_at, pairs, side="right")
    each: Scores = np.concatenate([[0.0], probability])[place]
    return each


def _share(right: Scores, wrong: Scores) -> float:
    """Return the weight of `wrong` (n,) in the likeliest mixture of it with `right` (n,)."""

    def slope(weight: float) -> float:
        return float(((wrong - right) / ((1 - weight) * right + weight * wrong)).mean())

    least, most = 0.0, 1 - 1e-9
    if slope(least) <= 0:
        return least
    return most if slope(most) >= 0 else float(scipy.optimize.brentq(slope, least, most))
