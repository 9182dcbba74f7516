"""The best score that each of some probes reaches in a gallery, kept current change by change."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from index.frozen import FrozenBest
from index.gallery import Embeddings
from index.ranking import rank
from index.roster import Roster, Rule, Scores

_BLOCK = 512  # identities scored at once, so that 400 probes' scores stay small
_FEW = 16  # probes; for more it is faster to score everybody than to search one by one
_ROUNDING = 2e-5  # granted to cosines in float32, over a few thousand dimensions
_NEAREST: tuple[Rule, ...] = ("max", "centroid")  # rules by which the nearest has the best score

Rows = npt.NDArray[np.intp]


class BestScores:
    """Probes with the best identity score that each has over one roster, under one rule.

    A probe that is itself enrolled has an owner, whose score does not count for it. A change of an
    identity costs one product of its samples with the probes, and a search for those probes whose
    best it was, if it fell.
    """

    def __init__(self, rule: Rule, dimension: int) -> None:
        self._rule = rule
        self._probes = np.empty((0, dimension), dtype=np.float32)
        self._owners: list[str | None] = []
        self._best: Scores = np.empty(0)
        self._holders: list[str | None] = []

    @property
    def values(self) -> Scores:
        """The best scores (n,), minus infinity where there is nobody to score."""
        return self._best

    @property
    def owners(self) -> list[str | None]:
        """Whose each probe is; None is a stranger's."""
        return self._owners

    def admit(self, roster: Roster, probes: Embeddings, owners: Sequence[str | None]) -> None:
        """Take in more probes (m, d)."""
        start = len(self._owners)
        self._probes = np.concatenate([self._probes, probes.astype(np.float32)])
        self._owners = [*self._owners, *owners]
        self._best = np.concatenate([self._best, np.full(len(probes), -np.inf)])
        self._holders += [None] * len(probes)
        new = np.arange(start, len(self._owners))
        if len(probes) <= _FEW:
            self._search(roster, new.tolist())
        elif self._rule in _NEAREST and roster.references.metric == "cosine":
            self._score_the_nearest(roster, new)
        else:
            for block in _blocks(roster.identities):
                self._follow_block(roster, block, new)

    def freeze(self, rows: Mapping[str, int]) -> FrozenBest:
        """Return what was found, identities being told by row."""
        holders = [-1 if holder is None else rows[holder] for holder in self._holders]
        return FrozenBest(self._best.copy(), np.array(holders, np.int64))

    def thaw(
        self,
        probes: Embeddings,
        owners: Sequence[str | None],
        found: FrozenBest,
        identities: Sequence[str],
    ) -> None:
        """Take in probes (m, d) with what was found of them before."""
        self._probes, self._owners = probes.astype(np.float32), list(owners)
        self._best = found.best.copy()
        self._holders = [None if row < 0 else identities[row] for row in found.holders.tolist()]

    def dismiss(self, owners: Collection[str]) -> None:
        """Drop the probes of these owners."""
        kept = [i for i, owner in enumerate(self._owners) if owner not in owners]
        self._probes, self._best = self._probes[kept], self._best[kept]
        self._owners = [self._owners[i] for i in kept]
        self._holders = [self._holders[i] for i in kept]

    def follow(self, roster: Roster, changed: Sequence[str]) -> None:
        """Take in that these identities have changed in the roster, or are gone from it."""
        if self._owners:
            for block in _blocks(changed):
                self._follow_block(roster, block, np.arange(len(self._owners)))

    def _follow_block(self, roster: Roster, changed: Sequence[str], probes: Rows) -> None:
        """Take in that identities have changed, for those probes."""
        column: dict[str | None, int] = {identity: j for j, identity in enumerate(changed)}
        scores = np.full((len(probes), len(changed)), -np.inf)
        if here := [j for j, identity in enumerate(changed) if identity in roster]:
            identities = [changed[j] for j in here]
            scores[:, here] = roster.scores(self._probes[probes], identities, self._rule)
        fallen = []
        for row, (i, best) in enumerate(zip(probes.tolist(), scores.max(axis=1), strict=True)):
            if self._owners[i] in column:
                scores[row, column[self._owners[i]]] = -np.inf
                best = scores[row].max()
            if best > self._best[i]:
                j = int(scores[row].argmax())
                self._best[i], self._holders[i] = scores[row, j], changed[j]
            elif (holder := self._holders[i]) in column and scores[
                row, column[holder]
            ] < self._best[i]:
                fallen.append(i)
        self._search(roster, fallen)

    def _score_the_nearest(self, roster: Roster, probes: Rows) -> None:
        """Score, for each new probe, those blocks alone that somebody may be in who is nearest.

        That is told in float32, which is some ten times as fast.
        """
        blocks = _blocks(roster.identities)
        if not blocks:
            return
        closest = np.stack([self._closest(roster, block, probes) for block in blocks])
        likely = closest >= closest.max(axis=0) - _ROUNDING
        for block, here in zip(blocks, likely, strict=True):
            if here.any():
                self._follow_block(roster, block, probes[here])

    def _closest(self, roster: Roster, block: Sequence[str], probes: Rows) -> Embeddings:
        """Return about how close anybody of these comes to each probe, but for its owner (p,)."""
        rows, counts = roster.rows(block, self._rule)
        close: Embeddings = self._probes[probes] @ rows.T
        column: dict[str | None, int] = {identity: j for j, identity in enumerate(block)}
        ends = np.cumsum(counts)
        for row, i in enumerate(probes.tolist()):
            if (j := column.get(self._owners[i])) is not None:
                close[row, ends[j] - counts[j] : ends[j]] = -np.inf
        closest: Embeddings = close.max(axis=1)
        return closest

    def _search(self, roster: Roster, rows: list[int]) -> None:
        rankings = rank(roster, self._probes[rows], self._rule, 2, exact=True) if rows else []
        for i, ranking in zip(rows, rankings, strict=True):
            best = next((each for each in ranking if each.identity != self._owners[i]), None)
            self._best[i] = best.score if best else -np.inf
            self._holders[i] = best.identity if best else None


def _blocks(identities: Sequence[str]) -> list[Sequence[str]]:
    return [identities[start : start + _BLOCK] for start in range(0, len(identities), _BLOCK)]
