"""What a client sends of one thing to compare, and why it may be turned away."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models_store.manifest import Modality


@dataclass(frozen=True, slots=True)
class Sample:
    """The bytes of one image, clip or text, as they came.

    `modality` is None where the sender left it open: then the bytes are what the comparator takes.
    """

    content: bytes
    modality: Modality | None = None


@dataclass(frozen=True, slots=True)
class ReadyEmbedding:
    """An embedding that the client computed, float32 of shape (d,)."""

    values: npt.NDArray[np.float32]


Given = Sample | ReadyEmbedding


@dataclass(frozen=True, slots=True)
class SampleLimits:
    """What one sample may be, known from its header before it is decoded wherever that can be."""

    pixels: int = 25_000_000
    least_side: int = 10
    aspect_ratio: float = 20.0
    seconds: float = 120.0
    channels: int = 8
    characters: int = 20_000


class Unusable(Exception):
    """The sample cannot be compared; the message says what was expected."""


class Undecodable(Unusable):
    """The bytes are not what a comparator of this modality can decode."""


class SampleOutOfBounds(Unusable):
    """The sample is larger, longer or stranger in shape than the limits allow."""


class Degenerate(Unusable):
    """There is nothing in the sample, or it leads to no finite, non-zero embedding."""


class WrongModality(Exception):
    """The comparator compares another kind of sample on this side."""
