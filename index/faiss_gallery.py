"""The in-process engine: FAISS finds a shortlist, float64 settles it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import faiss
import numpy as np
import numpy.typing as npt

from index.contenders import contenders
from index.gallery import (
    DuplicateKey,
    Embeddings,
    Keys,
    Metric,
    Neighbours,
    Reference,
    UnknownKey,
    checked,
    checked_keys,
    demand_one_each,
    distances,
)
from index.readers_writer import ReadersWriterLock
from index.row_numbers import RowNumbers

FAISS_METRIC = {
    "cosine": faiss.METRIC_INNER_PRODUCT,
    "l2": faiss.METRIC_L2,
    "l1": faiss.METRIC_L1,
}
# Numbers in the probes, from which they are searched for by one matrix product. FAISS would scan
# for each of up to a thousand probes: sixteen together then cost each three times as much.
faiss.cvar.distance_compute_blas_threshold = 512
FEW = 32  # probes, for which a second thread waits for more than it does, and that by spinning
_SPARE = 8  # how many more than k are shortlisted, for float32 to misorder
_ROUNDING = 1e-5  # relative error granted to float32 sums over a few thousand dimensions


@contextmanager
def threads_for(probes: int) -> Iterator[None]:
    """Let FAISS search for few probes on one thread, for more on all that the caller may use."""
    before = faiss.omp_get_max_threads()  # of the calling thread
    faiss.omp_set_num_threads(1 if probes < FEW else before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class FaissGallery:
    """A Gallery that answers as `NumpyGallery` does, by FAISS's exhaustive search.

    The rows lie in one array that doubles when full. FAISS searches it in place, so a removal is
    the last row moved into the gap, and nothing is kept twice.
    """

    recall: float = 1.0

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric: Metric = metric
        self._embeddings = np.empty((0, dimension), dtype=np.float32)
        self._keys = np.empty(0, dtype=np.int64)
        self._row = RowNumbers()
        self._lock = ReadersWriterLock()  # FAISS lets go of the GIL but guards nothing itself

    def add(self, references: Sequence[Reference], embeddings: Embeddings) -> None:
        """Take embeddings under new keys."""
        rows = checked(embeddings, self.dimension, self.metric)
        with self._lock.writing():
            keys = checked_keys(references, rows, self._row)
            start, stop = len(self._row), len(self._row) + len(keys)
            self._reserve(stop)
            self._embeddings[start:stop] = rows
            self._keys[start:stop] = keys
            self._row.put(keys, start)
            self._written(len(keys))

    def fill(self, keys: Keys, embeddings: Embeddings) -> None:
        """Take embeddings under the first keys, all at once; what can be written to, as it is."""
        rows = checked(embeddings, self.dimension, self.metric)
        demand_one_each(keys, rows)
        with self._lock.writing():
            if len(self._row):
                raise DuplicateKey("other keys are already enrolled")
            try:
                self._row.fill(keys)
            except ValueError as twice:
                raise DuplicateKey(str(twice)) from None
            self._embeddings = rows if rows.flags.writeable else rows.copy()
            self._keys = keys.astype(np.int64)
            self._written(len(keys))

    def remove(self, keys: Sequence[int]) -> None:
        """Drop these references."""
        with self._lock.writing():
            self._rows_of(keys)
            for key in set(keys):
                gap, last = self._row.pop(key), len(self._row)
                self._moving(last, gap)
                if gap < last:
                    self._embeddings[gap] = self._embeddings[last]
                    self._keys[gap] = self._keys[last]
                    self._row.move(int(self._keys[gap]), gap)
                self._embeddings[last] = 0  # what was forgotten is not left lying in memory
            self._written(len(keys))

    def search(self, probes: Embeddings, k: int, *, exact: bool = False) -> Neighbours:
        """Return the k nearest references of each probe, exactly whatever is asked."""
        asked = checked(probes, self.dimension, self.metric)
        with self._lock.reading():
            return self._nearest(asked, min(k, len(self._row)), exact=exact)

    def contenders(
        self, probes: Embeddings, barred: Sequence[Sequence[int]]
    ) -> list[tuple[Keys, Keys]]:
        """Return which references may be nearest to which probes."""
        with self._lock.reading():
            held = self._embeddings[: len(self._row)]
            found = contenders(probes, held, list(map(self._rows_of, barred)))
            return [(some, self._keys[rows]) for some, rows in found]

    def embeddings(self, keys: Sequence[int]) -> Embeddings:
        """Return the stored embeddings in the order asked."""
        with self._lock.reading():
            found: Embeddings = self._embeddings[self._rows_of(keys)]
            return found

    def __len__(self) -> int:
        return len(self._row)

    def _nearest(self, probes: Embeddings, k: int, *, exact: bool) -> Neighbours:
        if len(probes) == 0 or 2 * k >= len(self._row):
            return self._exhaustive(probes, k)
        return self._shortlisted(probes, k)

    def _shortlisted(self, probes: Embeddings, k: int) -> Neighbours:
        """Search with spare candidates, and deeper where rounding or ties could hide one."""
        keys = np.empty((len(probes), k), dtype=np.int64)
        far = np.empty((len(probes), k), dtype=np.float32)
        count, depth = len(self._row), k + _SPARE
        pending = np.arange(len(probes))
        while len(pending):
            depth = min(depth, count)
            rough, rows = self._knn(probes[pending], 0, count, depth)
            for i, row in zip(pending, rows, strict=True):
                exact = distances(probes[i : i + 1], self._embeddings[row], self.metric)[0]
                own = self._keys[row]
                order = np.lexsort((own, exact))[:k]
                keys[i], far[i] = own[order], exact[order]
            settled = self._nearest_outside(probes[pending], rough[:, -1]) > far[pending, -1]
            pending = pending[~settled] if depth < count else pending[:0]
            depth *= 4
        return Neighbours(keys, far)

    def _knn(
        self, probes: Embeddings, start: int, stop: int, depth: int
    ) -> tuple[Embeddings, npt.NDArray[np.int64]]:
        """Return what FAISS finds among some rows, counted from `start`: both (n, depth)."""
        with threads_for(len(probes)):
            found: tuple[Embeddings, npt.NDArray[np.int64]] = faiss.knn(
                probes, self._embeddings[start:stop], depth, FAISS_METRIC[self.metric]
            )
        return found

    def _nearest_outside(self, probes: Embeddings, last: Embeddings) -> Embeddings:
        """Return how near, rounding granted, a reference beyond FAISS's last could be (n,)."""
        if self.metric == "cosine":
            outside: Embeddings = 1 - last - _ROUNDING
        elif self.metric == "l1":
            outside = last * (1 - _ROUNDING)
        else:
            # FAISS may expand (a - b)²: its error is relative to the norms, not to the distance.
            norms = (probes**2).sum(axis=1)
            outside = np.sqrt(np.maximum(last - _ROUNDING * (3 * norms + 2 * last), 0))
        return outside

    def _exhaustive(self, probes: Embeddings, k: int) -> Neighbours:
        """Sort every distance: as cheap, where a large part of them is asked for."""
        count = len(self._row)
        far = distances(probes, self._embeddings[:count], self.metric)
        keys = np.broadcast_to(self._keys[:count], far.shape)
        order = np.lexsort((keys, far), axis=1)[:, :k]
        return Neighbours(
            np.take_along_axis(keys, order, axis=1), np.take_along_axis(far, order, axis=1)
        )

    def _moving(self, row: int, to: int) -> None:
        """For who keeps more of the rows: the last takes the place of one that is dropped."""

    def _written(self, count: int) -> None:
        """For who keeps more of the rows: so many were added or dropped."""

    def _rows_of(self, keys: Sequence[int]) -> list[int]:
        try:
            return self._row.of(keys)
        except KeyError as missing:
            raise UnknownKey(f"key {missing} is not enrolled") from None

    def _reserve(self, count: int) -> None:
        if count <= len(self._keys):
            return
        room = max(count, 2 * len(self._keys))
        embeddings = np.zeros((room, self.dimension), dtype=np.float32)
        keys = np.zeros(room, dtype=np.int64)
        held = len(self._row)
        embeddings[:held], keys[:held] = self._embeddings[:held], self._keys[:held]
        self._embeddings, self._keys = embeddings, keys
