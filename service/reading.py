"""A whole gallery as it comes from the store: chunks become arrays that an index takes at once."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from index import Frozen
from index.frozen import Numbers
from service.identities import References


def overlap(chunks: Sequence[References]) -> bool:
    """Whether a name or a sample was read of two identities: something changed in between."""
    names = [name for chunk in chunks for name in chunk.names.values()]
    samples = np.concatenate([np.empty(0, np.int64), *(chunk.samples for chunk in chunks)])
    return len(set(names)) < len(names) or len(np.unique(samples)) < len(samples)


def joined(chunks: Sequence[References]) -> tuple[Numbers, Frozen]:
    """Return the numbers of all identities (N,), and what is held of them; some chunk at least."""
    names = {number: name for chunk in chunks for number, name in chunk.names.items()}
    numbers, counts = np.unique(
        np.concatenate([chunk.identities for chunk in chunks]), return_counts=True
    )
    return numbers, Frozen(
        identities=[names[number] for number in numbers.tolist()],
        counts=counts,
        keys=np.concatenate([chunk.samples for chunk in chunks]),
        embeddings=np.concatenate([chunk.embeddings for chunk in chunks]),
        centroids=None,
        searches={},
    )


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Let millions of objects that stay be made, and not be searched for garbage meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
