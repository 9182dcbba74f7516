"""Which references may be the nearest to each of many probes, told in float32."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings

ROUNDING = 2e-5  # granted to cosines in float32, over a few thousand dimensions
_STRETCH = 8192  # rows that are compared at once, so that 400 probes' cosines stay small

Rows = npt.NDArray[np.intp]


def contenders(
    probes: Embeddings, references: Embeddings, barred: Sequence[Sequence[int]]
) -> list[tuple[Rows, Rows]]:
    """Return pairs of probes (p,) and references (r,), by row, that may be nearest to one of them.

    Every reference that is nearest to a probe by cosine, among those not barred for it, is in a
    pair with it. It is some ten times as fast as to tell exactly which those are.
    """
    whose = np.repeat(np.arange(len(barred)), list(map(len, barred)))
    which = np.array([row for rows in barred for row in rows], np.intp)
    order = np.argsort(which)
    whose, which = whose[order], which[order]

    def close(start: int, some: Rows) -> Embeddings:
        """Return the cosines of these probes, in rising order, with a stretch of references."""
        first, last = np.searchsorted(which, (start, start + _STRETCH))
        cosines: Embeddings = probes[some] @ references[start : start + _STRETCH].T
        out = np.isin(whose[first:last], some)
        at = np.searchsorted(some, whose[first:last][out])
        cosines[at, which[first:last][out] - start] = -np.inf
        return cosines

    starts = range(0, len(references), _STRETCH)
    every = np.arange(len(probes))
    if not len(starts):
        return []
    closest = np.stack([close(start, every).max(axis=1) for start in starts])
    enough = closest.max(axis=0) - ROUNDING
    found = []
    for start, here in zip(starts, (closest >= enough) & (closest > -np.inf), strict=True):
        some = np.flatnonzero(here)
        if len(some):
            near = (close(start, some) >= enough[some, None] - ROUNDING).any(axis=0)
            found.append((some, start + np.flatnonzero(near)))
    return found
