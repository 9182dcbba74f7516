"""A call: what is sent, and what its answer is read as."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from kindred.reading import read
from kindred.samples import Sample

T = TypeVar("T")
Side = Literal["a", "b"]
Rule = Literal["max", "mean", "centroid", "knn"]
Samples = Sample | Iterable[Sample]

PIECE = 2**20  # bytes
TOLD = "*"  # a gallery that the answer names; no gallery has that name
NDJSON = {"content-type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What is sent, and how its answer is read.

    `repeatable` tells that sending it twice does what sending it once does. `sees` is the gallery
    of which the answer must know what was written before, `writes` the one whose version the
    answer tells (TOLD: it names it), `ends` the one of which nothing that was known holds any
    more. `also` are the statuses besides 2xx that are no problems. What is `slow` works on a whole
    folder or gallery, for as long as the service allows.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: Mapping[str, Any] = field(default_factory=dict)  # as httpx takes it
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str | float] = field(default_factory=dict)
    repeatable: bool = False
    sees: str | None = None
    writes: str | None = None
    ends: str | None = None
    also: frozenset[int] = frozenset()
    slow: bool = False


def getting(
    path: str, kind: type[T], *, slow: bool = False, **params: str | float | None
) -> Call[T]:
    """Return a call that asks for what lies under a path."""
    given = {name: value for name, value in params.items() if value is not None}
    return Call("GET", path, read_as(kind), params=given, repeatable=True, slow=slow)


def read_as(kind: type[T]) -> Callable[[bytes], T]:
    """Return how a body of JSON is read."""
    return lambda content: read(kind, json.loads(content))


def path_of(*names: str) -> str:
    """Return the path of these names, whatever they are made of."""
    return "/" + "/".join(quote(name, safe="@") for name in names)


def in_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body of what was said; what is None was not."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"content": json.dumps(given, allow_nan=False).encode()}
