"""Ward's hierarchy, exactly, in memory that grows with the items and not with their pairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings

_Numbers = npt.NDArray[np.float64]
_Places = npt.NDArray[np.int64]

_BLOCK = 128  # rows of distances at a time


@dataclass(frozen=True, slots=True)
class Merges:
    """How n items were joined to one cluster; what made a cluster comes before what it joins.

    In `pairs` an item stands for each of the two clusters, the first of them for both from then
    on. `apart` is the difference of their means.
    """

    pairs: _Places  # (n - 1, 2)
    sizes: _Numbers  # (n - 1, 2), items
    apart: _Numbers  # (n - 1, d)

    @property
    def growth(self) -> _Numbers:
        """The harmonic mean of both sizes (n - 1,): 1 for two single items."""
        a, b = self.sizes.T
        grown: _Numbers = 2 * a * b / (a + b)
        return grown

    @property
    def heights(self) -> _Numbers:
        """Ward's: what the joining adds to the squares within clusters, twice (n - 1,).

        Of two single items it is their squared distance.
        """
        high: _Numbers = self.growth * np.einsum("ij,ij->i", self.apart, self.apart)
        return high


def ward(items: Embeddings) -> Merges:
    """Join the two clusters of items (n, d), n ≥ 1, whose squares grow least, until there is one.

    Ward, Hierarchical grouping to optimize an objective function, 1963. All pairs that are each
    other's nearest are joined at a time: as a joined cluster is never closer to a third than the
    nearer of its parts was, they stay so until then, and the tree is the same (Murtagh, A survey
    of recent advances in hierarchical clustering algorithms, 1983). Of equally near ones the
    first in the order of the items is nearest.
    """
    count = len(items)
    means = items.astype(np.float64)
    means -= means.mean(axis=0)  # far from the origin, differences of squares would round
    sizes, stands_for = np.ones(count), np.arange(count)
    nearest, far, unsure = np.zeros(count, np.int64), np.empty(count), np.ones(count, bool)
    pairs, sized = [np.empty((0, 2), np.int64)], [np.empty((0, 2))]
    apart = [np.empty((0, items.shape[1]))]
    while len(means) > 1:
        looking = np.flatnonzero(unsure)
        nearest[looking], far[looking] = _nearest(means, sizes, looking)
        a, b = _mutual(nearest, far)
        pairs.append(np.column_stack([stands_for[a], stands_for[b]]))
        sized.append(np.column_stack([sizes[a], sizes[b]]))
        apart.append(means[a] - means[b])

        share = (sizes[b] / (sizes[a] + sizes[b]))[:, None]
        means[a] -= share * apart[-1]
        sizes[a] += sizes[b]
        changed, kept = np.zeros(len(means), bool), np.ones(len(means), bool)
        changed[a], changed[b], kept[b] = True, True, False
        unsure = (changed | changed[nearest])[kept]
        nearest = (np.cumsum(kept) - 1)[nearest[kept]]
        means, sizes, stands_for, far = means[kept], sizes[kept], stands_for[kept], far[kept]
    return Merges(np.concatenate(pairs), np.concatenate(sized), np.concatenate(apart))


def _nearest(means: _Numbers, sizes: _Numbers, looking: _Places) -> tuple[_Places, _Numbers]:
    """Return the nearest other cluster of each one asked, and half the height they would have."""
    squares = np.einsum("ij,ij->i", means, means)
    ones = np.ones(len(means))
    # One product is |a - b|² of all pairs.
    left = np.column_stack([means, squares, ones])
    right = np.column_stack([-2 * means, ones, squares]).T.copy()
    found, reached = np.empty(len(looking), np.int64), np.empty(len(looking))
    for start in range(0, len(looking), _BLOCK):
        block = looking[start : start + _BLOCK]
        heights = left[block] @ right
        heights /= (1 / sizes)[block, None] + 1 / sizes
        here = np.arange(len(block))
        heights[here, block] = np.inf
        best = heights.argmin(axis=1)
        found[start : start + _BLOCK], reached[start : start + _BLOCK] = best, heights[here, best]
    return found, reached


def _mutual(nearest: _Places, far: _Numbers) -> tuple[_Places, _Places]:
    """Return the pairs of clusters that are each other's nearest, the one that comes first first.

    Rounding can leave a ring of equally near ones without such a pair: then the nearest two.
    """
    here = np.arange(len(nearest))
    a = np.flatnonzero((nearest[nearest] == here) & (here < nearest))
    if len(a):
        return a, nearest[a]
    one = int(far.argmin())
    pair = np.sort([one, nearest[one]])
    return pair[:1], pair[1:]
