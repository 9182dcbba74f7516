"""A gallery that finds nearly all of the nearest in a tenth of the time, once it is large."""

import ctypes
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil

import faiss
import numpy as np
import numpy.typing as npt

from index.faiss_gallery import FaissGallery
from index.gallery import Embeddings, Metric, Neighbours, distances
from index.inverted_lists import SAMPLED, InvertedLists, Rows, lists_of

RECALL = 0.99  # the share of the ten nearest that is found at least
_AIMED_AT = 0.995
_NEIGHBOURS = 10
_TRIED = 256  # own samples that recall is measured with
_MOST_LISTS = 4  # to look into more than a quarter of the lists does not pay
_EXHAUSTIVE = 10_000  # rows, up to which all lists are looked into
_SPARE = 16  # how many more than k are re-scored at least
_BLOCK = 4096  # rows listed at a time; so many not yet listed are searched one by one
_CHANGED = 0.1  # share of the rows after whose change recall is measured again
_GROWN = 4  # times as many rows as the lists were made for

log = logging.getLogger("kindred.index")


class ApproximateGallery(FaissGallery):
    """A FaissGallery that moves by itself to inverted lists above `above` references.

    It does so in a thread of its own, while searches, additions and removals go on. How many
    lists are looked into is measured, with a sample of its own embeddings, each searched for
    without itself: at least .99 of the ten nearest must be found. Where that takes too many
    lists, search stays exact. Whatever is found has its exact distance, by the embeddings
    themselves. Lists depend on what is held when they are made, and on the order of keys.
    """

    def __init__(self, dimension: int, metric: Metric, *, above: int) -> None:
        super().__init__(dimension, metric)
        self._above = above
        self._lists: InvertedLists | None = None
        self._coming: InvertedLists | None = None  # not searched yet
        self._looked_into = 0
        self._changed = 0  # rows since recall was measured
        self._outworn = False  # other lists are to be made
        self._hopeless = 0  # rows of which too many lists had to be looked into
        self._working: threading.Thread | None = None

    @property
    def approximate(self) -> bool:
        """Whether searches that are not asked to be exact may miss a few."""
        return self._lists is not None

    def settle(self) -> None:
        """Wait until all that is done in the background is done."""
        while (working := self._working) is not None:
            working.join()

    def _nearest(self, probes: Embeddings, k: int, *, exact: bool) -> Neighbours:
        lists = self._lists
        if exact or lists is None or 2 * k >= len(self._row) or not len(probes):
            return super()._nearest(probes, k, exact=exact)
        return self._listed(lists, self._looked_into, probes, k)

    def _listed(
        self, lists: InvertedLists, looked_into: int, probes: Embeddings, k: int
    ) -> Neighbours:
        """Re-score what the lists give, and deeper where the last of it is as near as the k-th."""
        keys = np.empty((len(probes), k), dtype=np.int64)
        far = np.empty((len(probes), k), dtype=np.float32)
        pending, depth = np.arange(len(probes)), k + max(_SPARE, k // 4)
        while len(pending):
            listed = lists.nearest(probes[pending], depth, looked_into)
            others = self._not_listed(lists, probes[pending], depth)
            deeper = []
            for i, near, new in zip(pending.tolist(), listed, others, strict=True):
                near = near[near >= 0]
                rows = np.concatenate([near, new])
                if len(rows) < k:
                    found = super()._nearest(probes[i : i + 1], k, exact=True)
                    keys[i], far[i] = found.keys[0], found.distances[0]
                    continue
                exact = distances(probes[i : i + 1], self._embeddings[rows], self.metric)[0]
                own = self._keys[rows]
                order = np.lexsort((own, exact))[:k]
                keys[i], far[i] = own[order], exact[order]
                lasts = [len(near) - 1] * (len(near) == depth)
                lasts += [len(rows) - 1] * (depth < len(self._row) - lists.listed)
                if any(exact[last] <= far[i, -1] for last in lasts):
                    deeper.append(i)
            pending, depth = np.array(deeper, np.int64), 4 * depth
        return Neighbours(keys, far)

    def _not_listed(self, lists: InvertedLists, probes: Embeddings, depth: int) -> Rows:
        """Return the nearest of those rows that are not listed yet (n, at most `depth`)."""
        start, stop = lists.listed, len(self._row)
        if start == stop:
            return np.empty((len(probes), 0), np.int64)
        return start + self._knn(probes, start, stop, min(depth, stop - start))[1]

    # What follows is done under the lock for writing.

    def _moving(self, row: int, to: int) -> None:
        for lists in (self._lists, self._coming):
            if lists is not None:
                lists.move(row, self._embeddings[row : row + 1], to)

    def _written(self, count: int) -> None:
        self._changed += count
        if 2 * len(self._row) < self._above:
            self._lists, self.recall, self._hopeless = None, 1.0, 0
        if self._working is None and self._due():
            working = threading.Thread(target=self._work, name="index", daemon=True)
            working.start()
            self._working = working  # only what is started can be waited for

    def _due(self) -> Callable[[], None] | None:
        """Return what is to be done in the background now."""
        rows, lists = len(self._row), self._lists
        if lists is None:
            return self._make if rows > max(self._above, 1.5 * self._hopeless) else None
        if self._outworn or rows > _GROWN * lists.trained_for:
            return self._make
        if rows - lists.listed >= _BLOCK:
            return lambda: self._list_all(lists)
        return self._measure_again if self._changed > _CHANGED * rows else None

    # What follows is done in the background.

    def _work(self) -> None:
        faiss.omp_set_num_threads(1)  # of this thread alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # requests go first
        while True:
            with self._lock.writing():
                task = self._due()
                if task is None:
                    self._working = None
                    return
            try:
                task()
            except Exception:
                log.exception("listing a gallery failed; its search is exact")
                with self._lock.writing():
                    self._lists, self._coming, self.recall = None, None, 1.0
                    self._hopeless = len(self._row)

    def _make(self) -> None:
        """Make lists beside those in use, if any, and use them if they find enough."""
        with self._lock.reading():
            rows = len(self._row)
            if not rows:
                return
            by_key = np.argsort(self._keys[:rows], kind="stable")
            sample = self._embeddings[by_key[_spread(rows, SAMPLED * lists_of(rows))]]
        lists = InvertedLists(sample, rows)
        del sample
        # Rows may move meanwhile: it is only about how many there are.
        lists.reserve(self._embeddings[:rows])
        self._coming = lists
        self._list_all(lists)
        looked_into, recall = self._measure(lists)
        with self._lock.writing():
            self._coming, self._outworn, self._changed = None, False, 0
            if recall >= RECALL:
                self._lists, self._looked_into, self.recall = lists, looked_into, recall
            else:
                self._lists, self.recall, self._hopeless = None, 1.0, rows
        used = "search looks into" if self.approximate else "search stays exact: it would be in"
        told = "%d references: %s %d of %d lists, which finds %.4f of the nearest"
        log.info(told, rows, used, looked_into, len(lists), recall)
        _give_back()

    def _list_all(self, lists: InvertedLists) -> None:
        """List what is not listed, a block at a time, until little can have come meanwhile."""
        full = True
        while full:
            with self._lock.reading():
                start, stop = lists.listed, min(lists.listed + _BLOCK, len(self._row))
                full = stop - start == _BLOCK
                keys, embeddings = self._keys[start:stop].copy(), self._embeddings[start:stop]
                centres = lists.centres(embeddings) if len(keys) else np.empty(0, np.int64)
            with self._lock.writing():
                held = lists.listed == start and stop <= len(self._row)
                if held and np.array_equal(keys, self._keys[start:stop]):
                    lists.put(self._embeddings[start:stop], centres)
                else:
                    full = True  # some of them were removed: once more

    def _measure_again(self) -> None:
        lists = self._lists
        if lists is None:
            return
        looked_into, recall = self._measure(lists)
        with self._lock.writing():
            self._changed = 0
            if self._lists is lists:
                self._looked_into, self.recall = looked_into, recall
                self._outworn = recall < RECALL

    def _measure(self, lists: InvertedLists) -> tuple[int, float]:
        """Return how many lists are to be looked into, and the share of the nearest found so."""
        with self._lock.reading():
            keys = np.sort(self._keys[: len(self._row)])
        sample = keys[_spread(len(keys), _TRIED)].tolist()
        trials = [trial for key in sample if (trial := self._trial(lists, key))]
        if len(keys) <= _EXHAUSTIVE:
            most = looked_into = len(lists)
        else:
            most = max(1, len(lists) // _MOST_LISTS)
            needed = np.concatenate([trial.lists for trial in trials])
            looked_into = min(most, ceil(1.1 * float(np.quantile(needed, _AIMED_AT))))
        while True:
            recall = self._found(lists, looked_into, trials)
            if recall >= _AIMED_AT or looked_into == most:
                return looked_into, recall
            looked_into = min(most, ceil(1.25 * looked_into))

    def _trial(self, lists: InvertedLists, key: int) -> "_Trial | None":
        """Return what the search for an own sample is to find besides itself; None: it is gone."""
        with self._lock.reading():
            if key not in self._row:
                return None
            probe = self._embeddings[self._rows_of([key])]
            k = min(_NEIGHBOURS + 1, len(self._row))
            found = super()._nearest(probe, k, exact=True)
            others = found.keys[0] != key
            nearest = found.keys[0][others][:_NEIGHBOURS].tolist()
            needed = lists.lists_needed(probe, np.array(self._rows_of(nearest), np.int64))
        return _Trial(probe, key, nearest, needed, found.distances[0][others][:_NEIGHBOURS])

    def _found(self, lists: InvertedLists, looked_into: int, trials: "Sequence[_Trial]") -> float:
        """Return what share of the nearest is found: as many at least as near as the farthest."""
        found, sought = 0, 0
        for trial in trials:
            with self._lock.reading():
                there = [key in self._row for key in trial.nearest]
                k = min(_NEIGHBOURS + 1, len(self._row))
                near = self._listed(lists, looked_into, trial.probe, k)
            far = near.distances[0][near.keys[0] != trial.key]
            within = np.count_nonzero(far <= trial.far[there].max(initial=-1))
            found, sought = found + min(int(within), sum(there)), sought + sum(there)
        return found / sought if sought else 0.0


@dataclass(frozen=True, slots=True)
class _Trial:
    """A probe (1, d), its own key, its nearest, how many lists each needs, and how far it is."""

    probe: Embeddings
    key: int
    nearest: list[int]
    lists: Rows
    far: Embeddings


def _give_back() -> None:
    """Let the system have the memory that training took: the allocator would keep it."""
    with suppress(AttributeError, OSError):  # another C library may have no such call
        ctypes.CDLL(None).malloc_trim(0)


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Return up to `most` of so many, evenly."""
    return np.arange(min(count, most)) * count // max(1, min(count, most))
