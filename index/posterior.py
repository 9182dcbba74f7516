"""How probable it is that a probe is each identity, or nobody enrolled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy
from scipy.special import expit, log_expit, logit

from index.cohort import Crowd
from index.gallery import Embeddings, Metric, distances
from index.roster import Rule, Score, Scores

PosteriorReason = Literal[
    "empty-gallery",
    "no-calibration",
    "rule-not-calibrated",
    "gallery-larger-than-calibrated",
    "gallery-smaller-than-calibrated",
    "samples-outside-calibration",
    "too-few-strangers",  # fewer than 20 tell too little of what strangers reach in the gallery
    "kind-unlike-calibration",  # the gallery's own come far nearer to it than calibrated on
]

_CLIP = 1e-6  # a head that says 0 or 1 is not that sure
_ALIKE = 3  # strangers
_ASKED = 400  # strangers whose own likeness to the others is looked at
_WORTH = 3  # own samples that tell as much of what is common as all strangers do
_PARAMETERS = (
    "slope",
    "slope_by_samples",
    "nesting",
    "unknown",
    "by_samples",
    "by_likeness",
    "by_crowd",
    "by_spread",
    "bend",
)
_BEND = len(_PARAMETERS) - 1
_NEAREST = 0.03  # log odds below the highest: nobody's own samples are reliably nearer than that


@dataclass(frozen=True, slots=True)
class PosteriorModel:
    """A choice between nobody and, if somebody, every identity (a nested logit: McFadden, 1978).

    In a gallery with m samples an identity on average, an identity of score S weighs
    exp(x), x = (slope + slope_by_samples · log m) · logit S + bend · b(S), against the others.
    Where samples of one encoder are compared, b(S) = -log(highest - logit S), of which `highest`
    is the log odds of no distance: so logarithms of likelihood ratios run where squared distances
    of mates and of others are distributed as Gamma of unlike shapes. Across two encoders, where
    no distance is no bound (`highest` is None), b(S) = log(1 + odds S). Somebody weighs
    (Σ exp x) ^ nesting against nobody's exp(unknown + by_samples · log m + by_likeness · likeness
    + by_crowd · mean + by_spread · variance), where mean and variance are those of the log odds
    that strangers reach in this gallery at best: they tell how crowded it is, whatever its size.
    It holds for one rule, within the sizes of gallery it was fitted on, and for even odds of a
    probe being of anybody enrolled, from which `prior_known` shifts it.
    """

    rule: Rule
    slope: float
    slope_by_samples: float
    nesting: float
    unknown: float
    by_samples: float
    by_likeness: float
    by_crowd: float
    by_spread: float
    identities: tuple[int, int]
    samples: tuple[float, float]
    bend: float = 0.0
    highest: float | None = None

    def covers(self, rule: Rule, identities: int, samples: float) -> bool:
        """Say whether this was fitted for that rule and that size of gallery."""
        return self.why_not(rule, identities, samples) is None

    def why_not(self, rule: Rule, identities: int, samples: float) -> PosteriorReason | None:
        """Return why this says nothing of such a gallery, or None if it does."""
        if rule != self.rule:
            return "rule-not-calibrated"
        if identities > self.identities[1]:
            return "gallery-larger-than-calibrated"
        if identities < self.identities[0]:
            return "gallery-smaller-than-calibrated"
        if not self.samples[0] <= samples <= self.samples[1]:
            return "samples-outside-calibration"
        return None

    def shares(
        self,
        listed: Sequence[Sequence[float]],
        everybody: Scores,
        samples: float,
        likeness: Scores,
        crowd: Crowd,
        prior_known: float = 0.5,
    ) -> list[list[float]]:
        """Return for each of n probes the posteriors of those listed, and last that of nobody.

        `listed` are their scores, `everybody` (n, N) those of all identities in any order,
        `samples` is the mean number of samples of one, `likeness` (n,) the probe's to strangers
        beyond what is common, and `crowd` what strangers reach in this gallery. Those of all N
        and of nobody sum to 1, and do not depend on the other probes.
        """
        logits = _logits(np.sort(everybody, axis=1))
        known = _Known(logits, likeness, samples, crowd, self.highest)
        parameters = np.array([getattr(self, name) for name in _PARAMETERS])
        among = known.among(parameters)
        odds = known.odds(parameters, among) + logit(prior_known)
        counts = [len(each) for each in listed]
        logits = _logits(np.fromiter(chain.from_iterable(listed), np.float64))
        weights = known.weights(parameters, logits)
        each = np.repeat(expit(odds), counts) * np.exp(weights - np.repeat(among, counts))
        shares = iter(each.tolist())
        nobody = expit(-odds).tolist()
        return [[*islice(shares, count), none] for count, none in zip(counts, nobody, strict=True)]


@dataclass(frozen=True, slots=True)
class Trials:
    """Probes of one simulated gallery.

    Their scores (n, N), likeness to strangers (n,), which identity each is, or -1 (n,), the mean
    number of samples of an identity, and what strangers reach.
    """

    scores: Scores
    likeness: Scores
    truth: npt.NDArray[np.int64]
    samples: float
    crowd: Crowd


class Strangers:
    """One embedding (M, d) of each of some strangers, to see how commonplace a probe is.

    Commonplace probes score with many identities, and with strangers too.
    """

    def __init__(self, embeddings: Embeddings, score: Score, metric: Metric) -> None:
        self._embeddings = embeddings
        self._score = score
        self._metric = metric
        itself = np.arange(min(len(embeddings), _ASKED))
        self._common = 0.0
        if len(embeddings) > 1:
            self._common = float(self.likeness(embeddings[itself], itself).mean())

    def likeness(
        self, probes: Embeddings, themselves: npt.NDArray[np.int64] | None = None
    ) -> Scores:
        """Return the mean log odds of each probe's (n, d) scores with the three most alike (n,).

        `themselves` (n,) tells which stranger a probe is of, who does not count; -1 is none.
        """
        far = distances(probes, self._embeddings, self._metric)
        if themselves is not None:
            of_one = np.flatnonzero(themselves >= 0)
            far[of_one, themselves[of_one]] = np.inf
        count = min(_ALIKE, len(self._embeddings) - (themselves is not None))
        nearest = np.sort(np.partition(far, count - 1, axis=1)[:, :count], axis=1)
        alike: Scores = _logits(self._score(nearest.astype(np.float64))).mean(axis=1)
        return alike

    def common(self, own: Scores) -> float:
        """Return what likeness is common, from which a probe's is counted.

        It is that of strangers to each other, drawn towards that of the gallery's own samples
        (T,), one of an identity: probes come from where these do, and the strangers may not.
        """
        if not len(own):
            return self._common
        trust = len(own) / (len(own) + _WORTH)
        return self._common + trust * (float(own.mean()) - self._common)


def fit_posterior(
    trials: Iterable[Trials], rule: Rule, highest: float | None = None
) -> PosteriorModel:
    """Return the model under which these trials are likeliest, known and unknown at even odds.

    `highest` is the score of no distance, None for probes of another encoder than references.
    Simulate galleries of many sizes: the model covers those from the smallest to the largest.
    """
    top = None if highest is None else float(_logits(np.array(highest)))
    given = [
        (_Known(_logits(each.scores), each.likeness, each.samples, each.crowd, top), each.truth)
        for each in trials
    ]
    sizes = [known.logits.shape[1] for known, _ in given]
    samples = [known.samples for known, _ in given]

    def surprise(parameters: Scores) -> tuple[float, Scores]:
        told = [known.surprise(parameters, truth) for known, truth in given]
        slopes: Scores = np.mean([slope for _, slope in told], axis=0)
        return float(np.mean([value for value, _ in told])), slopes

    start = np.zeros(len(_PARAMETERS))
    start[_PARAMETERS.index("slope")] = start[_PARAMETERS.index("nesting")] = 1
    fitted = scipy.optimize.minimize(surprise, start, jac=True, method="BFGS").x.tolist()
    return PosteriorModel(
        rule=rule,
        identities=(min(sizes), max(sizes)),
        samples=(min(samples), max(samples)),
        highest=top,
        **dict(zip(_PARAMETERS, fitted, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of some probes of one gallery: log odds (n, N), likeness (n,) and more."""

    logits: Scores
    likeness: Scores
    samples: float
    crowd: Crowd
    highest: float | None = None

    def weights(self, parameters: Scores, logits: Scores) -> Scores:
        """Return the log of what identities of these log odds weigh, in the same shape."""
        slope = float(parameters[:2] @ self._of_slope())
        weights: Scores = slope * logits
        bend = parameters[_BEND]
        return weights + bend * self._bent(logits) if bend else weights

    def among(self, parameters: Scores) -> Scores:
        """Return the log of what all identities weigh (n,)."""
        among: Scores = np.logaddexp.reduce(self.weights(parameters, self.logits), axis=1)
        return among

    def odds(self, parameters: Scores, among: Scores) -> Scores:
        """Return the log odds of somebody against nobody (n,)."""
        of_nobody = parameters[3:_BEND]
        nobody = (self._of_nobody() * of_nobody).sum(axis=1)  # each row as if it were alone
        odds: Scores = parameters[2] * among - nobody
        return odds

    def surprise(self, parameters: Scores, truth: npt.NDArray[np.int64]) -> tuple[float, Scores]:
        """Return the mean negative log posterior of the truth, and its slope by the parameters.

        Known and unknown probes weigh the same, however many there are of each.
        """
        known = truth >= 0
        weights = self.weights(parameters, self.logits)
        among: Scores = np.logaddexp.reduce(weights, axis=1)
        odds = self.odds(parameters, among)
        itself = (np.arange(len(truth)), truth)  # of nobody: any, and not counted
        told = log_expit(np.where(known, odds, -odds)) + known * (weights[itself] - among)

        counts = np.where(known, 2 * known.sum(), 2 * (~known).sum())
        by_odds = (known - expit(odds)) / counts
        shares = np.exp(weights - among[:, None])

        def by_weight(each: Scores) -> float:
            mean = (shares * each).sum(axis=1)
            by_mean = by_odds * parameters[2] * mean
            return float((by_mean + known * (each[itself] - mean) / counts).sum())

        slopes = [
            by_weight(self.logits) * self._of_slope(),
            [by_odds @ among],
            -by_odds @ self._of_nobody(),
            [by_weight(self._bent(self.logits))],
        ]
        return -float((told / counts).sum()), -np.concatenate(slopes)

    def _bent(self, logits: Scores) -> Scores:
        if self.highest is None:
            return np.logaddexp(0, logits)
        bent: Scores = -np.log(np.maximum(self.highest - logits, _NEAREST))
        return bent

    def _of_slope(self) -> Scores:
        return np.array([1.0, np.log(self.samples)])

    def _of_nobody(self) -> Scores:
        known = np.empty((len(self.likeness), 5))
        known[:] = 1.0, np.log(self.samples), 0.0, self.crowd.mean, self.crowd.variance
        known[:, 2] = self.likeness
        return known


def _logits(scores: Scores) -> Scores:
    odds: Scores = logit(np.clip(scores, _CLIP, 1 - _CLIP))
    return odds
