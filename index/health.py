"""Is a gallery in order? Who seems enrolled twice, mislabelled, alike to many or unlike itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, false_discovery_control

from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Reference, checked
from index.roster import Score, Scores

ENOUGH_IDENTITIES = 20  # with two samples; fewer say too little of what is usual here
FALSE_DISCOVERIES = 0.05  # the share of the hubs and goats listed that may be so by chance
LIKELY = 0.5  # a name is listed as wrong if that is likelier than not
MISSED = 0.1  # the share of identities enrolled twice that may go unlisted

_NEAREST = 8  # identities looked at for each sample, and for each identity
_PARTS = (1, 2, 3, 5, 8, 12, 20, 32)  # samples in a part, where identities are cut in two
_BLOCK = 4096
_Codes = npt.NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two identities that seem to be one.

    `score` is of their centroids, and `nearest` the keys of their two samples that score highest
    with the other's centroid. `gap` tells how much nearer, by mean distance, their samples are to
    the other identity than to their own others: about 0 for one thing under two names.
    `p_value` is the share of this gallery's identities that, cut in two, look no more like one:
    pairs below .1 are not listed, so that nine in ten that are one thing are.
    """

    identities: tuple[str, str]
    score: float
    gap: float
    nearest: tuple[int, int]
    p_value: float


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
    `few` are identities with fewer samples than asked for, fewest first.
    """

    identities: int
    samples: int
    judged: int
    duplicates: tuple[Duplicate, ...] | None
    mislabelled: tuple[Mislabelled, ...] | None
    goats: tuple[Goat, ...] | None
    hubs: tuple[Hub, ...]
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
) -> Health:
    """Return what seems wrong with a gallery: references (n,) and their embeddings (n, d).

    Everything rests on the gallery itself: each sample is held out and compared with the centroid
    of its others and of the nearest other identities, and each identity is cut in two to see what
    one thing under two names looks like here. The order of the references does not matter. Each
    list holds the first `limit` by how sure they are.
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
    return check.all(few, limit)


def label_noise(margins: Scores, others: int) -> tuple[float, Scores]:
    """Return the share of wrong names and the probability (n,) that each name is wrong.

    `margins` (n, k) tell how much nearer each sample is to its nearest k of `others` identities
    than to the rest of its own. The name of a sample is that of one identity drawn by
    softmax(-β · distance) with probability 1 - ν, and anybody else's with probability ν; β and ν
    are those that make the names most likely.
    """

    def named(sharpness: float) -> tuple[Scores, Scores]:
        """Return how likely each name is if it is right, and if it is anybody else's."""
        with np.errstate(over="ignore"):
            own = 1 / (1 + np.exp(np.exp(sharpness) * margins).sum(axis=1))
        return own.clip(1e-300), (1 - own) / others

    def surprise(sharpness: float) -> float:
        right, wrong = named(sharpness)
        noise = _share(right, wrong)
        return -float(np.log((1 - noise) * right + noise * wrong).mean())

    # Both a blunt β without noise and a sharp one with noise may be best nearby: look at all.
    grid = np.linspace(-2, 6, 25) - np.log(max(float(np.std(margins)), 1e-9))
    best = int(np.argmin([surprise(each) for each in grid.tolist()]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    right, wrong = named(minimize_scalar(surprise, bounds=bounds, method="bounded").x)
    noise = _share(right, wrong)
    return noise, noise * wrong / ((1 - noise) * right + noise * wrong)


def _share(right: Scores, wrong: Scores) -> float:
    """Return the weight of `wrong` (n,) in the likeliest mixture of it with `right` (n,)."""

    def slope(weight: float) -> float:
        return float(((wrong - right) / ((1 - weight) * right + weight * wrong)).mean())

    least, most = 0.0, 1 - 1e-9
    if slope(least) <= 0:
        return least
    return most if slope(most) >= 0 else float(brentq(slope, least, most))


@dataclass(frozen=True, slots=True)
class _Sets:
    """Sets of rows with a centroid each; a row may lie in several."""

    rows: Embeddings  # (n, d)
    members: _Codes  # positions in rows, set by set
    starts: _Codes
    sizes: _Codes
    centres: Embeddings  # (sets, d)
    own: Scores  # of each member: the distance to the centroid of the set's others, nan if alone
    metric: Metric

    @classmethod
    def of(cls, rows: Embeddings, members: _Codes, sets: _Codes, metric: Metric) -> Self:
        order = np.argsort(sets, kind="stable")
        members, sets = members[order], sets[order]
        sizes = np.bincount(sets)
        starts = np.cumsum(sizes) - sizes
        sums = np.add.reduceat(rows[members].astype(np.float64), starts, axis=0)
        own = np.empty(len(members))
        for block in _blocks(len(members)):
            inside = rows[members[block]]
            rest = (sums[sets[block]] - inside) / (sizes[sets[block]] - 1).clip(1)[:, None]
            own[block] = _apart(inside, _centred(rest, metric), metric)
        own[sizes[sets] == 1] = np.nan
        centres = _centred(sums / sizes[:, None], metric)
        return cls(rows, members, starts, sizes, centres, own, metric)

    def gaps(self, a: _Codes, b: _Codes, usual: float | None = None) -> Scores:
        """Return, for each pair of sets, how much nearer members are to the other than to theirs.

        The mean over both. The member of a set of one has no others: `usual` is taken for it, by
        default the mean distance here.
        """
        usual = float(np.nanmean(self.own)) if usual is None else usual
        return (self._nearer(a, b, usual) + self._nearer(b, a, usual)) / 2

    def _nearer(self, a: _Codes, b: _Codes, usual: float) -> Scores:
        nearer = np.empty(len(a))
        # So many pairs at once that their members are about a block.
        step = max(1, int(_BLOCK / max(self.sizes.mean(), 1)))
        for start in range(0, len(a), step):
            here, there = a[start : start + step], b[start : start + step]
            sizes = self.sizes[here]
            firsts = np.cumsum(sizes) - sizes
            within = np.arange(sizes.sum()) - np.repeat(firsts, sizes)
            place = np.repeat(self.starts[here], sizes) + within
            far = _apart(
                self.rows[self.members[place]],
                self.centres[np.repeat(there, sizes)],
                self.metric,
            )
            own = self.own[place]
            margins = np.where(np.isnan(own), usual, own) - far
            nearer[start : start + step] = np.add.reduceat(margins, firsts) / sizes
        return nearer


@dataclass(frozen=True, slots=True)
class _Check:
    """A gallery sorted by identity: `codes` (n,) are positions in `names`."""

    rows: Embeddings
    keys: _Codes
    codes: _Codes
    names: list[str]
    score: Score
    metric: Metric

    def all(self, few: int, limit: int) -> Health:
        """Return everything that seems wrong."""
        sizes = np.bincount(self.codes, minlength=len(self.names))
        judged = int((sizes >= 2).sum())
        small = sorted((m, name) for m, name in zip(sizes.tolist(), self.names, strict=True))
        duplicates = mislabelled = goats = noise = None
        hubs: tuple[Hub, ...] = ()
        if len(self.names) > 1:
            sets = _Sets.of(self.rows, np.arange(len(self.rows)), self.codes, self.metric)
            others, far = self._nearest(sets.centres, sets.centres, np.arange(len(self.names)))
            hubs = self._hubs(others[:, 0], far[:, 0])[:limit]
            if judged >= ENOUGH_IDENTITIES:
                rather, rather_far = self._nearest(self.rows, sets.centres, self.codes)
                noise, mislabelled = self._mislabelled(sets.own, rather, rather_far, limit)
                goats = self._goats(sets, rather_far[:, 0])[:limit]
                duplicates = self._duplicates(sets, others, limit)
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
        self, own: Scores, rather: _Codes, far: Embeddings, limit: int
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
            if wrong[i] >= LIKELY
        )

    def _duplicates(self, sets: _Sets, others: _Codes, limit: int) -> tuple[Duplicate, ...]:
        a, b = _pairs(others)
        gaps = sets.gaps(a, b)
        p_values = self._as_one(sets, sets.sizes[a], sets.sizes[b], gaps)
        found = np.flatnonzero(p_values >= MISSED)
        found = found[np.lexsort((b[found], a[found], -gaps[found], -p_values[found]))][:limit]
        return tuple(
            self._duplicate(sets, int(a[i]), int(b[i]), float(gaps[i]), float(p_values[i]))
            for i in found
        )

    def _as_one(self, whole: _Sets, one: _Codes, other: _Codes, gaps: Scores) -> Scores:
        """Return for each gap of identities of these sizes how usual it is for one cut in two.

        What is compared with are parts of as many samples, or of the next fewer that there are. A
        gap of one thing has a spread that falls with the root of the samples, and is compared so.
        """
        p_values = np.zeros(len(gaps))
        weights = np.sqrt(2 / (1 / one + 1 / other))
        for h in _PARTS:
            able = np.flatnonzero(whole.sizes >= 2 * h)
            if h > 1 and len(able) < ENOUGH_IDENTITIES:
                break
            usual = np.sort(self._cut_in_two(whole, able, h)) * np.sqrt(h)
            here = np.minimum(one, other) >= h
            lower = np.searchsorted(usual, (gaps * weights)[here], side="right")
            p_values[here] = (1 + lower) / (1 + len(usual))
        return p_values

    def _duplicate(self, sets: _Sets, a: int, b: int, gap: float, p_value: float) -> Duplicate:
        nearest = []
        for one, other in ((a, b), (b, a)):
            members = sets.members[sets.starts[one] :][: sets.sizes[one]]
            far = _apart(self.rows[members], sets.centres[[other]], self.metric)
            nearest.append(int(self.keys[members[far.argmin()]]))
        apart = _apart(sets.centres[[a]], sets.centres[[b]], self.metric)
        return Duplicate(
            identities=(self.names[a], self.names[b]),
            score=self._score_at(apart[0]),
            gap=gap,
            nearest=(nearest[0], nearest[1]),
            p_value=p_value,
        )

    def _cut_in_two(self, whole: _Sets, able: _Codes, h: int) -> Scores:
        """Return the gaps between two parts of h samples, drawn at random from each identity."""
        random = np.random.default_rng(h)
        drawn = [
            random.permutation(whole.members[whole.starts[code] :][: whole.sizes[code]])[: 2 * h]
            for code in able
        ]
        parts = np.repeat(np.arange(2 * len(able)), h)
        sets = _Sets.of(self.rows, np.concatenate(drawn), parts, self.metric)
        usual = float(np.nanmean(whole.own))
        return sets.gaps(np.arange(0, len(parts) // h, 2), np.arange(1, len(parts) // h, 2), usual)

    def _hubs(self, nearest: _Codes, far: Embeddings) -> tuple[Hub, ...]:
        count = len(self.names)
        times = np.bincount(nearest, minlength=count)
        chance = binom.sf(times - 1, count - 1, 1 / (count - 1))
        q_values = false_discovery_control(chance)
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

    def _goats(self, sets: _Sets, far: Embeddings) -> tuple[Goat, ...]:
        missed = sets.own > far  # false where there is no own
        count = np.bincount(self.codes, missed, minlength=len(self.names))
        able = np.flatnonzero(sets.sizes >= 2)
        usual = missed[sets.sizes[self.codes] >= 2].mean()
        q_values = false_discovery_control(binom.sf(count[able] - 1, sets.sizes[able], usual))
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
        self, probes: Embeddings, centres: Embeddings, owners: _Codes
    ) -> tuple[_Codes, Embeddings]:
        """Return the nearest identities of each probe (n, k), less its owner, and how far."""
        gallery = FaissGallery(centres.shape[1], self.metric)
        gallery.add([Reference(i, name) for i, name in enumerate(self.names)], centres)
        codes, far = [], []
        for block in _blocks(len(probes)):
            found = gallery.search(probes[block], _NEAREST + 1)
            itself = found.keys == owners[block, None]
            itself[~itself.any(axis=1), -1] = True  # its owner is not so near: drop the last
            width = found.keys.shape[1] - 1
            codes.append(found.keys[~itself].reshape(-1, width))
            far.append(found.distances[~itself].reshape(-1, width))
        return np.concatenate(codes), np.concatenate(far)


def _pairs(others: _Codes) -> tuple[_Codes, _Codes]:
    """Return the pairs of identities of which one is among the nearest (N, k) of the other."""
    one = np.repeat(np.arange(len(others)), others.shape[1])
    pairs = np.unique(np.sort(np.column_stack([one, others.ravel()]), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, start + _BLOCK)


def _centred(means: Scores, metric: Metric) -> Embeddings:
    """Return centroids (n, d), made unit again for cosine; unit whatever happens."""
    if metric == "cosine":
        norms = np.linalg.norm(means, axis=1, keepdims=True)
        lost = norms[:, 0] < np.finfo(np.float32).eps
        means = means / np.where(lost, 1, norms[:, 0])[:, None]
        means[lost] = np.eye(1, means.shape[1])
    centres: Embeddings = means.astype(np.float32)
    return centres


def _apart(a: Embeddings, b: Embeddings, metric: Metric) -> Scores:
    """Return the distance of each row of a to the same row of b (n,)."""
    if metric == "cosine":
        apart = np.maximum(1 - np.einsum("ij,ij->i", a, np.broadcast_to(b, a.shape)), 0)
    elif metric == "l2":
        apart = np.linalg.norm(a - b, axis=1)
    else:
        apart = np.abs(a - b).sum(axis=1)
    far: Scores = apart.astype(np.float64)
    return far
