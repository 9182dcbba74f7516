"""Which identities a probe comes closest to, exactly, by each rule."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, distances
from index.roster import Roster, Rule, means

STANDS = 0.5  # the mean score from which an identity stands: undecided at even odds
_VOTERS = 5
DEPTH = 64  # neighbours searched at first


class Ranked(NamedTuple):
    """An identity's score for one probe; `distance` is to its centroid or its nearest sample."""

    identity: str
    score: float
    distance: float


def rank(
    roster: Roster,
    probes: Embeddings,
    rule: Rule,
    count: int,
    *,
    stands: float = STANDS,
    depth: int = DEPTH,
    exact: bool = False,
) -> list[list[Ranked]]:
    """Return for each probe (n, d) at least `count` identities, or all, best first.

    Ties go to whose sample is nearest, then to the smaller key. Nobody outside what was searched
    can score above the last neighbour found, so the search goes deeper than `depth` until `count`
    identities score at least that. With `exact` nobody is missed, however large the gallery.
    """
    if rule == "centroid":
        return _by_centroids(roster, probes, count, exact=exact)
    rankings: list[list[Ranked]] = [[] for _ in probes]
    # To sort a few hundred more neighbours is cheaper than to search again.
    depth = roster.samples if roster.samples <= 16 * depth else max(depth, 2 * count)
    pending = list(range(len(probes))) if roster.samples else []
    while pending:
        found = roster.references.search(probes[pending], depth, exact=exact)
        undecided = []
        for i, keys, far in zip(pending, found.keys, found.distances, strict=True):
            if rule == "max":
                ranking = _by_nearest(roster, keys, far, count)
            else:
                near = _Neighbourhood(roster, probes[i], keys, far)
                ranking = near.by_mean() if rule == "mean" else near.by_vote(stands)
            rankings[i] = ranking.identities
            if depth < roster.samples and ranking.settled < min(count, len(roster)):
                undecided.append(i)
        pending, depth = undecided, 4 * depth
    return rankings


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Identities best first; those from `settled` on might yet be overtaken from outside."""

    identities: list[Ranked]
    settled: int


def _by_nearest(
    roster: Roster, keys: npt.NDArray[np.int64], far: Embeddings, count: int
) -> _Ranking:
    nearest: dict[str, float] = {}
    for key, distance in zip(keys.tolist(), far.tolist(), strict=True):
        nearest.setdefault(roster.owner[key], distance)
        if len(nearest) == count:
            break
    scores = roster.score_at(np.fromiter(nearest.values(), np.float32)).tolist()
    ranked = map(Ranked, nearest, scores, nearest.values())
    return _Ranking(list(ranked), len(nearest))


def _by_centroids(
    roster: Roster, probes: Embeddings, count: int, *, exact: bool
) -> list[list[Ranked]]:
    found = roster.centroids.search(probes, count, exact=exact)
    return [
        [
            Ranked(roster.owner[key], score, distance)
            for key, score, distance in zip(*row, strict=True)
        ]
        for row in zip(
            found.keys.tolist(),
            roster.score_at(found.distances).tolist(),
            found.distances.tolist(),
            strict=True,
        )
    ]


class _Neighbourhood:
    """One probe's neighbours, nearest first, and all other samples of the same identities."""

    def __init__(
        self, roster: Roster, probe: Embeddings, keys: npt.NDArray[np.int64], far: Embeddings
    ) -> None:
        self._roster = roster
        self._far = dict(zip(keys.tolist(), far.tolist(), strict=True))
        self._there = list(dict.fromkeys(roster.owner[key] for key in self._far))
        elsewhere = [
            key for name in self._there for key in roster.keys[name] if key not in self._far
        ]
        rows = roster.embeddings(elsewhere)
        further = distances(probe[None], rows, roster.references.metric)[0]
        self._far.update(zip(elsewhere, further.tolist(), strict=True))

        scores = roster.score_at(np.fromiter(self._far.values(), np.float32))
        self._score = dict(zip(self._far, scores.tolist(), strict=True))
        counts = np.array([len(roster.keys[name]) for name in self._there])
        each = [self._score[key] for name in self._there for key in roster.keys[name]]
        mean = means(np.array(each)[:, None], counts)[:, 0].tolist()
        self._mean = dict(zip(self._there, mean, strict=True))
        # Whoever is not there has no sample nearer, hence no mean above this.
        self._bound = roster.score_at(far[-1:]).item()

    def by_mean(self) -> _Ranking:
        """Order by mean score; equal ones stay in the order of their nearest samples."""
        order = sorted(self._there, key=lambda name: -self._mean[name])
        settled = sum(mean >= self._bound for mean in self._mean.values())
        return self._ranking(order, settled)

    def by_vote(self, stands: float) -> _Ranking:
        """Put first whom the nearest samples vote for: the seeds' rule, its faults mended.

        An identity stands if its mean score is at least `stands`. Of the samples of those who do,
        the five nearest vote, each weighing its score, and a tie goes to the nearest. Who got no
        vote follows by mean score.
        """
        means = self.by_mean()
        order = [each.identity for each in means.identities]
        voters = sorted(
            (self._far[key], key)
            for name in order
            if self._mean[name] >= stands
            for key in self._roster.keys[name]
        )
        votes: dict[str, list[float]] = {}
        for _, key in voters[:_VOTERS]:
            votes.setdefault(self._roster.owner[key], []).append(self._score[key])
        elected = sorted(votes, key=lambda name: -math.fsum(votes[name]))
        order = elected + [name for name in order if name not in votes]
        # While somebody outside might stand, nobody knows who will be elected.
        return self._ranking(order, means.settled if self._bound < stands else 0)

    def _ranking(self, order: list[str], settled: int) -> _Ranking:
        keys = self._roster.keys
        return _Ranking(
            [
                Ranked(name, self._mean[name], min(self._far[key] for key in keys[name]))
                for name in order
            ],
            settled,
        )
