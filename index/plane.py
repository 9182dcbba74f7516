"""A gallery on a plane: which of its samples are shown, and where they lie at first."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Reference

EACH = 20
"""Samples of one identity that are shown at most."""

FEWEST = 12
"""Samples below which there are no neighbourhoods to keep, and the principal plane is all."""

DIGITS = 5  # of a coordinate: more than a screen has pixels

Plane = npt.NDArray[np.float64]
"""Positions (n, 2), the furthest coordinate being 1 or -1."""


def chosen(references: Sequence[Reference], most: int, each: int = EACH) -> list[int]:
    """Return the places of at most `most` references, by rising key, `each` of an identity.

    They are each identity's oldest. Where there is no room for all, every identity has its first
    before any has a second; who goes without one is drawn by a hash of the name, so that it does
    not depend on when they were enrolled.
    """
    order = sorted(range(len(references)), key=lambda place: references[place].key)
    taken: dict[str, int] = {}
    drawn: list[tuple[int, int, int]] = []  # turn, lot, place
    for place in order:
        identity = references[place].identity
        turn = taken.get(identity, 0)
        if turn < each:
            taken[identity] = turn + 1
            drawn.append((turn, crc32(identity.encode(errors="surrogatepass")), place))
    if len(drawn) > most:
        drawn = sorted(drawn)[:most]
    return sorted((place for _, _, place in drawn), key=lambda place: references[place].key)


def principal_plane(embeddings: Embeddings) -> Plane:
    """Return where embeddings (n, d) lie on their two principal axes (Pearson, 1901).

    Each axis points to where its largest loading is positive, so that equal embeddings lie alike
    whatever library found the axes.
    """
    plane = np.zeros((len(embeddings), 2))
    if len(embeddings) > 1:
        rows = embeddings.astype(np.float64)
        rows -= rows.mean(axis=0)
        axes = np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :2]
        axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
        plane[:, : axes.shape[1]] = rows @ axes
    return scaled(plane)


def scaled(plane: Plane) -> Plane:
    """Return positions (n, 2) as far from their middle as 1 at most, rounded."""
    if len(plane):
        plane = plane - (plane.max(axis=0) + plane.min(axis=0)) / 2
    furthest = np.abs(plane).max(initial=0.0)
    return np.round(plane / furthest if furthest > 1e-9 else np.zeros_like(plane), DIGITS) + 0.0
