"""The second walk over all pairs: who they are at the thresholds that the first one found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.pair_bootstrap import BunchCounts, Grid, bunches
from evaluation.pair_counts import CELLS, Counts, PairCounts, PairScan, Progress, Rows
from evaluation.pairs import Embedded

_KEPT = 2000  # pairs, of which the worst are shown
_PER_IDENTITIES = 2


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Pairs of each identity (n,): impostors of its own group, and genuine pairs.

    An impostor pair counts for both its identities.
    """

    impostors: Counts
    accepted: Counts
    genuine: Counts
    refused: Counts


@dataclass(frozen=True, slots=True)
class Walked:
    """Pairs by bunch and grid cell, by group at one threshold, and those that look worst.

    `closest` are impostor pairs of rows (m, 2), most alike first; `furthest` genuine ones, least
    alike first.
    """

    by_bunch: BunchCounts
    by_group: GroupCounts
    closest: Rows
    furthest: Rows


def walk(
    embedded: Embedded,
    scan: PairScan,
    pairs: PairCounts,
    grid: Grid,
    threshold: float,
    seed: int,
    progress: Progress = lambda _: None,
) -> Walked:
    """Walk all pairs once more; `threshold` is what groups are judged by."""
    score_of_cell = scan.scores
    walking = _Walking(
        embedded,
        bunches(embedded.labels, seed),
        np.append(grid.cell(score_of_cell), len(grid)).astype(np.int32),
        int(np.count_nonzero(score_of_cell >= threshold)) - 1,
        _cell_of_rank(score_of_cell, pairs.scores[::-1], pairs.impostor[::-1]),
        _cell_of_rank(score_of_cell, pairs.scores, pairs.genuine),
    )
    for rows, columns, cells in scan.blocks(np.argsort(walking.bunch, kind="stable"), progress):
        walking.take(rows, columns, cells)
    return walking.walked()


def worst(pairs: Rows, labels: Rows, count: int) -> list[tuple[int, int]]:
    """Return the first of these pairs (m, 2), at most two of the same identities."""
    seen: dict[tuple[int, int], int] = {}
    kept = []
    for a, b in pairs.tolist():
        who = (min(labels[a], labels[b]), max(labels[a], labels[b]))
        seen[who] = seen.get(who, 0) + 1
        if seen[who] <= _PER_IDENTITIES:
            kept.append((a, b))
        if len(kept) == count:
            break
    return kept


def _cell_of_rank(
    score_of_cell: np.ndarray, scores: Sequence[float] | np.ndarray, counts: Counts
) -> int:
    """Return the cell of the score that the `_KEPT`-th pair has, in this order of scores."""
    place = min(int(np.searchsorted(counts.cumsum(), _KEPT)), len(counts) - 1)
    return int(np.searchsorted(-score_of_cell, -scores[place], side="left"))


class _Walking:
    def __init__(
        self,
        embedded: Embedded,
        bunch: Rows,
        coarse: np.ndarray,
        accepted: int,
        close: int,
        far: int,
    ) -> None:
        self.bunch = bunch
        self._labels, self._groups = embedded.labels, embedded.groups
        self._coarse, self._accepted, self._close, self._far = coarse, accepted, close, far
        self._k = int(coarse[-1]) + 1  # the last cell takes what is no pair
        b = int(bunch.max()) + 1
        self._genuine = np.zeros((b, self._k), np.int64)
        self._impostor = np.zeros((b, b, self._k), np.int64)
        self._by_group = np.zeros((4, embedded.identities), np.int64)
        self._closest = np.empty((0, 3), np.int64)
        self._furthest = np.empty((0, 3), np.int64)

    def take(self, rows: Rows, columns: Rows, cells: np.ndarray) -> None:
        same = self._labels[rows][:, None] == self._labels[columns]
        self._take_bunches(rows, columns, cells, same)
        if int(self._groups.max()) > 0:
            self._take_groups(rows, columns, cells, same)
        close = (cells <= self._close) & ~same
        self._closest = _kept(self._closest, rows, columns, cells, close, rising=True)
        far = same & (cells >= self._far) & (cells < CELLS)
        self._furthest = _kept(self._furthest, rows, columns, cells, far, rising=False)

    def walked(self) -> Walked:
        here = np.arange(len(self._genuine))
        within = self._impostor[here, here, :-1].copy()
        self._impostor[here, here] = 0
        impostors, accepted, genuine, refused = self._by_group
        return Walked(
            BunchCounts(self._genuine[:, :-1], within, self._impostor[:, :, :-1]),
            GroupCounts(impostors, accepted, genuine, refused),
            self._closest[:, 1:],
            self._furthest[:, 1:],
        )

    def _take_bunches(
        self, rows: Rows, columns: Rows, cells: np.ndarray, same: np.ndarray
    ) -> None:
        b, k = len(self._genuine), self._k
        first, last = int(self.bunch[rows[0]]), int(self.bunch[rows[-1]]) + 1
        own = (self.bunch[rows] - first).astype(np.int32)
        coarse = self._coarse[cells]
        genuine = (own[:, None] * np.int32(k) + coarse)[same]
        counted = np.bincount(genuine, minlength=(last - first) * k).reshape(-1, k)
        self._genuine[first:last] += counted
        place = (own * b)[:, None] + self.bunch[columns].astype(np.int32)
        place *= k
        place += coarse
        everyone = np.bincount(place.ravel(), minlength=(last - first) * b * k)
        self._impostor[first:last] += everyone.reshape(-1, b, k)
        here = np.arange(first, last)
        self._impostor[here, here] -= counted

    def _take_groups(self, rows: Rows, columns: Rows, cells: np.ndarray, same: np.ndarray) -> None:
        akin = (self._groups[rows][:, None] == self._groups[columns]) & (cells < CELLS)
        accept = cells <= self._accepted
        for i, some in enumerate((akin & ~same, akin & ~same & accept)):
            np.add.at(self._by_group[i], self._labels[rows], some.sum(1))
            np.add.at(self._by_group[i], self._labels[columns], some.sum(0))
        for i, some in enumerate((akin & same, akin & same & ~accept), start=2):
            np.add.at(self._by_group[i], self._labels[rows], some.sum(1))


def _kept(
    kept: Rows, rows: Rows, columns: Rows, cells: np.ndarray, chosen: np.ndarray, *, rising: bool
) -> Rows:
    """Return the foremost (cell, row, column) of those kept and those chosen, by cell."""
    r, c = np.nonzero(chosen)
    if not len(r):
        return kept
    if len(r) > _KEPT:  # copies of one sample may all be as close
        depth = cells[r, c] if rising else -cells[r, c]
        foremost = np.sort(np.argpartition(depth, _KEPT)[:_KEPT])
        r, c = r[foremost], c[foremost]
    a, b = rows[r], columns[c]
    new = np.column_stack([cells[r, c], np.minimum(a, b), np.maximum(a, b)])
    together = np.concatenate([kept, new])
    depth = together[:, 0] if rising else -together[:, 0]
    return together[np.lexsort((together[:, 2], together[:, 1], depth))[:_KEPT]]
