"""Who is enrolled, and which identities a probe comes closest to."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Gallery, Metric, Reference, UnknownKey, distances

Rule = Literal["max", "mean", "centroid", "knn"]
Scores = npt.NDArray[np.float64]
Score = Callable[[Scores], Scores]  # distances of any shape → scores, never rising with distance

STANDS = 0.5  # the mean score from which an identity stands: undecided at even odds
_VOTERS = 5
_DEPTH = 64  # neighbours searched at first


@dataclass(frozen=True, slots=True)
class Ranked:
    """An identity's score for one probe; `distance` is to its centroid or its nearest sample."""

    identity: str
    score: float
    distance: float


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Identities best first; those from `settled` on might still be overtaken."""

    identities: list[Ranked]
    settled: int


class Roster:
    """A gallery whose references belong to identities; not guarded against other threads.

    An identity's score for a probe is, by rule: `max` the score of its nearest sample, `mean` the
    mean score of its samples, `centroid` the score of its centroid (made unit again for cosine).
    `knn` scores as `mean` does, but puts first whom the nearest samples of those vote for whose
    score is at least `stands`.
    """

    def __init__(
        self,
        engine: Callable[[], Gallery],
        score: Score,
        *,
        stands: float = STANDS,
        depth: int = _DEPTH,
    ) -> None:
        self._engine = engine
        self._stands = stands
        self._depth = depth
        self._references = engine()
        self._score = score
        self._owner: dict[int, str] = {}
        self._samples: dict[str, list[int]] = {}
        self._sizes: Counter[int] = Counter()
        self._centroids: Gallery | None = None
        self._centroid: dict[str, int] = {}  # identity → its key in the gallery of centroids
        self._named: dict[int, str] = {}  # and back

    @property
    def identities(self) -> list[str]:
        """Everyone enrolled, in order of their oldest enrollment."""
        return list(self._samples)

    @property
    def samples(self) -> int:
        """How many references there are."""
        return len(self._owner)

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return self._references.dimension

    @property
    def metric(self) -> Metric:
        """How distance is measured."""
        return self._references.metric

    @property
    def sizes(self) -> Mapping[int, int]:
        """How many identities have how many samples."""
        return self._sizes

    def __len__(self) -> int:
        """How many identities there are."""
        return len(self._samples)

    def __contains__(self, identity: object) -> bool:
        return identity in self._samples

    def enroll(self, references: Sequence[Reference], embeddings: Embeddings) -> list[str]:
        """Take in these references and return whose they are, each identity once."""
        self._references.add(references, embeddings)
        for reference in references:
            self._owner[reference.key] = reference.identity
            self._samples.setdefault(reference.identity, []).append(reference.key)
            self._resized(reference.identity, 1)
        return self._changed(reference.identity for reference in references)

    def forget(self, keys: Sequence[int]) -> list[str]:
        """Drop these references and return whose they were; who has none left is gone."""
        self._references.remove(keys)
        owners = {key: self._owner.pop(key) for key in dict.fromkeys(keys)}
        for key, identity in owners.items():
            self._samples[identity].remove(key)
            self._resized(identity, -1)
            if not self._samples[identity]:
                del self._samples[identity]
        return self._changed(owners.values())

    def keep_centroids(self) -> None:
        """Hold a centroid of each identity from now on, which `centroid` scores need."""
        if self._centroids is None:
            self._centroids = self._engine()
            self._move_centroids(list(self._samples))

    def embeddings(self, keys: Sequence[int]) -> Embeddings:
        """Return the references' embeddings (m, d)."""
        return self._references.embeddings(keys)

    def enrolled(self) -> list[Reference]:
        """Every reference, identity by identity."""
        return [
            Reference(key, identity) for identity, keys in self._samples.items() for key in keys
        ]

    def scores(self, probes: Embeddings, identities: Sequence[str], rule: Rule) -> Scores:
        """Return the score of every probe for each of these identities (n, m)."""
        if rule == "centroid":
            centroids = self._kept_centroids()
            rows = centroids.embeddings([self._centroid[identity] for identity in identities])
            return self._scored(probes, rows)
        keys = [key for identity in identities for key in self._samples[identity]]
        counts = np.array([len(self._samples[identity]) for identity in identities])
        starts = np.cumsum(counts) - counts
        # References by probes, so that an identity's rows lie together and reduce fast.
        far = distances(self.embeddings(keys), probes, self._references.metric)
        if rule == "max":
            nearest = np.minimum.reduceat(far, starts, axis=0)
            return self._score(nearest.T.astype(np.float64))
        scores = self._score(far.astype(np.float64))
        means: Scores = (np.add.reduceat(scores, starts, axis=0) / counts[:, None]).T
        return means

    def oldest(self, identity: str) -> int:
        """Return the smallest key of an identity's references."""
        return min(self._samples[identity])

    def own_score(self, identity: str, rule: Rule) -> float | None:
        """Return an identity's score for its oldest sample by its others, or None without any."""
        held_out, *others = sorted(self._samples[identity])
        if not others:
            return None
        rows = self.embeddings([held_out, *others])
        if rule == "centroid":
            return self._scored(rows[:1], self._centre(rows[1:])[None]).item()
        scores = self._scored(rows[:1], rows[1:])
        return float(scores.max() if rule == "max" else scores.mean())

    def sample_scores(self, probe: Embeddings, identity: str) -> list[tuple[int, float]]:
        """Return the identity's references with their scores for one probe (d,), best first."""
        keys = self._samples[identity]
        scores = self._scored(probe[None], self.embeddings(keys))[0].tolist()
        return sorted(zip(keys, scores, strict=True), key=lambda sample: (-sample[1], sample[0]))

    def rank(self, probes: Embeddings, rule: Rule, count: int) -> list[list[Ranked]]:
        """Return for each probe (n, d) at least `count` identities, or all, best first.

        Ties go to whose sample is nearest, then to the smaller key. Nobody outside what was
        searched can score above the last neighbour found, so the search goes deeper until
        `count` identities score at least that.
        """
        if rule == "centroid":
            return self._rank_centroids(probes, count)
        rankings: list[list[Ranked]] = [[] for _ in probes]
        # To sort a few hundred more neighbours is cheaper than to search again.
        whole = len(self._owner) <= 16 * self._depth
        depth = len(self._owner) if whole else max(self._depth, 2 * count)
        pending = list(range(len(probes))) if self._owner else []
        while pending:
            found = self._references.search(probes[pending], depth)
            complete = depth >= len(self._owner)
            undecided = []
            for i, keys, far in zip(pending, found.keys, found.distances, strict=True):
                ranking = self._ranking(probes[i], rule, count, keys, far)
                rankings[i] = ranking.identities
                if not complete and ranking.settled < min(count, len(self)):
                    undecided.append(i)
            pending, depth = undecided, 4 * depth
        return rankings

    def _ranking(
        self,
        probe: Embeddings,
        rule: Rule,
        count: int,
        keys: npt.NDArray[np.int64],
        far: npt.NDArray[np.float32],
    ) -> _Ranking:
        """Rank who is among these neighbours of one probe, given nearest first."""
        if rule == "max":
            nearest: dict[str, float] = {}
            for key, distance in zip(keys.tolist(), far.tolist(), strict=True):
                nearest.setdefault(self._owner[key], distance)
                if len(nearest) == count:
                    break
            scores = self._score(np.fromiter(nearest.values(), np.float64)).tolist()
            ranked = [
                Ranked(identity, score, distance)
                for (identity, distance), score in zip(nearest.items(), scores, strict=True)
            ]
            return _Ranking(ranked, len(ranked))
        return self._mean_ranking(probe, rule, keys, far)

    def _mean_ranking(
        self,
        probe: Embeddings,
        rule: Rule,
        keys: npt.NDArray[np.int64],
        far: npt.NDArray[np.float32],
    ) -> _Ranking:
        found = dict(zip(keys.tolist(), far.tolist(), strict=True))
        there = list(dict.fromkeys(self._owner[key] for key in found))  # nearest first
        elsewhere = [key for name in there for key in self._samples[name] if key not in found]
        if elsewhere:
            gallery = self._references
            further = distances(probe[None], gallery.embeddings(elsewhere), gallery.metric)[0]
            found.update(zip(elsewhere, further.tolist(), strict=True))
        scored = self._score(np.fromiter(found.values(), np.float64)).tolist()
        score = dict(zip(found, scored, strict=True))
        bound = self._score(far[-1:].astype(np.float64)).item()

        means = {
            name: math.fsum(score[key] for key in self._samples[name]) / len(self._samples[name])
            for name in there
        }
        nearest = {name: min(found[key] for key in self._samples[name]) for name in there}
        order = sorted(there, key=lambda name: -means[name])  # stable: ties stay nearest first
        settled = sum(mean >= bound for mean in means.values())
        if rule == "knn":
            order = self._by_vote(order, means, found, score)
            settled = (
                settled if bound < self._stands else 0
            )  # else somebody unseen might yet stand
        return _Ranking([Ranked(name, means[name], nearest[name]) for name in order], settled)

    def _by_vote(
        self,
        order: list[str],
        means: dict[str, float],
        far: dict[int, float],
        score: dict[int, float],
    ) -> list[str]:
        """Put first whom the k nearest samples of those who stand vote for: the seeds' rule.

        A vote weighs its sample's score, and a tie goes to the nearest. Who stands without a vote
        follows by mean score, and so do those who do not stand.
        """
        standing = [name for name in order if means[name] >= self._stands]
        voters = sorted((far[key], key) for name in standing for key in self._samples[name])
        votes: dict[str, list[float]] = {}
        for _, key in voters[:_VOTERS]:
            votes.setdefault(self._owner[key], []).append(score[key])
        elected = sorted(votes, key=lambda name: -math.fsum(votes[name]))
        return elected + [name for name in order if name not in votes]

    def _rank_centroids(self, probes: Embeddings, count: int) -> list[list[Ranked]]:
        found = self._kept_centroids().search(probes, count)
        scores = self._score(found.distances.astype(np.float64)).tolist()
        return [
            [
                Ranked(self._named[key], score, distance)
                for key, score, distance in zip(*row, strict=True)
            ]
            for row in zip(found.keys.tolist(), scores, found.distances.tolist(), strict=True)
        ]

    def _scored(self, probes: Embeddings, references: Embeddings) -> Scores:
        far = distances(probes, references, self._references.metric)
        return self._score(far.astype(np.float64))

    def _changed(self, identities: Iterable[str]) -> list[str]:
        changed = list(dict.fromkeys(identities))
        if self._centroids is not None:
            self._move_centroids(changed)
        return changed

    def _resized(self, identity: str, by: int) -> None:
        size = len(self._samples[identity])
        for count, change in ((size, 1), (size - by, -1)):
            self._sizes[count] += change
            if count == 0 or not self._sizes[count]:
                del self._sizes[count]

    def _kept_centroids(self) -> Gallery:
        if self._centroids is None:
            raise UnknownKey("no centroids are kept here yet: call keep_centroids first")
        return self._centroids

    def _move_centroids(self, identities: list[str]) -> None:
        centroids = self._kept_centroids()
        centroids.remove([self._centroid[name] for name in identities if name in self._centroid])
        for name in identities:
            self._named.pop(self._centroid.pop(name, -1), None)
        here = [name for name in identities if name in self._samples]
        for name in here:
            key = min(self._samples[name])  # so that ties go the same way by every rule
            self._centroid[name], self._named[key] = key, name
        samples = [self.embeddings(sorted(self._samples[name])) for name in here]
        means = np.array([self._centre(rows) for rows in samples], dtype=np.float32)
        rows = means.reshape(len(here), centroids.dimension)
        centroids.add([Reference(self._centroid[name], name) for name in here], rows)

    def _centre(self, rows: Embeddings) -> Embeddings:
        """Return the mean of embeddings (n, d), made unit again for cosine (d,)."""
        exact = rows.astype(np.float64)
        mean = exact.mean(axis=0)
        if self._references.metric == "cosine":
            norm = np.linalg.norm(mean)
            # Opposite samples have no direction in common: the oldest speaks for them.
            mean = mean / norm if norm > np.finfo(np.float32).eps else exact[0]
        centroid: Embeddings = mean.astype(np.float32)
        return centroid
