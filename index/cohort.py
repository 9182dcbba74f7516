"""Strangers searched against a gallery: thresholds, p-values, and how sure they are."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv

from index.roster import Scores

Source = Literal["bundle", "gallery"]

_INTERVAL = (0.025, 0.975)


class TargetUnresolvable(ValueError):
    """An error rate was asked for that this many strangers cannot tell from zero."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """The best scores (M,) that M strangers reach in one gallery, under one rule.

    A probe's p-value is the share of strangers, itself counted among them, that score at least as
    high: (1 + #{best >= score}) / (M + 1). Naming whoever has a p-value of at most α names a
    stranger exchangeable with these with probability at most α (split conformal prediction: Vovk
    et al., Algorithmic Learning in a Random World, 2005).
    """

    best: Scores

    def __len__(self) -> int:
        return len(self.best)

    def threshold(self, target_fpir: float) -> float:
        """Return the lowest score that is accepted at this target, or raise TargetUnresolvable.

        With c the largest count for which c / (M + 1) <= α, it is the next number above the c-th
        highest best score, which is the ⌈(M + 1)(1 - α)⌉-th lowest: `score >= threshold` and
        `p_value(score) <= target_fpir` are one decision, ties included.
        """
        rank = self._rank(target_fpir)
        return float(np.nextafter(np.sort(self.best)[-rank], np.inf))

    def p_value(self, score: float) -> float:
        """Return the share of strangers, this probe among them, scoring at least as high."""
        return float((1 + np.count_nonzero(self.best >= score)) / (len(self) + 1))

    def fpir_interval(self, target_fpir: float) -> tuple[float, float]:
        """Return where the true FPIR lies, in 95 % of cohorts, at the threshold of this target.

        Over cohorts of M, the share of strangers above the c-th highest of them is distributed
        as Beta(c, M + 1 - c).
        """
        rank = self._rank(target_fpir)
        low, high = betaincinv(rank, len(self) + 1 - rank, _INTERVAL)
        return float(low), float(high)

    def fpir_interval_at(self, threshold: float) -> tuple[float, float]:
        """Return the 95 % interval of the FPIR at a given threshold (Clopper and Pearson)."""
        hits = int(np.count_nonzero(self.best >= threshold))
        misses = len(self) - hits
        low = betaincinv(hits, misses + 1, _INTERVAL[0]) if hits else 0.0
        high = betaincinv(hits + 1, misses, _INTERVAL[1]) if misses else 1.0
        return float(low), float(high)

    def _rank(self, target_fpir: float) -> int:
        """Return how many of the M + 1 p-values there can be are at most the target."""
        if not 0 < target_fpir < 1:
            raise ValueError(f"a target FPIR lies between 0 and 1, got {target_fpir}")
        possible = np.arange(1, len(self) + 1) / (len(self) + 1)
        rank = int(np.searchsorted(possible, target_fpir, side="right"))
        if rank == 0:
            raise TargetUnresolvable(
                f"{len(self)} strangers resolve a target FPIR of {1 / (len(self) + 1):.4g} at "
                f"least, asked was {target_fpir:.4g}; a larger cohort would resolve it"
            )
        return rank
