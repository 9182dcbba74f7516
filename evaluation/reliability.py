"""Does a stated probability come true? Reliability curves and expected calibration error."""

import numpy as np
import numpy.typing as npt

from evaluation.report import Bin

Reals = npt.NDArray[np.float64]

BINS = 15  # of equal width, as Guo et al. (2017) have it


def bin_of(stated: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return which bin each stated probability lies in; 1 is in the last."""
    return np.minimum((np.asarray(stated, float) * BINS).astype(np.int64), BINS - 1)


def binned(stated: Reals, right: Reals, weight: Reals) -> tuple[Reals, Reals, Reals]:
    """Return the sums (BINS,) of stated probability, of being right, and of weight."""
    where = bin_of(stated)

    def summed(values: Reals) -> Reals:
        return np.bincount(where, values, BINS).astype(np.float64)

    return summed(weight * stated), summed(weight * right), summed(weight)


def expected_error(stated: Reals, right: Reals, weight: Reals) -> Reals:
    """Return the ECE from sums by bin (…, BINS): mean |stated - right| over bins, by weight."""
    error: Reals = np.abs(stated - right).sum(axis=-1) / weight.sum(axis=-1)
    return error


def curve(stated: Reals, right: Reals, weight: Reals) -> tuple[Bin, ...]:
    """Return the bins that are not empty, from their sums (BINS,)."""
    whole = weight.sum()
    return tuple(
        Bin(stated=float(s / w), right=float(r / w), weight=float(w / whole))
        for s, r, w in zip(stated, right, weight, strict=True)
        if w > 0
    )
