"""Which versions of what we depend on are too old to meet strangers: they have known holes."""

import importlib.metadata
import re
from collections.abc import Mapping
from types import MappingProxyType

FLOORS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "pillow": ("13.0.0", "two decoders have critical holes"),
        "python-multipart": ("0.0.30", "a small body may cost much processor time"),
        "starlette": ("1.3.1", "a request's path may be taken for another"),
        "h11": ("0.16.0", "a chunked body may smuggle a request"),
        "onnxruntime": ("1.24", "loading a model is less guarded than bundles are checked for"),
    }
)
"""By distribution the oldest version that is served with, and what is wrong with older ones."""


class TooOld(Exception):
    """A dependency has a known hole; the message says which, and what to install."""


def check_floors(floors: Mapping[str, tuple[str, str]] = FLOORS) -> None:
    """Raise TooOld if anything installed is below its floor; what is not installed is no hole."""
    for name, (floor, hole) in floors.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if _parts(found) < _parts(floor):
            raise TooOld(f"{name} {found} is installed, in which {hole}: install {name}>={floor}")


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version as they count: of a pre-release those before it."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:4])
