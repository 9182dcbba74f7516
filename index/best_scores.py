"""The best score that each of some probes reaches in a gallery, kept current change by change."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from index.frozen import FrozenBest
from index.gallery import Embeddings
from index.ranking import rank
from index.roster import Roster, Rule, Scores

_BLOCK = 512  # identities scored at once, so that 400 probes' scores stay small
_FEW = 16  # probes; for more it is faster to score everybody than to search one by one


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
        if len(probes) > _FEW:
            self.follow(roster, roster.identities)
        else:
            self._search(roster, list(range(start, len(self._owners))))

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
        for start in range(0, len(changed) if self._owners else 0, _BLOCK):
            self._follow_block(roster, changed[start : start + _BLOCK])

    def _follow_block(self, roster: Roster, changed: Sequence[str]) -> None:
        column: dict[str | None, int] = {identity: j for j, identity in enumerate(changed)}
        scores = np.full((len(self._owners), len(changed)), -np.inf)
        if here := [j for j, identity in enumerate(changed) if identity in roster]:
            identities = [changed[j] for j in here]
            scores[:, here] = roster.scores(self._probes, identities, self._rule)
        for i, owner in enumerate(self._owners):
            if owner in column:
                scores[i, column[owner]] = -np.inf
        held = [(i, column[holder]) for i, holder in enumerate(self._holders) if holder in column]
        fallen = {i for i, j in held if scores[i, j] < self._best[i]}
        risen = np.flatnonzero(scores.max(axis=1) > self._best).tolist()
        for i in risen:
            j = int(scores[i].argmax())
            self._best[i], self._holders[i] = scores[i, j], changed[j]
        self._search(roster, sorted(fallen.difference(risen)))

    def _search(self, roster: Roster, rows: list[int]) -> None:
        rankings = rank(roster, self._probes[rows], self._rule, 2) if rows else []
        for i, ranking in zip(rows, rankings, strict=True):
            best = next((each for each in ranking if each.identity != self._owners[i]), None)
            self._best[i] = best.score if best else -np.inf
            self._holders[i] = best.identity if best else None
