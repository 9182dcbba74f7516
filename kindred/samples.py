"""What may be given as a sample, and how it is sent."""

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, cast


class Text(str):
    """Words to compare; a plain `str` is the path of a file."""

    __slots__ = ()


class Vector(Protocol):
    """An array of one axis, such as NumPy's: an embedding that is ready to be compared."""

    def tolist(self) -> Any:
        """Return its numbers."""


Sample: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | BinaryIO
    | Vector
    | Sequence[float]
    | Mapping[str, str | Sequence[float]]
)
"""A path, a file's bytes, an open file, `Text`, or an embedding: an array or list of numbers.

Or one of these as the service's JSON has it, in a mapping.
"""

EXPECTED = "expected a path, bytes, an open file, Text, or an embedding of one axis"
_ONE = (str, os.PathLike, bytes, bytearray, memoryview, Mapping)


def document_of(sample: Sample) -> dict[str, Any]:
    """Return a sample as JSON has it: `{base64}`, `{text}` or `{embedding}`.

    Raises OSError for a file that cannot be read, and TypeError for what is no sample.
    """
    if isinstance(sample, Mapping):
        return dict(sample)
    if isinstance(sample, Text):
        return {"text": str(sample)}
    if isinstance(sample, str | os.PathLike):
        return _encoded(Path(sample).read_bytes())
    if isinstance(sample, bytes | bytearray | memoryview):
        return _encoded(bytes(sample))
    if hasattr(sample, "read"):
        return _encoded(sample.read())
    numbers = _numbers_of(sample)
    if not isinstance(numbers, list) or not all(isinstance(number, Real) for number in numbers):
        raise TypeError(f"{EXPECTED}, got {type(sample).__name__}")
    return {"embedding": numbers}


def documents_of(samples: Sample | Iterable[Sample]) -> list[dict[str, Any]]:
    """Return one sample, or each of many.

    Raises OSError and TypeError as `document_of` does, and TypeError for an array of whole numbers
    of two axes: that is a picture's pixels.
    """
    if _is_one(samples):
        return [document_of(cast(Sample, samples))]
    if not isinstance(samples, Iterable):
        raise TypeError(f"{EXPECTED}, or many of them, got {type(samples).__name__}")
    if getattr(samples, "ndim", 1) == 2 and _are_whole(samples):
        raise TypeError(
            "expected embeddings of floating point, got an array of whole numbers: "
            "a picture is sent as the bytes of its file"
        )
    return [document_of(cast(Sample, sample)) for sample in samples]


def _numbers_of(sample: Any) -> Any:
    if hasattr(sample, "tolist"):
        return sample.tolist()
    return list(sample) if isinstance(sample, Iterable) else None


def _are_whole(rows: Any) -> bool:
    return any(isinstance(number, int) for row in rows.tolist()[:1] for number in row)


def _is_one(samples: Any) -> bool:
    if isinstance(samples, _ONE) or hasattr(samples, "read"):
        return True
    if hasattr(samples, "tolist"):
        return getattr(samples, "ndim", 1) == 1
    return isinstance(samples, list | tuple) and bool(samples) and isinstance(samples[0], Real)


def _encoded(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode("ascii")}
