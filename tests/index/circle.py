"""Points on a circle, whose scores can be worked out by hand."""

import numpy as np

from index.gallery import Reference
from index.numpy_gallery import NumpyGallery
from index.roster import Roster


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def by_degrees(distances: np.ndarray) -> np.ndarray:
    """A score that falls from 1 at 0° to 0 at 100°, in a straight line: easy to work out."""
    degrees = np.degrees(np.arccos(np.clip(1 - distances, -1, 1)))
    return np.clip(1 - degrees / 100, 0, 1)


def enrolled(**samples: list[float]) -> Roster:
    """A roster of identities with samples at these degrees, keys counted from 0."""
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)
    pairs = [(name, degree) for name, degrees in samples.items() for degree in degrees]
    references = [Reference(key, name) for key, (name, _) in enumerate(pairs)]
    roster.enroll(references, on_circle(*[degree for _, degree in pairs]))
    roster.keep_centroids()
    return roster
