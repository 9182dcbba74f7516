"""All pairs counted by score: exact figures of 200 million pairs in a few megabytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logit
from sklearn.isotonic import isotonic_regression

from evaluation.pairs import Embedded
from index.gallery import distances

Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Progress = Callable[[float], None]

CELLS = 2**20  # of equal width over the range of distances
_ROWS = 256  # compared with all later ones at once
_SURE = 1e-9  # a score of 0 or 1 would cost infinitely much where it is wrong


@dataclass(frozen=True, slots=True)
class PairCounts:
    """How many genuine and impostor pairs have each score; scores (m,) rise.

    Every figure is exact for these scores. Pairs of embeddings are counted in cells of a 2^20th
    of the range of distances, so that a score stands for those within one cell of it.
    """

    scores: Reals
    genuine: Counts
    impostor: Counts

    @property
    def genuine_pairs(self) -> int:
        """How many pairs are of one identity."""
        return int(self.genuine.sum())

    @property
    def impostor_pairs(self) -> int:
        """How many pairs are of two identities."""
        return int(self.impostor.sum())

    @property
    def fmr(self) -> Reals:
        """The share of impostor pairs that score at least each score (m,), falling."""
        reached: Reals = self.impostor[::-1].cumsum()[::-1] / self.impostor_pairs
        return reached

    @property
    def fnmr(self) -> Reals:
        """The share of genuine pairs that score below each score (m,), rising."""
        below: Reals = (self.genuine.cumsum() - self.genuine) / self.genuine_pairs
        return below

    def place_at(self, fmr: float) -> int:
        """Return the position of the lowest score that accepts at most this share of impostors.

        It is m where even the highest score accepts more.
        """
        allowed = fmr * self.impostor_pairs + 1e-9
        return int(np.count_nonzero(self.impostor[::-1].cumsum()[::-1] > allowed))

    def equal_error_rate(self) -> float:
        """Return the mean of FMR and FNMR at the score where they are closest."""
        fmr, fnmr = self.fmr, self.fnmr
        nearest = np.abs(fmr - fnmr).argmin()
        return float(fmr[nearest] + fnmr[nearest]) / 2

    def area_under_curve(self) -> float:
        """Return the share of (genuine, impostor) combinations ranked right, ties half."""
        below = self.impostor.cumsum() - self.impostor / 2
        return float(self.genuine @ below / self.genuine_pairs / self.impostor_pairs)

    @property
    def even(self) -> tuple[Reals, Reals]:
        """The weights (m,) of genuine and of impostor pairs at even odds: each sum to one half."""
        return self.genuine / (2 * self.genuine_pairs), self.impostor / (2 * self.impostor_pairs)

    def cllr(self) -> float:
        """Return the cost of the scores as log likelihood ratios, in bits; 1 says nothing.

        C_llr of Brümmer and du Preez (2006), the log odds of a score being its log likelihood
        ratio; scores within 1e-9 of 0 or 1 count as that far away.
        """
        return bits(self.even, self.scores)

    def min_cllr(self) -> float:
        """Return C_llr after the best rising recalibration (pool adjacent violators)."""
        return least_bits(self.even)


def bits(even: tuple[Reals, Reals], scores: Reals) -> float:
    """Return C_llr of scores whose genuine and impostor weights each sum to one half."""
    odds = logit(np.clip(scores, _SURE, 1 - _SURE))
    same, other = even
    cost = same @ np.logaddexp(0, -odds) + other @ np.logaddexp(0, odds)
    return float(cost / np.log(2))


def least_bits(even: tuple[Reals, Reals]) -> float:
    """Return the lowest C_llr of any rising function of the position."""
    same, other = (each[(even[0] + even[1]) > 0] for each in even)
    weight = same + other
    stated = isotonic_regression(same / weight, sample_weight=weight, y_min=0, y_max=1)
    told = np.zeros(len(weight))  # a side without weight costs nothing, whatever is stated
    told[same > 0] -= same[same > 0] * np.log2(stated[same > 0])
    told[other > 0] -= other[other > 0] * np.log2(1 - stated[other > 0])
    return float(told.sum())


class PairScan:
    """Walks all pairs of some embeddings, some rows against all later ones at a time."""

    def __init__(self, embedded: Embedded) -> None:
        self._embedded = embedded
        self._width = _reach(embedded) / CELLS

    @property
    def scores(self) -> Reals:
        """The score at the far edge of each cell (CELLS,), falling with distance.

        A pair in a cell scores at least that, so that it is a threshold that accepts the cell.
        """
        scores: Reals = self._embedded.score(
            (np.arange(1, CELLS + 1) * self._width).astype(np.float64)
        )
        return scores

    def count(self, progress: Progress = lambda _: None) -> PairCounts:
        """Return all pairs counted; cells without any are left out."""
        labels = self._embedded.labels
        totals = np.zeros((2, CELLS + 1), np.int64)
        for rows, columns, cells in self.blocks(np.arange(len(labels)), progress):
            same = labels[rows][:, None] == labels[columns]
            of_same = np.bincount(cells[same], minlength=CELLS + 1)
            totals[0] += of_same
            totals[1] += np.bincount(cells.ravel(), minlength=CELLS + 1) - of_same
        genuine, impostor = totals[:, :CELLS]
        there = np.flatnonzero(genuine + impostor)[::-1]
        return PairCounts(self.scores[there], genuine[there], impostor[there])

    def blocks(
        self, order: Rows, progress: Progress = lambda _: None
    ) -> Iterator[tuple[Rows, Rows, npt.NDArray[np.int32]]]:
        """Yield rows (r,), columns (c,) and the cells (r, c) of their distances, in this order.

        Every pair comes once. Among the columns are the rows themselves; what would be a sample
        with itself or a pair twice is in cell CELLS. Of two encoders rows are of side a and
        columns of side b.
        """
        of_b = self._embedded.of_b
        if of_b is not None:
            yield from self._across(order[~of_b[order]], order[of_b[order]], progress)
            return
        embeddings = self._embedded.embeddings
        count = len(order)
        for start in range(0, count, _ROWS):
            rows, columns = order[start : start + _ROWS], order[start:]
            cells = self._cells(embeddings[rows], embeddings[columns])
            cells[np.tril_indices(len(rows))] = CELLS
            yield rows, columns, cells
            progress(1 - ((count - start - len(rows)) / count) ** 2)

    def _across(
        self, a: Rows, b: Rows, progress: Progress
    ) -> Iterator[tuple[Rows, Rows, npt.NDArray[np.int32]]]:
        embeddings = self._embedded.embeddings
        for start in range(0, len(a), _ROWS):
            rows = a[start : start + _ROWS]
            yield rows, b, self._cells(embeddings[rows], embeddings[b])
            progress((start + len(rows)) / len(a))

    def _cells(
        self, a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int32]:
        far = distances(a, b, self._embedded.metric)
        far *= np.float32(1 / self._width)
        return np.minimum(far, CELLS - 1, out=far).astype(np.int32)


def _reach(embedded: Embedded) -> float:
    """Return a distance that no pair exceeds."""
    if embedded.metric == "cosine":
        return 2.0
    middle = embedded.embeddings.mean(axis=0, dtype=np.float64, keepdims=True)
    furthest = distances(embedded.embeddings, middle.astype(np.float32), embedded.metric).max()
    return max(2.001 * float(furthest), 1e-12)
