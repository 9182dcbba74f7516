"""The share of enrolled probes that a threshold would miss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from index.cohort import exact_interval
from index.roster import Rule, Scores

MissReason = Literal[
    "empty-gallery",
    "gallery-too-small",  # fewer than 10 identities: the threshold hangs on what each is like
    "no-calibration",
    "rule-not-calibrated",
    "samples-outside-calibration",
    "kind-unlike-calibration",
]


ENOUGH = 50  # own trials that speak for themselves
_FEWEST = 10  # own trials that say anything at all
_FEWEST_IDENTITIES = 10


@dataclass(frozen=True, slots=True)
class OwnMisses:
    """What share of a gallery's own genuine trials was missed.

    `sizes` maps how many samples an identity had left, with one held out, to how many of those
    tried had so many.
    """

    share: float
    sizes: Mapping[int, int]

    def __len__(self) -> int:
        return sum(self.sizes.values())

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies in 95 % of cases, each identity counting once.

        It is exact for a binomial share, and wider than need be where some identities are missed
        more easily than others, as they are.
        """
        missed = round(self.share * len(self))
        return exact_interval(missed, len(self) - missed)


@dataclass(frozen=True, slots=True)
class GenuineScores:
    """What held-out identities score for their own probes by one rule, per samples enrolled.

    `by_samples` maps how many samples an identity had to the scores (n,) its own probes reached.
    """

    rule: Rule
    by_samples: Mapping[int, Scores]

    def why_not(self, rule: Rule, sizes: Mapping[int, int]) -> MissReason | None:
        """Return why these scores say nothing of such a gallery, or None if they do.

        They do by their own rule (with one sample each all rules are one), and for numbers of
        samples within those recorded.
        """
        if not sizes:
            return "empty-gallery"
        if rule != self.rule and set(sizes) != {1}:
            return "rule-not-calibrated"
        if min(sizes) < min(self.by_samples) or max(sizes) > max(self.by_samples):
            return "samples-outside-calibration"
        return None

    def miss_rate(
        self, rule: Rule, threshold: float, strangers: Scores, sizes: Mapping[int, int]
    ) -> float | None:
        """Return the share of genuine probes below the threshold or below somebody else.

        `strangers` (M,) are strangers' best scores in the gallery, which stand for what the best
        wrong identity reaches, though of N identities only N - 1 are wrong; `sizes` maps a number
        of samples to how many identities have it. Between recorded numbers of samples the rate is
        interpolated in their logarithm. None where the scores say nothing.
        """
        if self.why_not(rule, sizes):
            return None
        recorded, numbers = sorted(self.by_samples), sorted(sizes)
        missed = [
            self._missed(each, threshold, strangers, sum(sizes.values())) for each in recorded
        ]
        rates = np.interp(np.log(numbers), np.log(recorded), missed)
        return float(np.average(rates, weights=[sizes[number] for number in numbers]))

    def _missed(self, samples: int, threshold: float, strangers: Scores, identities: int) -> float:
        scores = np.sort(self.by_samples[samples])
        alone = _share_below(scores, np.array([threshold]))
        if not len(strangers):
            return alone
        beaten = _share_below(scores, np.maximum(strangers, threshold))
        return alone + (beaten - alone) * (identities - 1) / identities


def expected_fnir(
    genuine: GenuineScores | None,
    own: OwnMisses | None,
    rule: Rule,
    threshold: float,
    strangers: Scores,
    sizes: Mapping[int, int],
) -> tuple[float | MissReason, tuple[float, float] | None]:
    """Return the share of genuine probes that this threshold will miss, or why nothing tells.

    It is what the comparator's genuine scores say, moved by how far the gallery's own trials
    depart from what these would have said of them: a trial has one sample less, and the gallery's
    identities may be harder than others. From 50 own trials on the whole departure counts, below
    a part of it, below 10 none. Without such scores 50 own trials are taken as they are. With one
    identity or few, whoever lies apart has a low threshold and low scores of their own as well, so
    that the two are not independent: of 5 identities a quarter too much would be told.

    Beside it stands where the true share lies in 95 % of galleries; None where nothing tells, or
    fewer than 10 own trials. It rests on these alone, moved by what the genuine scores say that
    the sample held out is worth, and is widened to hold the share told.
    """
    if 0 < sum(sizes.values()) < _FEWEST_IDENTITIES:
        return "gallery-too-small", None
    told = genuine.miss_rate(rule, threshold, strangers, sizes) if genuine else None
    if genuine is None or told is None:
        if own and len(own) >= ENOUGH:
            return own.share, _holding(own.share, own, 0.0)
        reason = genuine.why_not(rule, sizes) if genuine else None
        return reason or "no-calibration", None
    if own is None or len(own) < _FEWEST:
        return told, None
    of_trials = genuine.miss_rate(rule, threshold, strangers, own.sizes)
    if of_trials is None:
        return told, _holding(told, own, 0.0)
    departure = min(1.0, len(own) / ENOUGH) * (own.share - of_trials)
    expected = min(1.0, max(0.0, told + departure))
    return expected, _holding(expected, own, told - of_trials)


def _holding(expected: float, own: OwnMisses, moved: float) -> tuple[float, float]:
    """Return the interval of the gallery's own trials, moved, and widened to hold a share."""
    low, high = own.interval
    return min(max(0.0, low + moved), expected), max(min(1.0, high + moved), expected)


def _share_below(scores: Scores, to_beat: Scores) -> float:
    return float(np.searchsorted(scores, to_beat, side="left").mean() / len(scores))
