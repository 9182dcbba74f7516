"""Intervals by identity, and when there are too few to say."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evaluation.report import Figure

Reals = npt.NDArray[np.float64]
Interval = tuple[float, float]

FEWEST_IDENTITIES = 5  # drawn anew, fewer tell nothing of others
FEWEST_ERRORS = 10  # pairs beyond a threshold: what is rarer is not resolved
REPLICATES = 1000


def interval(replicates: Reals) -> Interval:
    """Return the 2.5th and 97.5th percentile."""
    low, high = np.quantile(replicates, (0.025, 0.975))
    return float(low), float(high)


def ratio(hits: npt.ArrayLike, trials: npt.ArrayLike, seed: int, counted: str) -> Figure:
    """Return Σ hits / Σ trials over identities (n,), who were tried in `counted`.

    Only identities that were tried count; where these are too few, it says so.
    """
    hits, trials = np.asarray(hits, float), np.asarray(trials, float)
    tried = trials > 0
    if reason := too_few(int(tried.sum())):
        return Figure(counted=counted, too_few=reason)
    hits, trials = hits[tried], trials[tried]
    drawn = draws(len(hits), seed)
    return Figure(
        value=float(hits.sum() / trials.sum()),
        interval=interval((drawn @ hits) / (drawn @ trials)),
        counted=counted,
    )


@lru_cache(maxsize=8)
def draws(identities: int, seed: int, replicates: int = REPLICATES) -> Reals:
    """Return how often each identity (r, n) is drawn when as many are drawn anew; read only."""
    random = np.random.default_rng(seed)
    share = np.full(identities, 1 / identities)
    drawn = random.multinomial(identities, share, replicates).astype(np.float64)
    drawn.flags.writeable = False
    return drawn


def resampled(sums: Reals, value: Callable[[Reals], Reals], seed: int, counted: str) -> Figure:
    """Return a figure of sums over identities (n, …), where `value` maps (…, sums) to figures.

    As in `ratio`, identities whose sums are all zero took no part.
    """
    took_part = sums.reshape(len(sums), -1).any(axis=1)
    if reason := too_few(int(took_part.sum())):
        return Figure(counted=counted, too_few=reason)
    sums = sums[took_part]
    drawn = draws(len(sums), seed)
    again = np.tensordot(drawn, sums, 1)
    return Figure(
        value=float(value(sums.sum(axis=0)[None])[0]),
        interval=interval(value(again)),
        counted=counted,
    )


def too_few(identities: int) -> str | None:
    """Return why so many identities are too few to say, or None where they are enough."""
    if identities >= FEWEST_IDENTITIES:
        return None
    return f"{identities} identities; at least {FEWEST_IDENTITIES} are needed to say"
