"""The Gallery port: embeddings under keys, and which of them are nearest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import scipy  # its parts are loaded when first used: all at once take half a second of a start

Embeddings = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]
Metric = Literal["cosine", "l2", "l1"]

UNIT_TOLERANCE = 1e-3  # what a norm may differ from 1 by and still count as a unit vector


class Reference(NamedTuple):
    """One enrolled embedding's name: a key that its gallery never sees twice, and whose it is."""

    key: int
    identity: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The references nearest to each of n probes, nearest first, ties to the smaller key.

    `keys` is int64 and `distances` float32, both (n, k), and narrower where the gallery holds
    fewer than k references; there is never padding.
    """

    keys: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]


class Gallery(Protocol):
    """Embeddings of one dimension under one metric; safe to call from many threads.

    A search sees the gallery before or after a write, never in the middle of one, and a write
    that raises has changed nothing.
    """

    @property
    def dimension(self) -> int:
        """The length of every embedding here."""

    @property
    def metric(self) -> Metric:
        """How distance is measured: `cosine` is 1 - a·b of unit vectors, `l2` is not squared."""

    @property
    def recall(self) -> float:
        """The share of the ten nearest that searches find, when last measured; exact is 1."""

    def add(self, references: Sequence[Reference], embeddings: Embeddings) -> None:
        """Take embeddings (n, d) under new keys, or raise DuplicateKey or a BadEmbeddings."""

    def fill(self, keys: Keys, embeddings: Embeddings) -> None:
        """Take embeddings (n, d) under keys (n,) where there are none yet, or raise as `add`.

        An array that can be written to is taken over, not copied: it is the gallery's from now on.
        """

    def remove(self, keys: Sequence[int]) -> None:
        """Drop these references, or raise UnknownKey."""

    def search(self, probes: Embeddings, k: int, *, exact: bool = False) -> Neighbours:
        """Return the k nearest references of each probe (n, d), or raise a BadEmbeddings.

        Each distance is exact. With `exact` so is who is found; else a large gallery may miss a
        few of the k, at most one in a hundred of ten.
        """

    def contenders(
        self, probes: Embeddings, barred: Sequence[Sequence[int]]
    ) -> list[tuple[Keys, Keys]]:
        """Return rows of probes (p,) and keys (r,) that may be nearest to one of them, by cosine.

        The nearest of each probe (n, d), but for the keys barred for it, is in a pair with it.
        """

    def embeddings(self, keys: Sequence[int]) -> Embeddings:
        """Return the stored embeddings (m, d) in the order asked, or raise UnknownKey."""

    def __len__(self) -> int: ...


class BadEmbeddings(ValueError):
    """Embeddings that this gallery cannot compare."""


class DimensionMismatch(BadEmbeddings):
    """Embeddings of another length, or another number of them, than asked for."""


class NotFinite(BadEmbeddings):
    """An embedding holds NaN or infinity."""


class NotUnit(BadEmbeddings):
    """A cosine gallery was given a vector whose norm is not 1."""


class DuplicateKey(ValueError):
    """A key was added that the gallery, or the same call, already holds."""


class UnknownKey(LookupError):
    """A key was asked for that the gallery does not hold."""


def distances(probes: Embeddings, references: Embeddings, metric: Metric) -> Embeddings:
    """Return the distance of every pair, float32 (n, m).

    Worked out in float64 and rounded once, so that a pair's distance is the same to the last bit
    whatever else is in the batch, and equal vectors are equally far from anything.
    """
    a, b = probes.astype(np.float64), references.astype(np.float64)
    if metric == "cosine":
        # The product is rounded, not the difference: near 1 that hides the order of summation.
        close: Embeddings = (a @ b.T).astype(np.float32)
        apart: Embeddings = np.maximum(np.float32(1) - close, np.float32(0))
        return apart
    name = "euclidean" if metric == "l2" else "cityblock"
    far: Embeddings = scipy.spatial.distance.cdist(a, b, name)
    return far.astype(np.float32)


def checked(vectors: Embeddings, dimension: int, metric: Metric) -> Embeddings:
    """Return the vectors as contiguous float32 (n, dimension), or raise a BadEmbeddings."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise DimensionMismatch(f"expected embeddings (n, {dimension}), got {rows.shape}")
    off = np.zeros(len(rows), np.float32)
    if metric == "cosine":
        off = np.abs(np.sqrt(np.einsum("ij,ij->i", rows, rows)) - 1)
        if (off <= UNIT_TOLERANCE).all():  # and so all are finite
            return rows
    if not np.isfinite(rows).all():
        raise NotFinite("an embedding holds NaN or infinity")
    if metric == "cosine":
        raise NotUnit(f"expected norms of 1 ± {UNIT_TOLERANCE}, one is off by {off.max():.2g}")
    return rows


def checked_keys(
    references: Sequence[Reference], embeddings: Embeddings, known: "SupportsContains"
) -> list[int]:
    """Return the references' keys, all new and one for each embedding, or raise."""
    keys = [reference.key for reference in references]
    if len(keys) != len(embeddings):
        raise DimensionMismatch(f"{len(keys)} references came with {len(embeddings)} embeddings")
    if len(set(keys)) < len(keys) or any(key in known for key in keys):
        twice = next(key for i, key in enumerate(keys) if key in known or key in keys[:i])
        raise DuplicateKey(f"key {twice} is already enrolled")
    return keys


def demand_one_each(keys: Keys, embeddings: Embeddings) -> None:
    """Raise unless there is one key for each embedding."""
    if len(keys) != len(embeddings):
        raise DimensionMismatch(f"{len(keys)} keys came with {len(embeddings)} embeddings")


class SupportsContains(Protocol):
    """Anything that knows which keys it holds."""

    def __contains__(self, key: object, /) -> bool: ...
