"""Who is enrolled, and what each identity scores."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise, repeat
from typing import Literal

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Gallery, Keys, Reference, UnknownKey, distances

Rule = Literal["max", "mean", "centroid", "knn"]
Scores = npt.NDArray[np.float64]
_BLOCK = 512  # identities whose centroids are worked out at once
_NEAR = 2**14  # numbers that are added up at once, so that they lie in a core's own cache
Score = Callable[[Scores], Scores]  # distances of any shape → scores, never rising with distance


def means(scores: Scores, counts: npt.NDArray[np.int64]) -> Scores:
    """Return the mean of each group of rows (g, n), the first `counts[0]` of them being the first.

    Whoever means the same samples in the same order gets the same to the last bit.
    """
    ends = np.cumsum(counts)
    starts, sums = ends - counts, np.empty((len(counts), scores.shape[1]))
    stretches = np.arange(0, len(scores), max(1, _NEAR // max(1, scores.shape[1])))
    firsts = np.unique(np.searchsorted(ends, stretches, side="right")).tolist()
    for first, after in pairwise([*firsts, len(counts)]):
        start, end = starts[first], ends[after - 1]
        within = starts[first:after] - start
        np.add.reduceat(scores[start:end], within, axis=0, out=sums[first:after])
    sums /= counts[:, None]
    return sums


class Roster:
    """A gallery whose references belong to identities; not guarded against other threads.

    An identity's score for a probe is, by rule: `max` the score of its nearest sample, `mean` the
    mean score of its samples, `centroid` the score of its centroid (made unit again for cosine);
    `knn` scores as `mean` does.
    """

    def __init__(self, engine: Callable[[], Gallery], score: Score) -> None:
        self._engine = engine
        self._references = engine()
        self._score = score
        self.highest = float(score(np.zeros(1))[0])  # of no distance
        self._owner: dict[int, str] = {}
        self._samples: dict[str, list[int]] = {}
        self._sizes: Counter[int] = Counter()
        self._centroids: Gallery | None = None
        self._centroid: dict[str, int] = {}  # identity → its key in the gallery of centroids

    @property
    def identities(self) -> list[str]:
        """Everyone enrolled, in order of their oldest enrollment."""
        return list(self._samples)

    @property
    def references(self) -> Gallery:
        """The gallery of every reference."""
        return self._references

    @property
    def centroids(self) -> Gallery:
        """The gallery of centroids, each under the smallest key of its identity's references."""
        if self._centroids is None:
            raise UnknownKey("no centroids are kept here yet: call keep_centroids first")
        return self._centroids

    @property
    def recall(self) -> float:
        """The share of the ten nearest that searches find, of references or of centroids."""
        galleries = (self._references, self._centroids)
        return min(gallery.recall for gallery in galleries if gallery is not None)

    @property
    def owner(self) -> Mapping[int, str]:
        """Whose each reference is."""
        return self._owner

    @property
    def keys(self) -> Mapping[str, Sequence[int]]:
        """Each identity's references, by rising key."""
        return self._samples

    @property
    def samples(self) -> int:
        """How many references there are."""
        return len(self._owner)

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
            insort(self._samples.setdefault(reference.identity, []), reference.key)
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
            names = list(self._samples)
            centres = np.empty((len(names), self._references.dimension), np.float32)
            for start in range(0, len(names), _BLOCK):
                rows, counts = self.rows(names[start : start + _BLOCK], "max")
                centres[start : start + _BLOCK] = self._centres(rows, counts.tolist())
            self.fill_centroids(centres)

    def fill(
        self,
        identities: Sequence[str],
        counts: Keys,
        keys: Keys,
        embeddings: Embeddings,
    ) -> None:
        """Take everybody in at once who is to be in an empty roster.

        The first `counts[0]` keys, rising, and embeddings (n, d) are the first identity's; see
        `Gallery.fill`.
        """
        self._references.fill(keys, embeddings)
        each, sizes = keys.tolist(), counts.tolist()
        owners = chain.from_iterable(map(repeat, identities, sizes))
        self._owner = dict(zip(each, owners, strict=True))
        self._samples = {
            identity: each[end - count : end]
            for identity, count, end in zip(identities, sizes, accumulate(sizes), strict=True)
        }
        self._sizes = Counter(sizes)

    def fill_centroids(self, centroids: Embeddings) -> None:
        """Hold these centroids (N, d), which are of all identities in order."""
        self._centroids = self._engine()
        self._centroid = {identity: keys[0] for identity, keys in self._samples.items()}
        self._centroids.fill(np.array(list(self._centroid.values()), np.int64), centroids)

    def all_centroids(self) -> Embeddings | None:
        """Return the centroids of all identities (N, d), if they are kept."""
        if self._centroids is None:
            return None
        return self._centroids.embeddings([self._centroid[name] for name in self._samples])

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
        rows, counts = self.rows(identities, rule)
        if rule == "centroid":
            return self.score(probes, rows)
        # References by probes, so that an identity's rows lie together and reduce fast.
        far = distances(rows, probes, self._references.metric)
        if rule == "max":
            nearest = np.minimum.reduceat(far, np.cumsum(counts) - counts, axis=0)
            return self.score_at(nearest.T)
        return means(self.score_at(far), counts).T

    def rows(
        self, identities: Sequence[str], rule: Rule
    ) -> tuple[Embeddings, npt.NDArray[np.int64]]:
        """Return what a rule compares of these identities, and how many rows are of each."""
        if rule == "centroid":
            keys = [self._centroid[identity] for identity in identities]
            return self.centroids.embeddings(keys), np.ones(len(keys), np.int64)
        samples = [self._samples[identity] for identity in identities]
        counts = np.array(list(map(len, samples)), np.int64)
        return self.embeddings(list(chain.from_iterable(samples))), counts

    def keys_of(self, identity: str | None, rule: Rule) -> Sequence[int]:
        """Return the keys under which a rule compares an identity; none of one not enrolled."""
        keys = self._samples.get(identity, []) if identity is not None else []
        return keys[:1] if rule == "centroid" else keys

    def oldest(self, identity: str) -> int:
        """Return the smallest key of an identity's references."""
        return self._samples[identity][0]

    def own_score(self, identity: str, rule: Rule, held_out: int | None = None) -> float | None:
        """Return an identity's score for one of its samples by its others, or None without any.

        `held_out` is the sample's key; unsaid, the oldest.
        """
        keys = self._samples[identity]
        held_out = keys[0] if held_out is None else held_out
        others = [key for key in keys if key != held_out]
        if not others:
            return None
        rows = self.embeddings([held_out, *others])
        if rule == "centroid":
            return self.score(rows[:1], self._centres(rows[1:], [len(others)])).item()
        scores = self.score(rows[:1], rows[1:])
        return float(scores.max() if rule == "max" else scores.mean())

    def score(self, probes: Embeddings, references: Embeddings) -> Scores:
        """Return the score of every pair (n, m)."""
        return self.score_at(distances(probes, references, self._references.metric))

    def score_at(self, distances: Embeddings | Scores) -> Scores:
        """Return the scores at these distances."""
        return self._score(distances.astype(np.float64))

    def sample_scores(
        self, probe: Embeddings, identities: Sequence[str], k: int
    ) -> list[list[tuple[int, float]]]:
        """Return each identity's best k references with their scores for one probe (d,)."""
        keys = [self._samples[identity] for identity in identities]
        scores = iter(self.score(probe[None], self.embeddings(list(chain(*keys))))[0].tolist())
        samples = [[(key, next(scores)) for key in each] for each in keys]
        return [sorted(each, key=lambda one: (-one[1], one[0]))[:k] for each in samples]

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

    def _move_centroids(self, identities: list[str]) -> None:
        centroids = self.centroids
        centroids.remove([self._centroid[name] for name in identities if name in self._centroid])
        for name in identities:
            self._centroid.pop(name, None)
        here = [name for name in identities if name in self._samples]
        self._centroid.update((name, self.oldest(name)) for name in here)
        for names in (here[i : i + _BLOCK] for i in range(0, len(here), _BLOCK)):
            keys = [self._samples[name] for name in names]
            rows = self.embeddings(list(chain.from_iterable(keys)))
            centres = self._centres(rows, list(map(len, keys)))
            centroids.add([Reference(self._centroid[name], name) for name in names], centres)

    def _centres(self, rows: Embeddings, counts: Sequence[int]) -> Embeddings:
        """Return the mean of each group of embeddings, made unit again for cosine (g, d).

        The first `counts[0]` rows are the first group's. A group's mean is the same to the last
        bit whatever other groups there are.
        """
        exact, sizes = rows.astype(np.float64), np.array(counts)
        centres = means(exact, sizes)
        if self._references.metric == "cosine":
            norms = np.sqrt(np.square(centres).sum(axis=1, keepdims=True))
            oldest = exact[np.cumsum(sizes) - sizes]
            # Opposite samples have no direction in common: the oldest speaks for them.
            common = norms > np.finfo(np.float32).eps
            centres = np.where(common, centres / np.where(common, norms, 1), oldest)
        rounded: Embeddings = centres.astype(np.float32)
        return rounded
