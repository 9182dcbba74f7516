"""Sets of samples, each with its centroid: how near members are to their own and to others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric
from index.roster import Scores

Codes = npt.NDArray[np.int64]

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Sets:
    """Sets of rows with a centroid each; a row may lie in several."""

    rows: Embeddings  # (n, d)
    members: Codes  # positions in rows, set by set
    starts: Codes
    sizes: Codes
    centres: Embeddings  # (sets, d)
    own: Scores  # of each member: the distance to the centroid of the set's others, nan if alone
    metric: Metric

    @classmethod
    def of(cls, rows: Embeddings, members: Codes, sets: Codes, metric: Metric) -> Self:
        """Return the sets (m,) of some `members` (m,), which are positions in rows (n, d)."""
        order = np.argsort(sets, kind="stable")
        members, sets = members[order], sets[order]
        sizes = np.bincount(sets)
        starts = np.cumsum(sizes) - sizes
        sums = np.add.reduceat(rows[members].astype(np.float64), starts, axis=0)
        own = np.empty(len(members))
        for block in blocks(len(members)):
            inside = rows[members[block]]
            rest = (sums[sets[block]] - inside) / (sizes[sets[block]] - 1).clip(1)[:, None]
            own[block] = apart(inside, _centred(rest, metric), metric)
        own[sizes[sets] == 1] = np.nan
        centres = _centred(sums / sizes[:, None], metric)
        return cls(rows, members, starts, sizes, centres, own, metric)

    def near_themselves(self, usual: float) -> Scores:
        """Return the mean distance of each set's members to its others; of one alone, `usual`."""
        own = np.where(np.isnan(self.own), usual, self.own)
        mean: Scores = np.add.reduceat(own, self.starts) / self.sizes
        return mean

    def reach(self, sets: Codes, centres: Embeddings) -> Scores:
        """Return the mean distance of the members of each set (m,) to its centre (m, d)."""
        reach = np.empty(len(sets))
        # So many sets at once that their members are about a block.
        step = max(1, int(_BLOCK / max(self.sizes.mean(), 1)))
        for start in range(0, len(sets), step):
            here = sets[start : start + step]
            sizes = self.sizes[here]
            firsts = np.cumsum(sizes) - sizes
            within = np.arange(sizes.sum()) - np.repeat(firsts, sizes)
            place = np.repeat(self.starts[here], sizes) + within
            far = apart(
                self.rows[self.members[place]],
                np.repeat(centres[start : start + step], sizes, axis=0),
                self.metric,
            )
            reach[start : start + step] = np.add.reduceat(far, firsts) / sizes
        return reach


def blocks(count: int) -> Iterator[slice]:
    """Yield slices that cover so many rows, a few thousand at a time."""
    for start in range(0, count, _BLOCK):
        yield slice(start, start + _BLOCK)


def _centred(means: Scores, metric: Metric) -> Embeddings:
    """Return centroids (n, d), made unit again for cosine; unit whatever happens."""
    if metric == "cosine":
        norms = np.linalg.norm(means, axis=1, keepdims=True)
        lost = norms[:, 0] < np.finfo(np.float32).eps
        means = means / np.where(lost, 1, norms[:, 0])[:, None]
        means[lost] = np.eye(1, means.shape[1])
    centres: Embeddings = means.astype(np.float32)
    return centres


def apart(a: Embeddings, b: Embeddings, metric: Metric) -> Scores:
    """Return the distance of each row of a to the same row of b (n,)."""
    if metric == "cosine":
        far = np.maximum(1 - np.einsum("ij,ij->i", a, np.broadcast_to(b, a.shape)), 0)
    elif metric == "l2":
        far = np.linalg.norm(a - b, axis=1)
    else:
        far = np.abs(a - b).sum(axis=1)
    as_doubles: Scores = far.astype(np.float64)
    return as_doubles
