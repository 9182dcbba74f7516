"""A whole gallery as it comes from the store: chunks become arrays that an index takes at once."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from index import Frozen
from index.frozen import Numbers
from service.store.kept import Embedding, References

MANY = 100_000
"""Objects that it takes too long to search for garbage again and again."""


class Gathered:
    """Chunks as they come, with their embeddings in one array, as far as it has `room` for rows.

    So none is held twice, and none is left to be copied when the last has come.
    """

    def __init__(self, room: int) -> None:
        self.chunks: list[References] = []
        self._room = room
        self._rows: Embedding = np.empty((0, 0), np.float32)
        self._count = 0  # rows of the array that are taken …
        self._came = 0  # … and rows that came

    def add(self, chunk: References) -> None:
        """Take the next chunk; all are as wide."""
        if not self.chunks:
            self._rows = np.empty((self._room, chunk.embeddings.shape[1]), np.float32)
        stop = self._count + len(chunk.samples)
        if self._count == self._came and stop <= self._room:
            self._rows[self._count : stop] = chunk.embeddings
            chunk = replace(chunk, embeddings=self._rows[self._count : stop])
            self._count = stop
        self._came += len(chunk.samples)
        self.chunks.append(chunk)

    @property
    def embeddings(self) -> Embedding:
        """The embeddings of all chunks (n, d)."""
        if self._count == self._came:
            return self._rows[: self._count]
        return np.concatenate([chunk.embeddings for chunk in self.chunks])


def overlap(chunks: Sequence[References]) -> bool:
    """Whether a name or a sample was read of two identities: something changed in between."""
    names = [name for chunk in chunks for name in chunk.names.values()]
    samples = np.concatenate([np.empty(0, np.int64), *(chunk.samples for chunk in chunks)])
    samples.sort()
    return len(set(names)) < len(names) or bool((samples[1:] == samples[:-1]).any())


def joined(gathered: Gathered) -> tuple[Numbers, Frozen]:
    """Return the numbers of all identities (N,), and what is held of them; some chunk at least."""
    chunks = gathered.chunks
    names = {number: name for chunk in chunks for number, name in chunk.names.items()}
    owners = np.concatenate([chunk.identities for chunk in chunks])  # rising, as chunks come
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    numbers = owners[firsts]
    return numbers, Frozen(
        identities=[names[number] for number in numbers.tolist()],
        counts=np.diff(firsts, append=len(owners)),
        keys=np.concatenate([chunk.samples for chunk in chunks]),
        embeddings=gathered.embeddings,
        centroids=None,
        searches={},
    )


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Let millions of objects that stay be made, and never be searched for garbage.

    Few are left to be searched: what was garbage already would stay with them for good.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] >= MANY:
            gc.freeze()
        if enabled:
            gc.enable()
