"""The slowest right answer: every distance, sorted."""

from collections.abc import Sequence

import numpy as np

from index.gallery import (
    Embeddings,
    Keys,
    Metric,
    Neighbours,
    Reference,
    UnknownKey,
    checked,
    checked_keys,
    distances,
)
from index.readers_writer import ReadersWriterLock


class NumpyGallery:
    """A Gallery without an index; what the other engines are held to."""

    recall: float = 1.0

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric: Metric = metric
        self._rows: dict[int, Embeddings] = {}
        self._lock = ReadersWriterLock()

    def add(self, references: Sequence[Reference], embeddings: Embeddings) -> None:
        """Take embeddings under new keys."""
        rows = checked(embeddings, self.dimension, self.metric)
        with self._lock.writing():
            keys = checked_keys(references, rows, self._rows)
            self._rows.update(zip(keys, rows.copy(), strict=True))

    def fill(self, keys: Keys, embeddings: Embeddings) -> None:
        """Take embeddings under the first keys."""
        self.add([Reference(key, "") for key in keys.tolist()], embeddings)

    def remove(self, keys: Sequence[int]) -> None:
        """Drop these references."""
        with self._lock.writing():
            self._known(keys)
            for key in set(keys):
                del self._rows[key]

    def search(self, probes: Embeddings, k: int, *, exact: bool = False) -> Neighbours:
        """Return the k nearest references of each probe, exactly whatever is asked."""
        asked = checked(probes, self.dimension, self.metric)
        with self._lock.reading():
            keys = np.array(sorted(self._rows), dtype=np.int64)
            far = distances(asked, self._stacked(keys.tolist()), self.metric)
        # Columns stand in order of key, so a stable sort leaves ties to the smaller one.
        order = np.argsort(far, axis=1, kind="stable")[:, :k]
        return Neighbours(keys[order], np.take_along_axis(far, order, axis=1))

    def contenders(
        self, probes: Embeddings, barred: Sequence[Sequence[int]]
    ) -> list[tuple[Keys, Keys]]:
        """Return all references: any may be nearest but for those barred."""
        with self._lock.reading():
            keys = np.array(list(self._rows), np.int64)
        return [(np.arange(len(probes)), keys)] if len(keys) else []

    def embeddings(self, keys: Sequence[int]) -> Embeddings:
        """Return the stored embeddings in the order asked."""
        with self._lock.reading():
            self._known(keys)
            return self._stacked(keys)

    def __len__(self) -> int:
        return len(self._rows)

    def _stacked(self, keys: Sequence[int]) -> Embeddings:
        stacked = np.empty((len(keys), self.dimension), dtype=np.float32)
        for row, key in enumerate(keys):
            stacked[row] = self._rows[key]
        return stacked

    def _known(self, keys: Sequence[int]) -> None:
        for key in keys:
            if key not in self._rows:
                raise UnknownKey(f"key {key} is not enrolled")
