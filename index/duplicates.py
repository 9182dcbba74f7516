"""Which identities seem to be one thing under two names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.mixtures import one_thing
from index.roster import Score, Scores
from index.sets import Codes, Sets, apart

ENOUGH_IDENTITIES = 20  # with two samples; fewer say too little of what is usual here
LIKELY = 0.5  # what is likelier than not

_PARTS = (1, 2, 3, 5, 8, 12, 20, 32)  # samples in a part, where identities are cut in two
_CUT = 1000  # identities cut in two at most, to see what one thing looks like
_TAIL = (-8.0, -2.5)  # deviations from one thing, between which the look-alikes' tail begins
_SURE = 1e-12  # no distance is nearer than this


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two identities that seem to be one.

    `score` is of their centroids, and `nearest` the keys of their two samples that score highest
    with the other's centroid. `gap` tells how much nearer, by mean distance, their samples are to
    the other identity than to their own others: about 0 for one thing under two names.
    `p_value` is the share of this gallery's identities that, cut in two, look no more like one.
    `probability` is that they are one thing, given how many pairs come nearly as close.
    """

    identities: tuple[str, str]
    score: float
    gap: float
    nearest: tuple[int, int]
    p_value: float
    probability: float

    @property
    def likely(self) -> bool:
        """Whether they are likelier one thing than two."""
        return self.probability >= LIKELY


def duplicates_in(
    sets: Sets,
    others: Codes,
    keys: Codes,
    names: Sequence[str],
    score: Score,
    *,
    least: float,
    limit: int,
) -> tuple[Duplicate, ...]:
    """Return the pairs of identities that are one thing with this probability, surest first.

    `sets` are the samples of every identity, under `keys` (n,) in the order of its rows, `names`
    whose they are, and `others` (N, k) the nearest other identities of each.
    """
    a, b = _pairs(others)
    usual = float(np.nanmean(sets.own))
    k = others.shape[1]
    codes = np.repeat(np.arange(len(others)), k)
    far = sets.reach(codes, sets.centres[others.ravel()]).reshape(-1, k)
    own = sets.near_themselves(usual)
    pairs = _Nearness(
        across=(sets.reach(a, sets.centres[b]) + sets.reach(b, sets.centres[a])) / 2,
        own=(own[a] + own[b]) / 2,
        beyond=(_next(far[a], others[a] == b[:, None]) + _next(far[b], others[b] == a[:, None]))
        / 2,
    )
    near, p_values = _as_one(sets, others, sets.sizes[a], sets.sizes[b], pairs.logs)
    nearest = np.full(len(others), -np.inf)
    np.maximum.at(nearest, np.concatenate([a, b]), np.tile(near, 2))
    probability = one_thing(near, float(np.clip(np.median(nearest), *_TAIL)))
    found = np.flatnonzero(probability >= least)
    found = found[np.lexsort((b[found], a[found], -near[found]))][:limit]
    return tuple(
        Duplicate(
            identities=(names[a[i]], names[b[i]]),
            score=float(score(apart(sets.centres[[a[i]]], sets.centres[[b[i]]], sets.metric))[0]),
            gap=float(pairs.gaps[i]),
            nearest=(int(keys[_nearest(sets, a[i], b[i])]), int(keys[_nearest(sets, b[i], a[i])])),
            p_value=float(p_values[i]),
            probability=float(probability[i]),
        )
        for i in found
    )


def _as_one(
    whole: Sets, others: Codes, one: Codes, other: Codes, logs: Scores
) -> tuple[Scores, Scores]:
    """Return how near pairs of identities of these sizes are, by what one cut in two comes to.

    In standard deviations from its mean, and as the share of such that are no nearer. What is
    compared with are parts of as many samples, or of the next fewer that there are.
    """
    near, p_values = np.empty(len(logs)), np.empty(len(logs))
    for h in _PARTS:
        able = np.flatnonzero(whole.sizes >= 2 * h)
        if h > 1 and len(able) < ENOUGH_IDENTITIES:
            break
        usual = np.sort(_cut_in_two(whole, others, able, h))
        here = np.minimum(one, other) >= h
        near[here] = (logs[here] - usual.mean()) / max(float(usual.std()), _SURE)
        lower = np.searchsorted(usual, logs[here], side="right")
        p_values[here] = (1 + lower) / (1 + len(usual))
    return near, p_values


def _nearest(sets: Sets, one: np.int64, other: np.int64) -> np.int64:
    """Return the row of one set's member that is nearest to the other's centroid."""
    members = sets.members[sets.starts[one] :][: sets.sizes[one]]
    far = apart(sets.rows[members], sets.centres[[other]], sets.metric)
    row: np.int64 = members[far.argmin()]
    return row


def _cut_in_two(whole: Sets, others: Codes, able: Codes, h: int) -> Scores:
    """Return how near two parts of h samples are, drawn at random from some identities."""
    random = np.random.default_rng(h)
    able = random.permutation(able)[:_CUT]
    drawn = [
        random.permutation(whole.members[whole.starts[code] :][: whole.sizes[code]])[: 2 * h]
        for code in able
    ]
    parts = np.arange(2 * len(able))
    sets = Sets.of(whole.rows, np.concatenate(drawn), np.repeat(parts, h), whole.metric)
    k = others.shape[1]
    centres = whole.centres[np.repeat(others[able], 2, axis=0).ravel()]
    beyond = sets.reach(np.repeat(parts, k), centres).reshape(-1, k).min(axis=1)
    own = sets.near_themselves(float(np.nanmean(whole.own)))
    return _Nearness(
        across=_of_two(sets.reach(parts, sets.centres[parts ^ 1])),
        own=_of_two(own),
        beyond=_of_two(beyond),
    ).logs


@dataclass(frozen=True, slots=True)
class _Nearness:
    """How near two sets are to each other: of pairs (n,), by the mean distance of members.

    `across` is to the other's centroid, `own` to the rest of their own, and `beyond` to the next
    nearest identity's centroid; each is the mean over both.
    """

    across: Scores
    own: Scores
    beyond: Scores

    @property
    def gaps(self) -> Scores:
        """How much nearer members are to the other than to their own (n,)."""
        return self.own - self.across

    @property
    def logs(self) -> Scores:
        """How near the two are, by what is near for each (n,): more is nearer.

        It is the log of the harmonic mean of `own` and `beyond` over `across`: 0 where others are
        no further than the two from each other, and these than from themselves.
        """
        by_what = 1 / self.own.clip(_SURE) + 1 / self.beyond.clip(_SURE)
        near: Scores = -np.log(self.across.clip(_SURE) * by_what / 2)
        return near


def _pairs(others: Codes) -> tuple[Codes, Codes]:
    """Return the pairs of identities of which one is among the nearest (N, k) of the other."""
    one = np.repeat(np.arange(len(others)), others.shape[1])
    pairs = np.unique(np.sort(np.column_stack([one, others.ravel()]), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _next(far: Scores, other: npt.NDArray[np.bool_]) -> Scores:
    """Return the least of each row (n, k) but for the other itself."""
    least: Scores = np.where(other, np.inf, far).min(axis=1)
    return least


def _of_two(parts: Scores) -> Scores:
    """Return the mean of each two parts side by side."""
    mean: Scores = parts.reshape(-1, 2).mean(axis=1)
    return mean
