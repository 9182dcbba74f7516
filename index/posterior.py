"""How probable it is that a probe is each identity, or nobody enrolled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, logit, softmax

from index.gallery import Embeddings, Metric, distances
from index.ranking import Ranked
from index.roster import Rule, Score, Scores

_CLIP = 1e-6  # a head that says 0 or 1 is not that sure
_ALIKE = 3  # strangers
_PARAMETERS = (
    "slope",
    "slope_by_samples",
    "unknown",
    "by_identities",
    "by_samples",
    "by_likeness",
)


@dataclass(frozen=True, slots=True)
class PosteriorModel:
    """A choice between every identity and nobody (a conditional logit: McFadden, 1974).

    In a gallery of N identities with m samples on average, an identity of score S weighs
    exp((slope + slope_by_samples · log m) · logit S), and nobody exp(unknown + by_identities ·
    log N + by_samples · log m + by_likeness · likeness). It holds for one rule, within the sizes
    of gallery it was fitted on, and for even odds of a probe being of anybody enrolled, from
    which `prior_known` shifts it.
    """

    rule: Rule
    slope: float
    slope_by_samples: float
    unknown: float
    by_identities: float
    by_samples: float
    by_likeness: float
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
        self,
        ranking: Sequence[Ranked],
        samples: float,
        likeness: float,
        prior_known: float = 0.5,
    ) -> list[float]:
        """Return the posterior of each of all N identities, and last that of nobody.

        `samples` is the mean number of samples of an identity, and `likeness` the probe's to
        strangers. They sum to 1.
        """
        scores = np.array([[each.score for each in ranking]])
        known = _Known(_logits(scores), np.array([likeness]), samples)
        weights = known.weights(np.array([getattr(self, name) for name in _PARAMETERS]))[0]
        weights[-1] -= logit(prior_known)
        shares: list[float] = softmax(weights).tolist()
        return shares


@dataclass(frozen=True, slots=True)
class Trials:
    """Probes of one simulated gallery.

    Their scores (n, N), likeness to strangers (n,), which identity each is, or -1 (n,), and the
    mean number of samples of an identity.
    """

    scores: Scores
    likeness: Scores
    truth: npt.NDArray[np.int64]
    samples: float


def likeness(probes: Embeddings, strangers: Embeddings, score: Score, metric: Metric) -> Scores:
    """Return how alike probes (n, d) are to strangers (M, d): commonplace probes score with many.

    It is the mean log odds of the scores with the three most alike strangers (n,).
    """
    far = distances(probes, strangers, metric)
    count = min(_ALIKE, len(strangers))
    nearest = np.sort(np.partition(far, count - 1, axis=1)[:, :count], axis=1)
    alike: Scores = _logits(score(nearest.astype(np.float64))).mean(axis=1)
    return alike


def fit_posterior(trials: Iterable[Trials], rule: Rule) -> PosteriorModel:
    """Return the model under which these trials are likeliest, known and unknown at even odds.

    Simulate galleries of many sizes: the model covers those from the smallest to the largest.
    """
    given = [
        (_Known(_logits(each.scores), each.likeness, each.samples), each.truth) for each in trials
    ]
    sizes = [known.logits.shape[1] for known, _ in given]
    samples = [known.samples for known, _ in given]

    def surprise(parameters: Scores) -> tuple[float, Scores]:
        told = [known.surprise(parameters, truth) for known, truth in given]
        slopes: Scores = np.mean([slope for _, slope in told], axis=0)
        return float(np.mean([value for value, _ in told])), slopes

    start = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    fitted = minimize(surprise, start, jac=True, method="BFGS").x.tolist()
    return PosteriorModel(
        rule=rule,
        identities=(min(sizes), max(sizes)),
        samples=(min(samples), max(samples)),
        **dict(zip(_PARAMETERS, fitted, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of some probes of one gallery: log odds (n, N), likeness (n,), samples."""

    logits: Scores
    likeness: Scores
    samples: float

    def weights(self, parameters: Scores) -> Scores:
        """Return the log weight of every identity and, last, of nobody (n, N + 1)."""
        slope = parameters[:2] @ self._of_slope()
        return np.column_stack([slope * self.logits, self._of_nobody() @ parameters[2:]])

    def surprise(self, parameters: Scores, truth: npt.NDArray[np.int64]) -> tuple[float, Scores]:
        """Return the mean negative log posterior of the truth, and its slope by the parameters.

        Known and unknown probes weigh the same, however many there are of each.
        """
        n, known = len(truth), truth >= 0
        counts = np.where(known, 2 * known.sum(), 2 * (~known).sum())
        log_shares = log_softmax(self.weights(parameters), axis=1)
        excess = np.exp(log_shares)
        excess[np.arange(n), truth] -= 1  # -1, nobody, is the last
        excess /= counts[:, None]
        by_slope = (excess[:, :-1] * self.logits).sum() * self._of_slope()
        by_nobody = excess[:, -1] @ self._of_nobody()
        told = -log_shares[np.arange(n), truth]
        return float((told / counts).sum()), np.concatenate([by_slope, by_nobody])

    def _of_slope(self) -> Scores:
        return np.array([1.0, np.log(self.samples)])

    def _of_nobody(self) -> Scores:
        n, identities = self.logits.shape
        same = np.array([1.0, np.log(identities), np.log(self.samples)])
        return np.column_stack([np.tile(same, (n, 1)), self.likeness])


def _logits(scores: Scores) -> Scores:
    odds: Scores = logit(np.clip(scores, _CLIP, 1 - _CLIP))
    return odds
