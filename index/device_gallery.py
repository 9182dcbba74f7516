"""A gallery that is searched on a GPU, exactly."""

import threading
from collections.abc import Callable
from functools import cache

import faiss
import numpy as np
import numpy.typing as npt

from index.faiss_gallery import FAISS_METRIC, FaissGallery
from index.gallery import Embeddings, Metric

_DEEPEST = 2048  # neighbours that a GPU finds at once
_SCRATCH = 256 * 2**20  # bytes of the GPU for its own work

_TURN = threading.Lock()  # what a GPU works with is not for two threads


class DeviceGallery(FaissGallery):
    """A FaissGallery whose shortlists are made by another index, with a copy of the rows.

    That index is made by `new_index` and is on the GPU unless told otherwise. It is brought level
    by the next search after a change: what was added is added there, and after a removal all is
    copied anew.
    """

    def __init__(
        self,
        dimension: int,
        metric: Metric,
        *,
        new_index: Callable[[int, int], faiss.Index] | None = None,
    ) -> None:
        super().__init__(dimension, metric)
        self._copy = (new_index or _on_gpu)(dimension, FAISS_METRIC[metric])
        self._same = 0  # rows from the first on that the copy has as they are now

    def _moving(self, row: int, to: int) -> None:
        self._same = min(self._same, to, row)

    def _knn(
        self, probes: Embeddings, start: int, stop: int, depth: int
    ) -> tuple[Embeddings, npt.NDArray[np.int64]]:
        if depth > _DEEPEST or (start, stop) != (0, len(self._row)):
            return super()._knn(probes, start, stop, depth)
        with _TURN:
            if self._same < self._copy.ntotal:
                self._copy.reset()
                self._same = 0
            if self._same < stop:
                self._copy.add(self._embeddings[self._same : stop])
                self._same = stop
            found: tuple[Embeddings, npt.NDArray[np.int64]] = self._copy.search(probes, depth)
        return found


def gpus() -> int:
    """Return how many GPUs FAISS can use; none where it was built without."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "GpuIndexFlat") else 0


def _on_gpu(dimension: int, metric: int) -> faiss.Index:
    return faiss.GpuIndexFlat(_resources(), dimension, metric)


@cache
def _resources() -> "faiss.StandardGpuResources":
    """Return what all galleries share of the first GPU."""
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_SCRATCH)
    return resources
