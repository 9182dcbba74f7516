"""Rows of an array, listed by which centre is nearest: where to look first."""

from math import sqrt
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from index.faiss_gallery import threads_for
from index.gallery import Embeddings

SAMPLED = 32  # rows a list that centres are found by
_ROUNDS = 8  # of k-means
_ASSIGNED = 16_384  # rows at once

Rows = npt.NDArray[np.int64]


class InvertedLists:
    """The first `listed` rows of an array, each in the list of its centre; not guarded.

    A list has of each row what it differs from the centre by, in a byte a number: a quarter of
    the array besides it (IVFADC of Jégou, Douze and Schmid, Product quantization for nearest
    neighbor search, 2011, with a scalar quantiser). So distances here are an order to look in,
    and never an answer. Which centres there are depends on the sample (m, d) alone.
    """

    def __init__(self, sample: Embeddings, rows: int) -> None:
        dimension = sample.shape[1]
        self._centres = faiss.IndexFlatL2(dimension)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._centres,
            dimension,
            min(lists_of(rows), len(sample)),
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_L2,
        )
        self._index.cp.niter = _ROUNDS
        self._index.cp.min_points_per_centroid = 1
        self._index.train(sample)
        self._lists: Any = self._index.invlists
        self._of_row = np.empty(rows, np.int32)
        self.listed = 0
        self.trained_for = rows

    def __len__(self) -> int:
        """How many lists there are."""
        return int(self._index.nlist)

    def reserve(self, embeddings: Embeddings) -> None:
        """Make room for all these rows (n, d), and no more than they need."""
        counts = np.zeros(len(self), np.int64)
        for start in range(0, len(embeddings), _ASSIGNED):
            centres = self.centres(embeddings[start : start + _ASSIGNED])
            counts += np.bincount(centres, minlength=len(self))
        for number, count in enumerate(counts.tolist()):
            self._lists.resize(number, count)
            self._lists.resize(number, 0)

    def centres(self, embeddings: Embeddings) -> Rows:
        """Return which centre each is nearest to (n,)."""
        found: Rows = self._centres.search(embeddings, 1)[1][:, 0]
        return found

    def put(self, embeddings: Embeddings, centres: Rows) -> None:
        """List the rows after those that are listed (n, d), of these centres."""
        start, stop = self.listed, self.listed + len(embeddings)
        if stop > len(self._of_row):
            self._of_row = np.resize(self._of_row, max(stop, len(self._of_row) * 5 // 4))
        self._add(embeddings, np.arange(start, stop), centres)
        self._of_row[start:stop] = centres
        self.listed = stop

    def move(self, row: int, embedding: Embeddings, to: int) -> None:
        """Let the last row of the array (1, d) take the place of one that is dropped.

        It may be the same one, and either may not be listed yet.
        """
        if to >= self.listed:
            return
        self._drop(to)
        if row >= self.listed:  # it would lie among the listed
            centre = self.centres(embedding)
            self._add(embedding, np.array([to]), centre)
            self._of_row[to] = centre[0]
            return
        if row != to:
            ids, _ = self._list(int(self._of_row[row]))
            ids[ids == row] = to
            self._of_row[to] = self._of_row[row]
        self.listed -= 1

    def nearest(self, probes: Embeddings, depth: int, looked_into: int) -> Rows:
        """Return about the `depth` nearest rows of each probe (n, d), of so many lists; -1: none.

        They come in the order in which they seem to be near.
        """
        how = faiss.SearchParametersIVF()
        how.nprobe = looked_into
        with threads_for(len(probes)):
            found: Rows = self._index.search(probes, depth, params=how)[1]
        return found

    def lists_needed(self, probe: Embeddings, rows: Rows) -> Rows:
        """Return how many lists have to be looked into to find each of these (m,) for a probe."""
        order = self._centres.search(probe, len(self))[1][0]
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(1, len(self) + 1)
        listed = rows < self.listed
        return np.where(listed, place[self._of_row[np.where(listed, rows, 0)]], 1)

    def _add(self, embeddings: Embeddings, rows: Rows, centres: Rows) -> None:
        arrays = (embeddings, rows, np.ascontiguousarray(centres))
        self._index.add_core(len(rows), *[faiss.swig_ptr(each) for each in arrays])

    def _drop(self, row: int) -> None:
        number = int(self._of_row[row])
        ids, codes = self._list(number)
        at, last = int(np.flatnonzero(ids == row)[0]), len(ids) - 1
        ids[at], codes[at] = ids[last], codes[last]
        codes[last] = 0  # what was forgotten is not left lying in memory
        self._lists.resize(number, last)

    def _list(self, number: int) -> tuple[Rows, npt.NDArray[np.uint8]]:
        """Return a list's rows (n,) and codes (n, bytes), where they lie."""
        count, width = self._lists.list_size(number), self._lists.code_size
        ids = faiss.rev_swig_ptr(self._lists.get_ids(number), count)
        codes = faiss.rev_swig_ptr(self._lists.get_codes(number), count * width)
        return ids, codes.reshape(count, width)


def lists_of(rows: int) -> int:
    """Return how many lists so many rows are put in.

    Then finding the nearest centres costs about what looking through their lists does.
    """
    return max(1, round(2 * sqrt(rows)))
