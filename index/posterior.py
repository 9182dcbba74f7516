"""How probable it is that a probe is each identity, or nobody enrolled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, logit, softmax

from index.roster import Ranked, Rule, Scores

_CLIP = 1e-6  # a head that says 0 or 1 is not that sure


@dataclass(frozen=True, slots=True)
class PosteriorModel:
    """A choice between every identity and nobody, fitted on galleries simulated from strangers.

    In a gallery of N identities with m samples on average, an identity of score S weighs
    exp(slope · logit S) and nobody exp(unknown + by_identities · log N + by_samples · log m): a
    conditional logit (McFadden, 1974). It holds for one rule, within the sizes it was fitted on,
    and for even odds of a probe being of anybody enrolled, from which `prior_known` shifts it.
    """

    rule: Rule
    slope: float
    unknown: float
    by_identities: float
    by_samples: float
    identities: tuple[int, int]
    samples: tuple[float, float]

    def covers(self, rule: Rule, identities: int, samples: float) -> bool:
        """Say whether this was fitted for that rule and that size of gallery."""
        return (
            rule == self.rule
            and self.identities[0] <= identities <= self.identities[1]
            and self.samples[0] <= samples <= self.samples[1]
        )

    def shares(
        self, ranking: Sequence[Ranked], samples: float, prior_known: float = 0.5
    ) -> list[float]:
        """Return the posterior of each of all N identities, and last that of nobody.

        `samples` is the mean number of samples of an identity. They sum to 1.
        """
        parameters = np.array([self.slope, self.unknown, self.by_identities, self.by_samples])
        scores = np.array([[each.score for each in ranking]])
        weights = _weights(parameters, scores, samples)[0]
        weights[-1] -= logit(prior_known)
        shares: list[float] = softmax(weights).tolist()
        return shares


@dataclass(frozen=True, slots=True)
class Trials:
    """Probes of one simulated gallery: scores (n, N), and which identity each is, or -1."""

    scores: Scores
    truth: npt.NDArray[np.int64]
    samples: float


def fit_posterior(trials: Iterable[Trials], rule: Rule) -> PosteriorModel:
    """Return the model under which these trials are likeliest, known and unknown at even odds.

    Simulate galleries of many sizes: the model covers those from the smallest to the largest.
    """
    given = list(trials)
    sizes = [each.scores.shape[1] for each in given]
    samples = [each.samples for each in given]

    def surprise(parameters: Scores) -> float:
        return float(np.mean([_surprise(parameters, each) for each in given]))

    slope, unknown, by_identities, by_samples = minimize(
        surprise, np.array([1.0, 0.0, 1.0, 0.0]), method="BFGS"
    ).x.tolist()
    return PosteriorModel(
        rule=rule,
        slope=slope,
        unknown=unknown,
        by_identities=by_identities,
        by_samples=by_samples,
        identities=(min(sizes), max(sizes)),
        samples=(min(samples), max(samples)),
    )


def _surprise(parameters: Scores, trials: Trials) -> float:
    """Return the mean negative log posterior of the truth, known and unknown weighing the same."""
    weights = log_softmax(_weights(parameters, trials.scores, trials.samples), axis=1)
    told = -np.take_along_axis(weights, trials.truth[:, None], axis=1)[:, 0]  # -1: the last
    known = trials.truth >= 0
    return float((told[known].mean() + told[~known].mean()) / 2)


def _weights(parameters: Scores, scores: Scores, samples: float) -> Scores:
    """Return the log weight of every identity and, last, of nobody (n, N + 1)."""
    slope, unknown, by_identities, by_samples = parameters
    nobody = unknown + by_identities * np.log(scores.shape[1]) + by_samples * np.log(samples)
    identities = slope * logit(np.clip(scores, _CLIP, 1 - _CLIP))
    return np.pad(identities, ((0, 0), (0, 1)), constant_values=nobody)
