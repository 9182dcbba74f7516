"""The best score that each of some probes reaches in a gallery, kept current change by change."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from index.contenders import ROUNDING
from index.frozen import FrozenBest
from index.gallery import Embeddings
from index.ranking import DEPTH, rank
from index.roster import Roster, Rule, Scores

_BLOCK = 512  # identities scored at once, so that 400 probes' scores stay small
_FEW = 16  # probes; for more it is faster to score everybody than to search one by one …
_SOME = 128  # … and for so many, where the nearest has the best score
_DEPTH = 8  # neighbours that tell who that is
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

    def nearest(self) -> list[tuple[str | None, float]]:
        """Return who has each probe's best score, and that; None where there is nobody."""
        return list(zip(self._holders, self._best.tolist(), strict=True))

    def admit(self, roster: Roster, probes: Embeddings, owners: Sequence[str | None]) -> None:
        """Take in more probes (m, d)."""
        start = len(self._owners)
        self._probes = np.concatenate([self._probes, probes.astype(np.float32)])
        self._owners = [*self._owners, *owners]
        self._best = np.concatenate([self._best, np.full(len(probes), -np.inf)])
        self._holders += [None] * len(probes)
        new = np.arange(start, len(self._owners))
        if len(probes) <= (_SOME if self._rule in _NEAREST else _FEW):
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
        probes = self._concerned(roster, column, probes)
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

    def _concerned(self, roster: Roster, changed: Mapping[str | None, int], probes: Rows) -> Rows:
        """Return which of those probes may get another best score, told in float32.

        No rule scores an identity above its nearest sample.
        """
        if roster.references.metric != "cosine" or len(probes) <= _FEW:
            return probes
        here = [identity for identity in changed if identity is not None and identity in roster]
        may = np.array([self._holders[i] in changed for i in probes.tolist()], bool)
        if here:
            rows, _ = roster.rows(here, self._rule)
            close = (self._probes[probes] @ rows.T).max(axis=1)
            may |= roster.score_at(np.maximum(1 - close - ROUNDING, 0)) >= self._best[probes]
        concerned: Rows = probes[may]
        return concerned

    def _score_the_nearest(self, roster: Roster, probes: Rows) -> None:
        """Score, for each new probe, those identities alone that may be nearest to it."""
        gallery = roster.centroids if self._rule == "centroid" else roster.references
        barred = [roster.keys_of(self._owners[i], self._rule) for i in probes.tolist()]
        for some, keys in gallery.contenders(self._probes[probes], barred):
            identities = list(dict.fromkeys(roster.owner[key] for key in keys.tolist()))
            for block in _blocks(identities):
                self._follow_block(roster, block, probes[some])

    def _search(self, roster: Roster, rows: list[int]) -> None:
        if not rows:
            return
        probes, depth = self._probes[rows], _DEPTH if self._rule in _NEAREST else DEPTH
        rankings = rank(roster, probes, self._rule, 2, depth=depth, exact=True)
        for i, ranking in zip(rows, rankings, strict=True):
            best = next((each for each in ranking if each.identity != self._owners[i]), None)
            self._best[i] = best.score if best else -np.inf
            self._holders[i] = best.identity if best else None


def _blocks(identities: Sequence[str]) -> list[Sequence[str]]:
    return [identities[start : start + _BLOCK] for start in range(0, len(identities), _BLOCK)]
