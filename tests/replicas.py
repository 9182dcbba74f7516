"""Galleries in memory, without a store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np

from index import Identifier, NumpyGallery, Reference
from models_store import Comparator
from service.replicas.replica import Replica
from service.store.kept import GallerySettings, GalleryState, Position


def replica(comparator: Comparator, name: str = "default", enrolled=()) -> Replica:
    """Return a gallery with an identity for each of the embeddings (n, d)."""
    at = Position("lineage", len(enrolled), "")
    settings = GallerySettings(name, comparator.title, comparator.digest)
    state = GalleryState(settings, datetime.now(UTC), at, 0, 0, 0, 0, 0, 0)
    index = new_index(comparator, state)
    references = [Reference(row, f"glyph-{row}") for row in range(len(enrolled))]
    embeddings = np.array(enrolled, np.float32).reshape(-1, comparator.manifest.dimension)
    index.enroll(references, embeddings)
    return Replica(state, comparator, index, new_index, ThreadPoolExecutor(1), at)


def new_index(comparator: Comparator, _state: GalleryState) -> Identifier:
    """Return an empty index over the bundle's strangers."""
    dimension, metric = comparator.manifest.dimension, comparator.manifest.distance
    return Identifier(lambda: NumpyGallery(dimension, metric), comparator.score, comparator.cohort)
