"""What scores are worth, measured on galleries simulated from held-out identities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric, Reference
from index.miss_rate import GenuineScores
from index.numpy_gallery import NumpyGallery
from index.posterior import PosteriorModel, Trials, fit_posterior, likeness
from index.roster import Roster, Rule, Score, Scores

_SAMPLES = (1, 2, 3, 5, 8)
_PROBES = 60  # of each kind in a gallery
_ENROLLED = 0.85  # of the identities at most: the others are its strangers

_Rows = npt.NDArray[np.int64]


def calibrate(
    embeddings: Embeddings,
    identities: Sequence[str],
    strangers: Embeddings,
    score: Score,
    *,
    metric: Metric,
    rule: Rule = "max",
    galleries: int = 150,
    seed: int = 0,
) -> tuple[PosteriorModel, GenuineScores]:
    """Return the posterior model and the genuine scores of one rule.

    `embeddings` (n, d) are of `identities` (n,) that took no part in training and are none of the
    `strangers` (M, d), the cohort that will be used. Galleries of 1 to 85 % of these identities
    with 1, 2, 3, 5 or 8 samples each, as far as there are enough, are probed by other samples of
    theirs and of those left out. Raises ValueError below 20 identities of two samples.
    """
    rng = np.random.default_rng(seed)
    simulation = _Simulation(embeddings, strangers, score, metric, rule)
    labels = np.asarray(identities)
    rows = [np.flatnonzero(labels == identity) for identity in np.unique(labels)]
    simulated: list[Trials] = []
    own: dict[int, Scores] = {}
    for samples in _SAMPLES:
        able = [each for each in rows if len(each) > samples]
        if len(able) < 20:
            continue
        sizes = np.geomspace(1, _ENROLLED * len(able), galleries // len(_SAMPLES)).astype(int)
        trials = [simulation.gallery(able, size, samples, rng) for size in sizes.tolist()]
        simulated += trials
        own[samples] = np.concatenate([_own_scores(each) for each in trials])
    if not simulated:
        raise ValueError("calibration takes at least 20 identities of two samples")
    return fit_posterior(simulated, rule), GenuineScores(rule, own)


@dataclass(frozen=True, slots=True)
class _Simulation:
    embeddings: Embeddings
    strangers: Embeddings
    score: Score
    metric: Metric
    rule: Rule

    def gallery(
        self, able: list[_Rows], size: int, samples: int, rng: np.random.Generator
    ) -> Trials:
        """Enroll `size` of these identities, and probe by them and by the others."""
        drawn = [rng.permutation(able[i]) for i in rng.permutation(len(able))]
        enrolled, left_out = drawn[:size], drawn[size:]
        roster = Roster(lambda: NumpyGallery(self.embeddings.shape[1], self.metric), self.score)
        names = [str(i) for i in range(size)]
        references = [Reference(key, names[key // samples]) for key in range(size * samples)]
        roster.enroll(references, self.embeddings[[i for own in enrolled for i in own[:samples]]])
        if self.rule == "centroid":
            roster.keep_centroids()

        truth = np.concatenate([rng.integers(size, size=_PROBES), np.full(_PROBES, -1)])
        known = [rng.choice(enrolled[i][samples:]) for i in truth[:_PROBES]]
        unknown = [rng.choice(left_out[i]) for i in rng.integers(len(left_out), size=_PROBES)]
        probes = self.embeddings[[*known, *unknown]]
        return Trials(
            scores=roster.scores(probes, names, self.rule),
            likeness=likeness(probes, self.strangers, self.score, self.metric),
            truth=truth,
            samples=float(samples),
        )


def _own_scores(trials: Trials) -> Scores:
    known = np.flatnonzero(trials.truth >= 0)
    scores: Scores = trials.scores[known, trials.truth[known]]
    return scores
