"""Labelled embeddings, and the scores of all their pairs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric, distances
from index.roster import Score

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings (n, d) of labelled samples, and how two of them are compared.

    `labels` count identities from 0; `groups` are such as alphabets; `drawers` say who made a
    sample. Of two encoders `of_b` tells which samples are of side b, and a sample is compared with
    those of the other side only.
    """

    embeddings: Embeddings
    labels: Labels  # (n,)
    groups: Labels  # (n,)
    drawers: npt.NDArray[np.str_]  # (n,)
    metric: Metric
    score: Score
    of_b: npt.NDArray[np.bool_] | None = None  # (n,)

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
            of_b=None if self.of_b is None else self.of_b[rows],
        )

    def counts(self, *, of_b: bool) -> Labels:
        """Return how many samples each identity has on a side (identities,), of two encoders."""
        if self.of_b is None:
            raise ValueError("samples of one encoder have no sides")
        return np.bincount(self.labels[self.of_b == of_b], minlength=self.identities)

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
        count = len(self.impostor)
        return (count - int(np.searchsorted(self.impostor, threshold))) / count

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


def all_pairs(embedded: Embedded) -> Pairs:
    """Return the scores of all pairs; they are worked out in blocks, and kept at 4 bytes each."""
    genuine, impostor = [], []
    for rows, columns, scores in _blocks(embedded):
        same = embedded.labels[rows] == embedded.labels[columns]
        genuine.append(scores[same])
        impostor.append(scores[~same])
    return Pairs(np.sort(np.concatenate(genuine)), np.sort(np.concatenate(impostor)))


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
