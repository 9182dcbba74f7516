"""A whole gallery as it comes from the store: chunks become arrays that an index takes at once."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from index import Frozen
from index.frozen import Numbers
from service.store.kept import References

MANY = 100_000
"""Objects that it takes too long to search for garbage again and again."""


def overlap(chunks: Sequence[References]) -> bool:
    """Whether a name or a sample was read of two identities: something changed in between."""
    names = [name for chunk in chunks for name in chunk.names.values()]
    samples = np.concatenate([np.empty(0, np.int64), *(chunk.samples for chunk in chunks)])
    samples.sort()
    return len(set(names)) < len(names) or bool((samples[1:] == samples[:-1]).any())


def joined(chunks: Sequence[References]) -> tuple[Numbers, Frozen]:
    """Return the numbers of all identities (N,), and what is held of them; some chunk at least."""
    names = {number: name for chunk in chunks for number, name in chunk.names.items()}
    owners = np.concatenate([chunk.identities for chunk in chunks])  # rising, as chunks come
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    numbers = owners[firsts]
    return numbers, Frozen(
        identities=[names[number] for number in numbers.tolist()],
        counts=np.diff(firsts, append=len(owners)),
        keys=np.concatenate([chunk.samples for chunk in chunks]),
        embeddings=np.concatenate([chunk.embeddings for chunk in chunks]),
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
