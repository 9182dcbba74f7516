"""All pairs of some embeddings: who is counted, error rates, intervals by identity."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.metrics import det_curve

from index.gallery import Embeddings, Metric, distances
from index.roster import Score

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Interval = tuple[float, float]

ROWS_AT_ONCE = 1024
_GRID = 64  # thresholds that the bootstrap looks at


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings (n, d) of labelled samples, and how two of them are compared.

    `labels` count identities from 0; `groups` are such as alphabets; `drawers` say who made a
    sample.
    """

    embeddings: Embeddings
    labels: Labels  # (n,)
    groups: Labels  # (n,)
    drawers: npt.NDArray[np.str_]  # (n,)
    metric: Metric
    score: Score

    @property
    def identities(self) -> int:
        """How many identities there are."""
        return int(self.labels.max()) + 1

    def only(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Return the chosen samples, labels and groups renumbered."""
        return replace(
            self,
            embeddings=self.embeddings[rows],
            labels=np.unique(self.labels[rows], return_inverse=True)[1],
            groups=np.unique(self.groups[rows], return_inverse=True)[1],
            drawers=self.drawers[rows],
        )

    @property
    def group_of(self) -> Labels:
        """The group of each identity, (identities,)."""
        groups = np.empty(self.identities, np.int64)
        groups[self.labels] = self.groups
        return groups


@dataclass(frozen=True, slots=True)
class Pairs:
    """Scores of every unordered pair of samples, each side sorted ascending.

    `genuine` are pairs of one identity, `impostor` pairs of two; no sample meets itself.
    """

    genuine: Scores
    impostor: Scores

    def fmr(self, threshold: float) -> float:
        """Return the share of impostor pairs that the threshold accepts."""
        return 1 - int(np.searchsorted(self.impostor, threshold)) / len(self.impostor)

    def fnmr(self, threshold: float) -> float:
        """Return the share of genuine pairs that the threshold refuses."""
        return int(np.searchsorted(self.genuine, threshold)) / len(self.genuine)

    def threshold_at(self, fmr: float) -> float:
        """Return the lowest threshold that accepts at most this share of impostor pairs.

        Raises ValueError where the share is less than one pair.
        """
        accepted = int(fmr * len(self.impostor) + 1e-9)
        if not 0 < accepted < len(self.impostor):
            raise ValueError(f"{len(self.impostor)} impostor pairs do not resolve an FMR of {fmr}")
        return float(np.nextafter(self.impostor[-accepted - 1], np.float32(np.inf)))

    def equal_error_rate(self) -> float:
        """Return the mean of FMR and FNMR at the threshold where they are closest."""
        truth = np.repeat([1, 0], [len(self.genuine), len(self.impostor)])
        fmr, fnmr, _ = det_curve(truth, np.concatenate([self.genuine, self.impostor]))
        nearest = np.abs(fmr - fnmr).argmin()
        return float(fmr[nearest] + fnmr[nearest]) / 2

    def area_under_curve(self) -> float:
        """Return the share of (genuine, impostor) combinations ranked right, ties half."""
        below = np.searchsorted(self.impostor, self.genuine, "left")
        up_to = np.searchsorted(self.impostor, self.genuine, "right")
        return float((below + up_to).mean() / 2 / len(self.impostor))


def all_pairs(embedded: Embedded) -> Pairs:
    """Return the scores of all pairs; they are worked out in blocks, and kept at 4 bytes each."""
    genuine, impostor = [], []
    for rows, columns, scores in _blocks(embedded):
        same = embedded.labels[rows] == embedded.labels[columns]
        genuine.append(scores[same])
        impostor.append(scores[~same])
    return Pairs(np.sort(np.concatenate(genuine)), np.sort(np.concatenate(impostor)))


@dataclass(frozen=True, slots=True)
class PairBootstrap:
    """Intervals of pair error rates when other identities might have been drawn.

    Identities are drawn with replacement and bring all their samples; a pair of identities drawn
    v and w times counts v·w times, and copies of one identity are no impostors to each other.
    The rates are read off a grid of thresholds and interpolated.
    """

    fmr: npt.NDArray[np.float64]  # (replicates, grid), falling along the grid
    fnmr: npt.NDArray[np.float64]  # (replicates, grid), rising

    def equal_error_rate(self) -> Interval:
        """Return the 95 % interval of the EER."""
        gaps = self.fnmr - self.fmr  # rising
        rates = [np.interp(0, gap, f) for gap, f in zip(gaps, self.fnmr, strict=True)]
        return interval(np.array(rates))

    def fnmr_at(self, fmr: float) -> Interval:
        """Return the 95 % interval of the FNMR where the FMR is this."""
        rates = [
            np.interp(-np.log(fmr), -np.log(f.clip(1e-12)), n)
            for f, n in zip(self.fmr, self.fnmr, strict=True)
        ]
        return interval(np.array(rates))


def bootstrap_pairs(
    embedded: Embedded, pairs: Pairs, seed: int, replicates: int = 500
) -> PairBootstrap:
    """Return the bootstrap of `pairs`, which must be all pairs of `embedded`."""
    n, labels = embedded.identities, embedded.labels
    rates = np.geomspace(0.5, max(1e-5, 2 / len(pairs.impostor)), _GRID)
    grid = np.array([pairs.threshold_at(rate) for rate in rates])
    counts = np.zeros((n * n, _GRID + 1))  # of ordered identities, in how many grid cells
    for rows, columns, scores in _blocks(embedded):
        cells = np.searchsorted(grid, scores, "right")
        place = (labels[rows] * n + labels[columns]) * (_GRID + 1) + cells
        counts += np.bincount(place, minlength=counts.size).reshape(counts.shape)
    reached = counts[:, ::-1].cumsum(1)[:, ::-1].reshape(n, n, -1)  # (n, n, 1 + grid): >= cell
    genuine = reached[np.arange(n), np.arange(n)]  # (n, 1 + grid)
    reached[np.arange(n), np.arange(n)] = 0
    random = np.random.default_rng(seed)
    fmr, fnmr = np.empty((replicates, _GRID)), np.empty((replicates, _GRID))
    for r in range(replicates):
        weight = np.bincount(random.integers(0, n, n), minlength=n).astype(float)
        accepted = weight @ np.tensordot(weight, reached, 1)  # (n,) · (n, n, 1 + grid) · (n,)
        mates = weight @ genuine
        impostors = max(accepted[0], 1)  # none where one identity was drawn alone
        fmr[r], fnmr[r] = accepted[1:] / impostors, 1 - mates[1:] / mates[0]
    return PairBootstrap(fmr, fnmr)


def ratio_interval(hits: npt.ArrayLike, trials: npt.ArrayLike, seed: int) -> Interval:
    """Return the 95 % interval of Σ hits / Σ trials when identities (n,) are drawn anew."""
    hits, trials = np.asarray(hits, float), np.asarray(trials, float)
    drawn = np.random.default_rng(seed).integers(0, len(hits), (1000, len(hits)))
    return interval(hits[drawn].sum(1) / trials[drawn].sum(1).clip(1e-12))


def interval(replicates: npt.NDArray[np.float64]) -> Interval:
    """Return the 2.5th and 97.5th percentile."""
    low, high = np.quantile(replicates, (0.025, 0.975))
    return float(low), float(high)


def _blocks(embedded: Embedded) -> Iterator[tuple[Labels, Labels, Scores]]:
    """Yield rows, columns and scores of every pair (row < column), some rows at a time."""
    for start in range(0, len(embedded.labels), ROWS_AT_ONCE):
        later = embedded.embeddings[start:]
        block = later[:ROWS_AT_ONCE]
        rows, columns = np.triu_indices(len(block), 1, len(later))
        far = distances(block, later, embedded.metric)[rows, columns]
        yield (
            rows + start,
            columns + start,
            embedded.score(far.astype(np.float64)).astype(np.float32),
        )
