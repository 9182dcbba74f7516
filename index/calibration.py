"""What scores are worth, measured on galleries simulated from held-out identities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric, Reference
from index.kinship import akin, as_the_nearest
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
    probes: tuple[Embeddings, Sequence[str]] | None = None,
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
    come in groups, as `Identifier` takes them; then there are no further identities. Where another
    encoder embeds what asks, `probes` (m, d) are its of the same identities: all probes and
    strangers are of these, and galleries are not tried against themselves. Then, too, there are
    none further. Raises ValueError below 20 identities of two samples, or of a probe and one.
    """
    rng = np.random.default_rng(seed)
    own_rows = [_Identity(rows) for rows in _rows_of(identities).values()]
    all_rows = own_rows
    if further is not None:
        others = _rows_of(further[1]).values()
        all_rows = own_rows + [_Identity(len(embeddings) + rows) for rows in others]
        embeddings = np.concatenate([embeddings, further[0]])
    if probes is not None:
        asking, enrolled = _rows_of(probes[1]), _rows_of(identities)
        all_rows = own_rows = [
            _Identity(rows, len(embeddings) + asking[name])
            for name, rows in enrolled.items()
            if name in asking
        ]
        embeddings = np.concatenate([embeddings, probes[0]])
    simulation = _Simulation(embeddings, score, metric, rule, groups)
    simulated: list[Trials] = []
    own: dict[int, Scores] = {}
    for samples in _SAMPLES:
        able, more = (
            [each for each in some if each.suffices(samples)] for some in (own_rows, all_rows)
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
    highest = None if probes is not None else float(score(np.zeros(1))[0])
    posterior = fit_posterior(simulated, rule, highest)
    return posterior, GenuineScores(rule, own)


def _rows_of(identities: Sequence[str]) -> dict[str, _Rows]:
    """Return the rows of each identity, by its name."""
    labels = np.asarray(identities)
    return {name: np.flatnonzero(labels == name) for name in np.unique(labels).tolist()}


class _Drawn(NamedTuple):
    """Rows of an identity: those enrolled, those that probe then, and those of it as a stranger.

    The first of the last is in the cohort.
    """

    enrolled: _Rows
    mated: _Rows
    stranger: _Rows

    @property
    def unknown(self) -> _Rows:
        """Rows that probe where it is a stranger: not that in the cohort, if there is another."""
        return self.stranger[1:] if len(self.stranger) > 1 else self.stranger


class _Identity(NamedTuple):
    """Rows that can be enrolled, and those by another encoder that probe, if there is one."""

    rows: _Rows
    probes: _Rows | None = None

    def suffices(self, samples: int) -> bool:
        """Whether so many samples can be enrolled, and another one probe."""
        return len(self.rows) >= samples + (self.probes is None)

    def drawn(self, samples: int, rng: np.random.Generator) -> _Drawn:
        """Return its rows in the roles that they have in one gallery."""
        rows = rng.permutation(self.rows)
        if self.probes is None:
            return _Drawn(rows[:samples], rows[samples:], rows)
        probes = rng.permutation(self.probes)
        return _Drawn(rows[:samples], probes, probes)


@dataclass(frozen=True, slots=True)
class _Simulation:
    embeddings: Embeddings
    score: Score
    metric: Metric
    rule: Rule
    groups: _Rows | None

    def gallery(
        self, able: list[_Identity], size: int, samples: int, rng: np.random.Generator
    ) -> Trials:
        """Enroll `size` of these identities, and probe by them and by the others."""
        drawn = [able[i].drawn(samples, rng) for i in rng.permutation(len(able))]
        enrolled, left_out = drawn[:size], drawn[size:]
        roster = self._enrolled(enrolled, samples)
        names = roster.identities

        truth = np.concatenate([rng.integers(size, size=_PROBES), np.full(_PROBES, -1)])
        whose = np.concatenate([truth[:_PROBES], rng.integers(len(left_out), size=_PROBES)])
        known = [rng.choice(enrolled[i].mated) for i in whose[:_PROBES]]
        unknown = [rng.choice(left_out[i].unknown) for i in whose[_PROBES:]]
        probes = self.embeddings[[*known, *unknown]]

        strangers = Strangers(
            self.embeddings[[own.stranger[0] for own in left_out]], self.score, self.metric
        )
        cohort = [own.stranger[0] for own in left_out[:_COHORT]]
        best = as_the_nearest(
            roster.scores(self.embeddings[cohort], names, self.rule).max(axis=1),
            None if self.groups is None else self.groups[cohort],
            roster.highest,
        )
        trials = own = np.empty(0)
        if able[0].probes is None:
            held_out = roster.embeddings([roster.oldest(name) for name in names[:_COHORT]])
            trials = self._own_trials(roster, held_out)
            own = strangers.likeness(held_out)
        common = strangers.common(own)
        return Trials(
            scores=roster.scores(probes, names, self.rule),
            likeness=strangers.likeness(probes, np.where(truth < 0, whose, -1)) - common,
            truth=truth,
            samples=float(samples),
            crowd=akin(best, trials, roster.highest)[0].crowd,
        )

    def genuine(self, able: list[_Identity], samples: int, rng: np.random.Generator) -> Scores:
        """Return what these identities score for some probes of their own, all counting alike."""
        drawn = [identity.drawn(samples, rng) for identity in able]
        roster = self._enrolled(drawn, samples)
        probes = [own.mated[:_GENUINE] for own in drawn]
        whose = np.repeat(np.arange(len(able)), [len(rows) for rows in probes])
        scores = roster.scores(
            self.embeddings[np.concatenate(probes)], roster.identities, self.rule
        )
        own: Scores = scores[np.arange(len(whose)), whose]
        return own

    def _enrolled(self, drawn: list[_Drawn], samples: int) -> Roster:
        """Return a gallery of what is enrolled of each identity, named by its place."""
        roster = Roster(partial(NumpyGallery, self.embeddings.shape[1], self.metric), self.score)
        references = [Reference(key, str(key // samples)) for key in range(len(drawn) * samples)]
        roster.enroll(references, self.embeddings[[i for own in drawn for i in own.enrolled]])
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
