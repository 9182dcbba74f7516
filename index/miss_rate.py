"""The share of enrolled probes that a threshold would miss."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from index.roster import Rule, Scores


@dataclass(frozen=True, slots=True)
class GenuineScores:
    """What held-out identities score for their own probes by one rule, per samples enrolled.

    `by_samples` maps how many samples an identity had to the scores (n,) its own probes reached.
    """

    rule: Rule
    by_samples: Mapping[int, Scores]

    def miss_rate(
        self, rule: Rule, threshold: float, strangers: Scores, sizes: Mapping[int, int]
    ) -> float | None:
        """Return the share of genuine probes below the threshold or below somebody else.

        `strangers` (M,) are strangers' best scores in the gallery, which stand for what the best
        wrong identity reaches, and `sizes` maps a number of samples to how many identities have
        it. Between recorded numbers of samples the rate is interpolated in their logarithm. None
        where the scores say nothing: another rule (with one sample each all rules are one), or
        numbers of samples beyond those recorded.
        """
        recorded = sorted(self.by_samples)
        if not recorded or (rule != self.rule and set(sizes) != {1}):
            return None
        if not sizes or min(sizes) < recorded[0] or max(sizes) > recorded[-1]:
            return None
        to_beat = np.maximum(strangers, threshold) if len(strangers) else np.array([threshold])
        missed = [_share_below(np.sort(self.by_samples[each]), to_beat) for each in recorded]
        rates = np.interp(np.log(list(sizes)), np.log(recorded), missed)
        return float(np.average(rates, weights=list(sizes.values())))


def _share_below(scores: Scores, to_beat: Scores) -> float:
    return float(np.searchsorted(scores, to_beat, side="left").mean() / len(scores))
