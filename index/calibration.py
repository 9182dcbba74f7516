"""What scores are worth, measured on galleries simulated from held-out identities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric, Reference
from index.kinship import akin, as_the_nearest, kinship
from index.leave_one_out import ENOUGH_STRANGERS
from index.miss_rate import GenuineScores
from index.numpy_gallery import NumpyGallery
from index.posterior import PosteriorModel, Strangers, Trials, fit_posterior
from index.roster import Roster, Rule, Score, Scores

FEWEST = 20  # identities that galleries can be drawn from
_SAMPLES = (1, 2, 3, 5, 8)
_PROBES = 60  # of each kind in a gallery
_GENUINE = 5  # probes of an identity that its genuine scores are taken from
_ENROLLED = 0.75  # of the identities at most: the others are its strangers
_COHORT = 400  # of the strangers at most are searched for, and of the enrolled as own trials

_Rows = npt.NDArray[np.int64]


def calibrate(
    embeddings: Embeddings,
    identities: Sequence[str],
    score: Score,
    *,
    metric: Metric,
    rule: Rule = "max",
    further: tuple[Embeddings, Sequence[str]] | None = None,
    groups: _Rows | None = None,
    galleries: int = 150,
    seed: int = 0,
) -> tuple[PosteriorModel, GenuineScores]:
    """Return the posterior model and the genuine scores of one rule.

    `embeddings` (n, d) are of `identities` (n,) that took no part in training. Galleries of 1 to
    75 % of them with 1, 2, 3, 5 or 8 samples each, as far as there are enough, are probed by other
    samples of theirs and of those left out, who are the galleries' cohort as well: a probe is
    never held to its own identity. Larger galleries are drawn from these and `further` identities
    together, whose likes are not quite those that will be enrolled. With `groups` (n,) strangers
    come in groups, as `Identifier` takes them; then there are no further identities. Raises
    ValueError below 20 identities of two samples.
    """
    rng = np.random.default_rng(seed)
    own_rows = _rows_of(identities)
    if further is not None:
        embeddings = np.concatenate([embeddings, further[0]])
        all_rows = own_rows + [len(identities) + rows for rows in _rows_of(further[1])]
    else:
        all_rows = own_rows
    simulation = _Simulation(embeddings, score, metric, rule, groups)
    simulated: list[Trials] = []
    own: dict[int, Scores] = {}
    for samples in _SAMPLES:
        able, more = (
            [each for each in rows if len(each) > samples] for rows in (own_rows, all_rows)
        )
        if len(able) < FEWEST:
            continue
        sizes = np.geomspace(1, _ENROLLED * len(more), galleries // len(_SAMPLES)).astype(int)
        trials = [
            simulation.gallery(able if size <= _ENROLLED * len(able) else more, size, samples, rng)
            for size in sizes.tolist()
        ]
        simulated += trials
        own[samples] = simulation.genuine(able, samples, rng)
    if not simulated:
        raise ValueError(f"calibration takes at least {FEWEST} identities of two samples")
    return fit_posterior(simulated, rule), GenuineScores(rule, own)


def _rows_of(identities: Sequence[str]) -> list[_Rows]:
    """Return the rows of each identity."""
    labels = np.asarray(identities)
    return [np.flatnonzero(labels == identity) for identity in np.unique(labels)]


@dataclass(frozen=True, slots=True)
class _Simulation:
    embeddings: Embeddings
    score: Score
    metric: Metric
    rule: Rule
    groups: _Rows | None

    def gallery(
        self, able: list[_Rows], size: int, samples: int, rng: np.random.Generator
    ) -> Trials:
        """Enroll `size` of these identities, and probe by them and by the others."""
        drawn = [rng.permutation(able[i]) for i in rng.permutation(len(able))]
        enrolled, left_out = drawn[:size], drawn[size:]
        roster = self._enrolled(enrolled, samples)
        names = roster.identities

        truth = np.concatenate([rng.integers(size, size=_PROBES), np.full(_PROBES, -1)])
        whose = np.concatenate([truth[:_PROBES], rng.integers(len(left_out), size=_PROBES)])
        known = [rng.choice(enrolled[i][samples:]) for i in whose[:_PROBES]]
        unknown = [rng.choice(left_out[i][1:]) for i in whose[_PROBES:]]
        probes = self.embeddings[[*known, *unknown]]

        strangers = Strangers(
            self.embeddings[[own[0] for own in left_out]], self.score, self.metric
        )
        cohort = [own[0] for own in left_out[:_COHORT]]
        best = as_the_nearest(
            roster.scores(self.embeddings[cohort], names, self.rule).max(axis=1),
            None if self.groups is None else self.groups[cohort],
        )
        held_out = roster.embeddings([roster.oldest(name) for name in names[:_COHORT]])
        trials = self._own_trials(roster, held_out)
        common = strangers.common(strangers.likeness(held_out))
        return Trials(
            scores=roster.scores(probes, names, self.rule),
            likeness=strangers.likeness(probes, np.where(truth < 0, whose, -1)) - common,
            truth=truth,
            samples=float(samples),
            crowd=akin(best, trials, kinship(best, trials)).crowd,
        )

    def genuine(self, able: list[_Rows], samples: int, rng: np.random.Generator) -> Scores:
        """Return what these identities score for some probes of their own, all counting alike."""
        drawn = [rng.permutation(rows) for rows in able]
        roster = self._enrolled(drawn, samples)
        probes = [rows[samples : samples + _GENUINE] for rows in drawn]
        whose = np.repeat(np.arange(len(able)), [len(rows) for rows in probes])
        scores = roster.scores(
            self.embeddings[np.concatenate(probes)], roster.identities, self.rule
        )
        own: Scores = scores[np.arange(len(whose)), whose]
        return own

    def _enrolled(self, drawn: list[_Rows], samples: int) -> Roster:
        """Return a gallery of the first samples of each identity, named by its place."""
        roster = Roster(partial(NumpyGallery, self.embeddings.shape[1], self.metric), self.score)
        references = [Reference(key, str(key // samples)) for key in range(len(drawn) * samples)]
        roster.enroll(references, self.embeddings[[i for own in drawn for i in own[:samples]]])
        if self.rule == "centroid":
            roster.keep_centroids()
        return roster

    def _own_trials(self, roster: Roster, held_out: Embeddings) -> Scores:
        """Return the best wrong identity's score for a sample of each of the first identities."""
        if len(held_out) < ENOUGH_STRANGERS:
            return np.empty(0)
        scores = roster.scores(held_out, roster.identities, self.rule)
        itself = np.arange(len(held_out))
        scores[itself, itself] = -np.inf
        best: Scores = scores.max(axis=1)
        return best
