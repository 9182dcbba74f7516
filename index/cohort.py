"""Strangers searched against a gallery: thresholds, p-values, and how sure they are."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import betaincinv, logit

from index.roster import Scores

Source = Literal["bundle", "gallery"]
Promised = Literal["like-cohort", "kin"]
"""Which strangers a rate speaks of: those like the cohort, or those of the gallery's own kind."""

_INTERVAL = (0.025, 0.975)
_SURE = 1e-6  # a head that says 0 or 1 is not that sure


class TargetUnresolvable(ValueError):
    """An error rate was asked for that this many strangers cannot tell from zero."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """What strangers reach in a gallery at best: mean and variance of the log odds."""

    mean: float
    variance: float


def promised(source: Source, own_trials: int) -> Promised:
    """Return which strangers a rate speaks of that rests on these.

    Kin, once a gallery was tried against itself or has a cohort of its own. Before, nothing tells
    how near strangers of its kind come.
    """
    return "kin" if own_trials or source == "gallery" else "like-cohort"


def strangers_needed(target_fpir: float) -> int:
    """Return how many strangers resolve a target: M resolve 1 / (M + 1)."""
    return math.ceil(min(1 / target_fpir, 2**53)) - 1


def exact_interval(hits: float, misses: float) -> tuple[float, float]:
    """Return the 95 % interval of a share (Clopper and Pearson, Biometrika 26, 1934)."""
    low = betaincinv(hits, misses + 1, _INTERVAL[0]) if hits else 0.0
    high = betaincinv(hits + 1, misses, _INTERVAL[1]) if misses else 1.0
    return float(low), float(high)


class Cohort:
    """The best scores (M,) that M strangers reach in one gallery, under one rule.

    A probe's p-value is the share of strangers, itself counted among them, that score at least as
    high: (1 + #{best >= score}) / (M + 1). Naming whoever has a p-value of at most α names a
    stranger exchangeable with these with probability at most α (split conformal prediction: Vovk
    et al., Algorithmic Learning in a Random World, 2005). With `weights` (M,) a stranger counts
    as so many, and the probe as Σw² / Σw.

    So counted, a target is met by whole strangers only: asked 1 %, 184 of them keep to .54 %.
    `interpolated` p-values fall evenly from one stranger's score to the next, so that any target
    from 1 / (M + 1) on is met in the mean (Weibull's plotting positions: the sixth quantile of
    Hyndman and Fan, The American Statistician 50, 1996). `own` of the M are the gallery's own
    trials, which a refusal tells.
    """

    def __init__(
        self,
        best: Scores,
        weights: Scores | None = None,
        *,
        interpolated: bool = False,
        own: int = 0,
    ) -> None:
        order = np.argsort(-best, kind="stable")
        self._falling = best[order]
        self._rising = -self._falling
        self._weights = np.ones(len(best)) if weights is None else weights[order]
        self._interpolated = interpolated
        self._own = own
        reached = np.concatenate([[0.0], np.cumsum(self._weights)])
        itself = (self._weights**2).sum() / reached[-1] if len(best) else 1.0
        # What p-value there is when none, one, two … of the strangers score at least as high.
        self._p_values = (itself + reached) / (itself + reached[-1])

    def __len__(self) -> int:
        return len(self._falling)

    @property
    def resolvable_from(self) -> float:
        """The lowest target that these strangers tell from zero: 1 where there are none."""
        return float(self._p_values[0])

    def threshold(self, target_fpir: float) -> float:
        """Return the lowest score that is accepted at this target, or raise TargetUnresolvable.

        `score >= threshold` and `p_value(score) <= target_fpir` are one decision, ties included:
        counted, it is the next number above the ⌈(M + 1)(1 - α)⌉-th lowest of the best scores.
        """
        above = self._let_in(target_fpir)
        threshold = self._falling[above]
        if self._interpolated and above + 1 < len(self):
            here, beyond = self._p_values[above : above + 2]
            gap = threshold - self._falling[above + 1]
            threshold -= gap * (target_fpir - here) / (beyond - here)
        while self.p_value(threshold) > target_fpir:
            threshold = np.nextafter(threshold, np.inf)
        return float(threshold)

    def p_value(self, score: float) -> float:
        """Return the share of strangers, this probe among them, scoring at least as high."""
        reaching = self._reaching(score)
        counted = float(self._p_values[reaching])
        if not self._interpolated or reaching in (0, len(self)):
            return counted
        upper, lower = self._falling[reaching - 1 : reaching + 1]
        fewer = float(self._p_values[reaching - 1])
        return fewer + (counted - fewer) * float((upper - score) / (upper - lower))

    def fpir_interval(self, target_fpir: float) -> tuple[float, float]:
        """Return where the true FPIR lies, in 95 % of cohorts, at the threshold of this target.

        Over cohorts of M, the share of strangers above the c-th highest of them is distributed
        as Beta(c, M + 1 - c).
        """
        let_in = self._p_values[self._let_in(target_fpir)]
        count = self._effective_count() + 1
        rank = count * (target_fpir if self._interpolated else let_in)
        low, high = betaincinv(rank, count - rank, _INTERVAL)
        return float(low), float(high)

    def fpir_interval_at(self, threshold: float) -> tuple[float, float]:
        """Return the 95 % interval of the FPIR at a given threshold (Clopper and Pearson)."""
        count = self._effective_count()
        hits = float(np.average(self._falling >= threshold, weights=self._weights))
        return exact_interval(count * hits, count * (1 - hits))

    @cached_property
    def crowd(self) -> Crowd:
        """What strangers reach here, as much as each of them counts."""
        reached = logit(np.clip(self._falling, _SURE, 1 - _SURE))
        mean = np.average(reached, weights=self._weights)
        variance = np.average((reached - mean) ** 2, weights=self._weights)
        return Crowd(float(mean), float(variance))

    def _let_in(self, target_fpir: float) -> int:
        """Return how many strangers may score as high as is accepted at this target."""
        if not 0 < target_fpir < 1:
            raise ValueError(f"a target FPIR lies between 0 and 1, got {target_fpir}")
        possible = int(np.searchsorted(self._p_values, target_fpir, side="right"))
        if possible == 0 or not len(self):
            counted = f"{len(self) - self._own} strangers"
            if self._own:
                counted += f" and {self._own} trials of the gallery against itself"
            raise TargetUnresolvable(
                f"{counted} resolve a target FPIR of {self._p_values[0]:.4g} at least, more than "
                f"was asked; {strangers_needed(target_fpir)} strangers of its own would resolve it"
            )
        return possible - 1

    def _reaching(self, score: float) -> int:
        return int(self._rising.searchsorted(-score, side="right"))

    def _effective_count(self) -> float:
        """Return how many strangers of equal weight would tell as much."""
        return float(self._weights.sum() ** 2 / (self._weights**2).sum())
