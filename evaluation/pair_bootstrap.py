"""How sure figures over all pairs are, when other identities might have been drawn."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from evaluation.pair_counts import Counts, PairCounts, Reals, Rows, least_bits
from evaluation.reliability import BINS, bin_of, expected_error

BUNCHES = 256  # of identities that are drawn together, where there are more identities
REPLICATES = 400
_ODDS_LIMIT = 1e-9


@dataclass(frozen=True, slots=True)
class Grid:
    """A few thresholds on all scores; `edges` (k - 1,) rise and part scores into k cells.

    `genuine` and `impostor` (k,) are the mean scores of all such pairs in a cell, by which
    replicates count them.
    """

    edges: Reals
    genuine: Reals
    impostor: Reals

    def __len__(self) -> int:
        return len(self.edges) + 1

    def cell(self, scores: Reals) -> Rows:
        """Return the cell of each score."""
        return np.searchsorted(self.edges, scores, side="right")


def grid_of(pairs: PairCounts) -> Grid:
    """Return thresholds at usual rates of both kinds of pairs, and at the reliability's bins."""
    fmrs = np.geomspace(0.9, max(1e-5, 1 / pairs.impostor_pairs), 40)
    fnmrs = np.geomspace(max(1e-4, 1 / pairs.genuine_pairs), 0.95, 30)
    falling = -pairs.fmr
    places = [*np.searchsorted(falling, -fmrs), *np.searchsorted(pairs.fnmr, fnmrs)]
    rates = [float(pairs.scores[place]) for place in places if place < len(pairs.scores)]
    edges = np.unique([*rates, *(np.arange(1, BINS) / BINS)])
    where = np.searchsorted(edges, pairs.scores, side="right")
    return Grid(
        edges,
        _means(where, pairs.scores, pairs.genuine, len(edges) + 1),
        _means(where, pairs.scores, pairs.impostor, len(edges) + 1),
    )


def bunches(labels: Rows, seed: int) -> Rows:
    """Return which bunch each sample is in: its identity, or some identities drawn together."""
    identities = int(labels.max()) + 1
    if identities <= BUNCHES:
        return labels
    drawn: Rows = np.random.default_rng(seed).permutation(identities) % BUNCHES
    return drawn[labels]


@dataclass(frozen=True, slots=True)
class BunchCounts:
    """How many pairs lie in each cell of a grid, by bunches of identities.

    `genuine` (b, k), `within` (b, k) impostors of one bunch and `across` (b, b, k) of two.
    """

    genuine: Counts
    within: Counts
    across: Counts

    def replicates(self, seed: int) -> tuple[Reals, Reals]:
        """Return genuine and impostor masses (r, k), each row summing to one.

        Bunches are drawn with replacement and bring all their samples. Pairs of bunches drawn v
        and w times count v·w times; copies of one bunch are no impostors to each other. Draws
        that leave one kind of pairs empty are left out.
        """
        b = len(self.genuine)
        random = np.random.default_rng(seed)
        drawn = random.multinomial(b, np.full(b, 1 / b), REPLICATES).astype(np.float64)
        genuine = drawn @ self.genuine
        impostor = drawn @ self.within
        flat = self.across.reshape(b, -1).astype(np.float64)
        for some in np.array_split(np.arange(REPLICATES), 8):
            partly = (drawn[some] @ flat).reshape(len(some), b, -1)
            impostor[some] += np.einsum("rb,rbk->rk", drawn[some], partly)
        kept = (genuine.sum(1) > 0) & (impostor.sum(1) > 0)
        genuine, impostor = genuine[kept], impostor[kept]
        return (
            genuine / genuine.sum(1, keepdims=True),
            impostor / impostor.sum(1, keepdims=True),
        )


@dataclass(frozen=True, slots=True)
class PairRates:
    """Figures of pairs whose masses (r, k) lie in the cells of a grid; each gives (r,)."""

    grid: Grid
    genuine: Reals
    impostor: Reals

    @property
    def fmr(self) -> Reals:
        """FMR at the lower edge of each cell, and none above all (r, k + 1)."""
        reached = self.impostor[:, ::-1].cumsum(1)[:, ::-1]
        return np.column_stack([reached, np.zeros(len(reached))])

    @property
    def fnmr(self) -> Reals:
        """FNMR at the lower edge of each cell, and all above all (r, k + 1)."""
        return np.column_stack([np.zeros(len(self.genuine)), self.genuine.cumsum(1)])

    def equal_error_rate(self) -> Reals:
        """Return where FMR and FNMR meet."""
        both = zip(self.fmr, self.fnmr, strict=True)
        return np.array([np.interp(0, fnmr - fmr, fnmr) for fmr, fnmr in both])

    def fnmr_at(self, fmr: float) -> Reals:
        """Return the FNMR where the FMR is this, between cells by the logarithm of the FMR."""
        both = zip(-np.log(self.fmr.clip(1e-9)), self.fnmr, strict=True)
        return np.array([np.interp(-np.log(fmr), rate, fnmr) for rate, fnmr in both])

    def area_under_curve(self) -> Reals:
        """Return the AUC, pairs in one cell being ties."""
        below = self.impostor.cumsum(1) - self.impostor / 2
        area: Reals = (self.genuine * below).sum(1)
        return area

    def expected_error(self) -> Reals:
        """Return the ECE at even odds."""
        edges = np.concatenate([[0.0], self.grid.edges])
        into = np.eye(BINS)[bin_of(edges)]  # (k, BINS): the edges of bins are edges of cells
        same, other = self.genuine / 2, self.impostor / 2
        stated = same * self.grid.genuine + other * self.grid.impostor
        return expected_error(stated @ into, same @ into, (same + other) @ into)

    def cllr(self) -> Reals:
        """Return C_llr of the cells' mean scores."""
        odds = [
            logit(np.clip(each, _ODDS_LIMIT, 1 - _ODDS_LIMIT))
            for each in (self.grid.genuine, self.grid.impostor)
        ]
        cost = self.genuine @ np.logaddexp(0, -odds[0]) + self.impostor @ np.logaddexp(0, odds[1])
        bits: Reals = cost / 2 / np.log(2)
        return bits

    def min_cllr(self) -> Reals:
        """Return the least C_llr of any rising recalibration."""
        both = zip(self.genuine / 2, self.impostor / 2, strict=True)
        return np.array([least_bits(each) for each in both])


def _means(where: Rows, scores: Reals, counts: Counts, cells: int) -> Reals:
    """Return the mean score in each cell, zero where nobody is."""
    total = np.bincount(where, counts, cells)
    means: Reals = np.bincount(where, counts * scores, cells) / np.maximum(total, 1)
    return means
