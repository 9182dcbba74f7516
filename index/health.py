"""Is a gallery in order? Who seems enrolled twice, mislabelled, alike to many or unlike itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from index.duplicates import ENOUGH_IDENTITIES, LIKELY, Duplicate, duplicates_in
from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference, checked
from index.mixtures import label_noise
from index.roster import Score, Scores
from index.sets import Codes, Sets, blocks

FALSE_DISCOVERIES = 0.05  # the share of the hubs and goats listed that may be so by chance

_NEAREST = 8  # identities looked at for each sample, and for each identity


@dataclass(frozen=True, slots=True)
class Mislabelled:
    """A sample that seems to be of `rather` and not of `identity`.

    `score` is with its own identity less itself, and `rather_score` with the other, both by
    their centroids. `probability` is that the name is wrong, whichever is right.
    """

    key: int
    identity: str
    score: float
    rather: str
    rather_score: float
    probability: float

    @property
    def likely(self) -> bool:
        """Whether the name is likelier wrong than right."""
        return self.probability >= LIKELY


@dataclass(frozen=True, slots=True)
class Hub:
    """An identity that is the nearest other of more identities than chance would make it.

    `q_value` bounds the share of hubs that are none, if all up to this one are listed.
    """

    identity: str
    nearest_to: tuple[str, ...]
    mean_score: float
    q_value: float


@dataclass(frozen=True, slots=True)
class Goat:
    """An identity more of whose samples are nearer to somebody else than is usual here.

    `missed` are their keys, `score` is the mean of its samples with their own others.
    """

    identity: str
    samples: int
    missed: tuple[int, ...]
    score: float
    q_value: float


@dataclass(frozen=True, slots=True)
class Health:
    """Suggestions, each list sorted by how sure it is; nothing is changed by them.

    `judged` identities have two samples; if those are fewer than 20, `duplicates`, `mislabelled`
    and `goats` are None: too few to say. `noise` is the share of names estimated to be wrong.
    `hubs` are None where references are not compared with each other at all. `few` are identities
    with fewer samples than asked for, fewest first.
    """

    identities: int
    samples: int
    judged: int
    duplicates: tuple[Duplicate, ...] | None
    mislabelled: tuple[Mislabelled, ...] | None
    goats: tuple[Goat, ...] | None
    hubs: tuple[Hub, ...] | None
    few: tuple[tuple[str, int], ...]
    noise: float | None


def examine(
    references: Sequence[Reference],
    embeddings: Embeddings,
    score: Score,
    *,
    metric: Metric,
    few: int = 3,
    limit: int = 100,
    least: float = LIKELY,
) -> Health:
    """Return what seems wrong with a gallery: references (n,) and their embeddings (n, d).

    Everything rests on the gallery itself: each sample is held out and compared with the centroid
    of its others and of the nearest other identities, and each identity is cut in two to see what
    one thing under two names looks like here: parts that are about as near to each other as each
    to itself, and nearer than to whoever is nearest next. The order of the references does not
    matter. Each list holds the first `limit` by how sure they are: of wrong names and duplicates
    those of a probability of `least`.
    """
    order = sorted(
        range(len(references)), key=lambda i: (references[i].identity, references[i].key)
    )
    rows = checked(embeddings, embeddings.shape[-1], metric)[order]
    names, codes = np.unique([references[i].identity for i in order], return_inverse=True)
    check = _Check(
        rows,
        np.array([references[i].key for i in order], np.int64),
        codes.astype(np.int64),
        [str(name) for name in names],
        score,
        metric,
    )
    return check.all(few, limit, least)


def unjudged(references: Sequence[Reference], *, few: int = 3, limit: int = 100) -> Health:
    """Return the health of a gallery whose references say nothing of each other.

    They do not where probes are embedded by another encoder, to which alone scores belong.
    """
    sizes = Counter(reference.identity for reference in references)
    small = sorted((size, identity) for identity, size in sizes.items() if size < few)
    return Health(
        identities=len(sizes),
        samples=len(references),
        judged=0,
        duplicates=None,
        mislabelled=None,
        goats=None,
        hubs=None,
        few=tuple((identity, size) for size, identity in small)[:limit],
        noise=None,
    )


@dataclass(frozen=True, slots=True)
class _Check:
    """A gallery sorted by identity: `codes` (n,) are positions in `names`."""

    rows: Embeddings
    keys: Codes
    codes: Codes
    names: list[str]
    score: Score
    metric: Metric

    def all(self, few: int, limit: int, least: float) -> Health:
        """Return everything that seems wrong."""
        sizes = np.bincount(self.codes, minlength=len(self.names))
        judged = int((sizes >= 2).sum())
        small = sorted((m, name) for m, name in zip(sizes.tolist(), self.names, strict=True))
        duplicates = mislabelled = goats = noise = None
        hubs: tuple[Hub, ...] = ()
        if len(self.names) > 1:
            sets = Sets.of(self.rows, np.arange(len(self.rows)), self.codes, self.metric)
            others, far = self._nearest(sets.centres, sets.centres, np.arange(len(self.names)))
            hubs = self._hubs(others[:, 0], far[:, 0])[:limit]
            if judged >= ENOUGH_IDENTITIES:
                rather, rather_far = self._nearest(self.rows, sets.centres, self.codes)
                noise, mislabelled = self._mislabelled(
                    sets.own, rather, rather_far, least=least, limit=limit
                )
                goats = self._goats(sets, rather_far[:, 0])[:limit]
                duplicates = duplicates_in(
                    sets, others, self.keys, self.names, self.score, least=least, limit=limit
                )
        return Health(
            identities=len(self.names),
            samples=len(self.rows),
            judged=judged,
            duplicates=duplicates,
            mislabelled=mislabelled,
            goats=goats,
            hubs=hubs,
            few=tuple((name, m) for m, name in small if m < few)[:limit],
            noise=noise,
        )

    def _mislabelled(
        self, own: Scores, rather: Codes, far: Embeddings, *, least: float, limit: int
    ) -> tuple[float, tuple[Mislabelled, ...]]:
        here = np.flatnonzero(~np.isnan(own))
        noise, wrong = label_noise(own[here, None] - far[here], len(self.names) - 1)
        surest = np.argsort(-wrong, kind="stable")[:limit]
        return noise, tuple(
            Mislabelled(
                key=int(self.keys[here[i]]),
                identity=self.names[self.codes[here[i]]],
                score=self._score_at(own[here[i]]),
                rather=self.names[rather[here[i], 0]],
                rather_score=self._score_at(far[here[i], 0]),
                probability=float(wrong[i]),
            )
            for i in surest
            if wrong[i] >= least
        )

    def _hubs(self, nearest: Codes, far: Embeddings) -> tuple[Hub, ...]:
        count = len(self.names)
        times = np.bincount(nearest, minlength=count)
        chance = scipy.stats.binom.sf(times - 1, count - 1, 1 / (count - 1))
        q_values = scipy.stats.false_discovery_control(chance)
        score = self.score(far.astype(np.float64))
        found = []
        for i in np.flatnonzero(q_values <= FALSE_DISCOVERIES):
            near = np.flatnonzero(nearest == i)
            near = near[np.argsort(far[near], kind="stable")]
            found.append(
                Hub(
                    identity=self.names[i],
                    nearest_to=tuple(self.names[j] for j in near),
                    mean_score=float(score[near].mean()),
                    q_value=float(q_values[i]),
                )
            )
        return tuple(sorted(found, key=lambda each: (each.q_value, each.identity)))

    def _goats(self, sets: Sets, far: Embeddings) -> tuple[Goat, ...]:
        missed = sets.own > far  # false where there is no own
        count = np.bincount(self.codes, missed, minlength=len(self.names))
        able = np.flatnonzero(sets.sizes >= 2)
        usual = missed[sets.sizes[self.codes] >= 2].mean()
        chance = scipy.stats.binom.sf(count[able] - 1, sets.sizes[able], usual)
        q_values = scipy.stats.false_discovery_control(chance)
        score = self.score(sets.own)
        found = []
        for i, q_value in zip(able, q_values, strict=True):
            if q_value <= FALSE_DISCOVERIES:
                members = np.flatnonzero(self.codes == i)
                found.append(
                    Goat(
                        identity=self.names[i],
                        samples=len(members),
                        missed=tuple(self.keys[members[missed[members]]].tolist()),
                        score=float(score[members].mean()),
                        q_value=float(q_value),
                    )
                )
        return tuple(sorted(found, key=lambda each: (each.q_value, each.identity)))

    def _score_at(self, distance: float) -> float:
        return float(self.score(np.array([distance], np.float64))[0])

    def _nearest(
        self, probes: Embeddings, centres: Embeddings, owners: Codes
    ) -> tuple[Codes, Embeddings]:
        """Return the nearest identities of each probe (n, k), less its owner, and how far."""
        gallery = FaissGallery(centres.shape[1], self.metric)
        gallery.add([Reference(i, name) for i, name in enumerate(self.names)], centres)
        codes, far = [], []
        for block in blocks(len(probes)):
            found = gallery.search(probes[block], _NEAREST + 1)
            itself = found.keys == owners[block, None]
            itself[~itself.any(axis=1), -1] = True  # its owner is not so near: drop the last
            width = found.keys.shape[1] - 1
            codes.append(found.keys[~itself].reshape(-1, width))
            far.append(found.distances[~itself].reshape(-1, width))
        return np.concatenate(codes), np.concatenate(far)
