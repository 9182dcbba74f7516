"""Ward's hierarchy, in memory that grows with the items and not with their pairs."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings
from index.inverted_lists import SAMPLED, lists_of

_Numbers = npt.NDArray[np.float64]
_Places = npt.NDArray[np.int64]

_Kept = npt.NDArray[np.bool_]

_NEAR = 24  # clusters that are remembered to be near one
_BLOCK = 512  # clusters looked at at a time
_PAIRS = 2**24  # of clusters looked at at a time, at most
_EXACT = 20_000  # items whose nearest are looked for among all at once
_RECALL = 0.99  # beyond that, the share of the nearest that is found at least
_TRIED = 256  # items that recall is measured with
_FEWEST_LISTS, _MOST_LISTS = 16, 4  # looked into: of all, no more than a quarter
_ROUNDING = 1e-5  # of squares in float32; in float64 its square


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
    of recent advances in hierarchical clustering algorithms, 1983). For the same reason whoever
    was not among a cluster's nearest few is never closer than the last of these was: only where
    nobody nearer is left of them, all clusters are looked at. Of equally near ones the first in
    the order of the items is nearest.

    Of more than 20,000 items the nearest few of each are sought in inverted lists, which are
    measured to find .99 of them: whom they miss may be joined later than it should.
    """
    count = len(items)
    means = items.astype(np.float64)
    means -= means.mean(axis=0)  # far from the origin, differences of squares would round
    sizes, stands_for = np.ones(count), np.arange(count)
    around = _singles(means)
    pairs, sized = [np.empty((0, 2), np.int64)], [np.empty((0, 2))]
    apart = [np.empty((0, items.shape[1]))]
    while len(means) > 1:
        for look in (_look_around, _look_closely):
            looking = np.flatnonzero(around.far >= around.beyond)
            look(means, sizes, around, looking)
        a, b = _mutual(around.near[:, 0], around.far)
        pairs.append(np.column_stack([stands_for[a], stands_for[b]]))
        sized.append(np.column_stack([sizes[a], sizes[b]]))
        apart.append(means[a] - means[b])

        share = (sizes[b] / (sizes[a] + sizes[b]))[:, None]
        means[a] -= share * apart[-1]
        sizes[a] += sizes[b]
        kept, changed = np.ones(len(means), bool), np.zeros(len(means), bool)
        kept[b], changed[a], changed[b] = False, True, True
        widowed = (changed[around.near[:, 0]] & ~changed)[kept]
        now = np.cumsum(kept) - 1
        now[b] = now[a]
        means, sizes, stands_for = means[kept], sizes[kept], stands_for[kept]
        around = _joined(around, a, b, kept, now)
        _choose(means, sizes, around, np.flatnonzero(changed[kept]))
        _choose(means, sizes, around, np.flatnonzero(widowed))
    return Merges(np.concatenate(pairs), np.concatenate(sized), np.concatenate(apart))


@dataclass(slots=True)
class _Around:
    """Of each of n clusters others that were near, the nearest first; itself stands for nobody.

    All who are not among them are at least as high as `beyond`.
    """

    near: _Places  # (n, 2 * _NEAR)
    far: _Numbers  # (n,) half the height of a cluster with the first of them
    beyond: _Numbers  # (n,)


def _singles(means: _Numbers) -> _Around:
    """Return what is around single items (n, d)."""
    count = len(means)
    squares, found = _nearest(means.astype(np.float32), min(_NEAR + 1, count))
    rounding = _ROUNDING * float(np.einsum("ij,ij->i", means, means).max())
    beyond = squares[:, -1].astype(np.float64) / 2 - rounding
    if count <= _NEAR + 1:
        beyond[:] = np.inf  # these are all
    here = np.arange(count)
    near = np.repeat(here[:, None], 2 * _NEAR, axis=1)
    near[:, : found.shape[1]] = found
    around = _Around(near, np.full(count, np.inf), beyond)
    _choose(means, np.ones(count), around, here)
    return around


def _nearest(rows: Embeddings, k: int) -> tuple[Embeddings, _Places]:
    """Return the squared distances (n, k) to the nearest of rows (n, d), and which these are."""
    if len(rows) > _EXACT and (index := _in_lists(rows, k)):
        blocks = [index.search(rows[i : i + _EXACT], k) for i in range(0, len(rows), _EXACT)]
        squares, found = map(np.concatenate, zip(*blocks, strict=True))
        if (found >= 0).all():
            return squares, found
    squares, found = faiss.knn(rows, rows, k, faiss.METRIC_L2)
    return squares, found


def _in_lists(rows: Embeddings, k: int) -> Any:
    """Return rows (n, d) in lists of which as many are looked into as find enough; None: too many.

    Each lies in the list of its nearest centre (IVF of Jégou, Douze and Schmid, Product
    quantization for nearest neighbor search, 2011, without the quantiser).
    """
    count, dimension = rows.shape
    lists = lists_of(count)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dimension), dimension, lists, faiss.METRIC_L2)
    index.cp.min_points_per_centroid = 1  # or it warns of fewer than it would like
    index.train(rows[:: max(1, count // (SAMPLED * lists))])
    index.add(rows)
    tried = rows[:: max(1, count // _TRIED)]
    within = faiss.knn(tried, rows, k, faiss.METRIC_L2)[0][:, -1:] * (1 + _ROUNDING)
    index.nprobe = min(_FEWEST_LISTS, lists)
    while (index.search(tried, k)[0] <= within).mean() < _RECALL:
        index.nprobe *= 2
        if index.nprobe > lists // _MOST_LISTS:
            return None
    return index


def _joined(around: _Around, a: _Places, b: _Places, kept: _Kept, now: _Places) -> _Around:
    """Return the same of what is left when each b is joined to its a; `now` tells new places."""
    near, beyond = around.near, around.beyond
    near[a, _NEAR:], beyond[a] = near[b, :_NEAR], np.minimum(beyond[a], beyond[b])
    return _Around(now[near[kept]], around.far[kept], beyond[kept])


def _choose(means: _Numbers, sizes: _Numbers, around: _Around, looking: _Places) -> None:
    """Put the nearest of those around clusters first, and let go whom there is no room for."""
    for start in range(0, len(looking), _BLOCK):
        rows = looking[start : start + _BLOCK]
        near = around.near[rows]
        if (near[:, _NEAR + 1 :] == rows[:, None]).all():  # most have no more than these
            near = near[:, : _NEAR + 1]
        near = np.sort(near, axis=1)
        high = np.empty(near.shape)
        for column in range(near.shape[1]):
            others = near[:, column]
            apart = means[rows] - means[others]
            high[:, column] = np.einsum("ij,ij->i", apart, apart)
        high /= 1 / sizes[rows, None] + 1 / sizes[near]
        high[near == rows[:, None]] = np.inf
        high[:, 1:][near[:, 1:] == near[:, :-1]] = np.inf  # the same twice
        order = np.argsort(high, axis=1, kind="stable")
        high = np.take_along_axis(high, order, axis=1)
        around.near[rows] = rows[:, None]
        around.near[rows, :_NEAR] = np.take_along_axis(near, order, axis=1)[:, :_NEAR]
        around.far[rows] = high[:, 0]
        around.beyond[rows] = np.minimum(around.beyond[rows], high[:, _NEAR])


def _look_around(means: _Numbers, sizes: _Numbers, around: _Around, looking: _Places) -> None:
    """Find the nearest of all clusters for these: of many, each size by itself, by their means."""
    if not len(looking) or len(means) <= _EXACT:
        return
    points = means.astype(np.float32)
    alike = [(size, np.flatnonzero(sizes == size)) for size in np.unique(sizes)]
    groups = [(size, them, points[them]) for size, them in alike]
    rounding = _ROUNDING * float(np.einsum("ij,ij->i", means, means).max())
    some = min(_NEAR + 1, len(means) - 1)
    for start in range(0, len(looking), _BLOCK):
        rows = looking[start : start + _BLOCK]
        high, found = np.full((len(rows), some), np.inf), np.repeat(rows[:, None], some, axis=1)
        for size, them, theirs in groups:
            squares, near = faiss.knn(points[rows], theirs, min(some + 1, len(them)))
            high = np.hstack([high, squares / (1 / sizes[rows, None] + 1 / size)])
            found = np.hstack([found, them[near]])
            high[found == rows[:, None]] = np.inf
            first = np.argpartition(high, some - 1, axis=1)[:, :some]
            high, found = (np.take_along_axis(each, first, axis=1) for each in (high, found))
        last = high.max(axis=1)
        around.beyond[rows] = last - rounding * sizes[rows] if some > _NEAR else np.inf
        around.near[rows] = rows[:, None]
        around.near[rows, :some] = found
        _choose(means, sizes, around, rows)


def _look_closely(means: _Numbers, sizes: _Numbers, around: _Around, looking: _Places) -> None:
    """Find the same to the precision of float64: of many it takes far longer."""
    squares = np.einsum("ij,ij->i", means, means)
    rounding = _ROUNDING**2 * float(squares.max())
    some = min(_NEAR + 1, len(means) - 1)
    block = min(_BLOCK, _PAIRS // len(means) + 1)
    for start in range(0, len(looking), block):
        rows = looking[start : start + block]
        high = means[rows] @ means.T
        high *= -2
        high += squares
        high += squares[rows, None]
        high /= 1 / sizes[rows, None] + 1 / sizes
        high[np.arange(len(rows)), rows] = np.inf
        found = np.argpartition(high, some - 1, axis=1)[:, :some]
        last = np.take_along_axis(high, found, axis=1).max(axis=1)
        around.beyond[rows] = last - rounding * sizes[rows] if some > _NEAR else np.inf
        around.near[rows] = rows[:, None]
        around.near[rows, :some] = found
        _choose(means, sizes, around, rows)


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
