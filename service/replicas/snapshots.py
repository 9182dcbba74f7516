"""A gallery's arrays on disk: what the store says, kept at hand for a quick start."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

import index
import models_store
from index import Frozen, FrozenBest, FrozenSearch, Rule
from service.replicas.contents import (
    ENDING,
    FORMAT,
    Content,
    CorruptSnapshot,
    ReadAhead,
    checked,
    content,
)
from service.store.kept import Embedding, Position, StoredCohort

_ALIGNED: Final = 64  # bytes; arrays begin at a multiple of it
_TYPES: Final = ("<f4", "<f8", "<i8", "|u1")
_RULES: Final[tuple[Rule, ...]] = get_args(Rule)
_BEST: Final = ("best", "holders")
_TRIED: Final = ("tried", "held_out", "own", "left")

Arrays = dict[str, NDArray[Any]]
Outcome = Literal["used", "absent", "corrupt", "foreign", "stale"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A gallery at a position of its log: who is enrolled, and what was found by searching.

    `searched` tells that the latter was found by the code that runs now.
    """

    gallery: str
    digest: str  # of the comparator
    position: Position
    numbers: NDArray[np.int64]  # (N,) of the identities, as they stand in `frozen`
    cohort: StoredCohort | None
    frozen: Frozen
    searched: bool = True


class Snapshots:
    """A file for each gallery, `<gallery>.snapshot`, in a folder of this user alone.

    It is a cache: whoever finds none reads the store. Each ends with the SHA-256 of all before,
    and is there whole or not at all. `on_read` is told what became of each attempt to read one.
    `read` waits for a file that is read `ahead`; one that is never asked for is let go when it is
    removed or written.
    """

    def __init__(
        self,
        folder: Path,
        on_read: Callable[[Outcome], None] = lambda _outcome: None,
        *,
        ahead: ReadAhead | None = None,
    ) -> None:
        self._folder = folder
        self.on_read = on_read
        self._ahead = ahead or {}

    def read(self, gallery: str, digest: str, lineage: str) -> Snapshot | None:
        """Return a gallery's snapshot, if it is whole, of that comparator and of that lineage."""
        ahead = self._ahead.pop(gallery, None)
        try:
            found = _read(ahead.result() if ahead else content(self._path(gallery)))
        except OSError:
            self.on_read("absent")
            return None
        except CorruptSnapshot:
            self.on_read("corrupt")
            return None
        if (found.gallery, found.digest) != (gallery, digest):
            self.on_read("foreign")
        elif found.position.lineage != lineage:
            self.on_read("stale")
        else:
            return found
        return None

    def write(self, snapshot: Snapshot) -> None:
        """Put a snapshot in place of the one there."""
        self._ahead.pop(snapshot.gallery, None)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._folder / f"{snapshot.gallery}.{os.getpid()}.partial"
        try:
            with partial.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                checksum = hashlib.sha256()
                for piece in _pieces(snapshot):
                    checksum.update(piece)
                    file.write(piece)
                file.write(checksum.digest())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path(snapshot.gallery))
            self._sync()
        finally:
            partial.unlink(missing_ok=True)

    def remove(self, gallery: str) -> None:
        """Remove a gallery's snapshot, if there is one."""
        self._ahead.pop(gallery, None)
        with contextlib.suppress(FileNotFoundError):
            self._path(gallery).unlink()
            self._sync()

    def galleries(self) -> list[str]:
        """Return which galleries have one."""
        return sorted(path.name.removesuffix(ENDING) for path in self._folder.glob(f"*{ENDING}"))

    def sweep(self) -> None:
        """Remove what a killed process has left half written. For start-up."""
        for partial in self._folder.glob("*.partial"):
            partial.unlink(missing_ok=True)

    def _path(self, gallery: str) -> Path:
        return self._folder / f"{gallery}{ENDING}"

    def _sync(self) -> None:
        """Make a new or removed name as durable as the file."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def encoded(snapshot: Snapshot) -> bytes:
    """Return a snapshot as `decoded` reads it."""
    pieces = b"".join(_pieces(snapshot))
    return pieces + hashlib.sha256(pieces).digest()


def decoded(file: bytes) -> Snapshot:
    """Return the snapshot, whose arrays lie in a file's bytes; raise CorruptSnapshot."""
    return _read(checked(np.frombuffer(file, np.uint8)))


def _read(body: Content) -> Snapshot:
    try:
        return _snapshot(body)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CorruptSnapshot("its parts do not fit together") from error


def _pieces(snapshot: Snapshot) -> Iterator[bytes | memoryview]:
    arrays = _arrays(snapshot)
    header = {
        "gallery": snapshot.gallery,
        "digest": snapshot.digest,
        "position": [getattr(snapshot.position, name) for name in Position.__slots__],
        "code": code(),
        "calibration": snapshot.cohort.calibration if snapshot.cohort else None,
        "put": snapshot.cohort.put if snapshot.cohort else None,
        "arrays": [[name, array.dtype.str, array.shape] for name, array in arrays.items()],
    }
    text = json.dumps(header).encode()
    start = FORMAT + len(text).to_bytes(8, "little") + text
    yield start + bytes(-len(start) % _ALIGNED)
    for array in arrays.values():
        plain = np.ascontiguousarray(array)
        yield memoryview(plain.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # before PEP 688 arrays are no Buffer
        yield bytes(-plain.nbytes % _ALIGNED)


def _arrays(snapshot: Snapshot) -> Arrays:
    frozen = snapshot.frozen
    names = "\n".join(frozen.identities).encode()
    arrays: Arrays = {
        "names": np.frombuffer(names, np.uint8),
        "numbers": snapshot.numbers.astype("<i8"),
        "counts": frozen.counts.astype("<i8"),
        "keys": frozen.keys.astype("<i8"),
        "embeddings": frozen.embeddings.astype("<f4", copy=False),
    }
    if frozen.centroids is not None:
        arrays["centroids"] = frozen.centroids.astype("<f4", copy=False)
    if snapshot.cohort is not None:
        arrays["cohort identities"] = snapshot.cohort.identities.astype("<i8")
        arrays["cohort embeddings"] = snapshot.cohort.embeddings.astype("<f4")
    for rule, found in frozen.searches.items():
        for whose in ("strangers", "others"):
            for name in _BEST:
                arrays[f"{rule} {whose} {name}"] = getattr(getattr(found, whose), name)
        for name in _TRIED:
            arrays[f"{rule} {name}"] = getattr(found, name)
    return arrays


def _snapshot(body: Content) -> Snapshot:
    at = len(FORMAT)
    length = int.from_bytes(body[at : at + 8].tobytes(), "little")
    at += 8
    header = json.loads(body[at : at + length].tobytes())
    at += length
    arrays: Arrays = {}
    for name, kind, shape in header["arrays"]:
        if kind not in _TYPES:
            raise ValueError(kind)
        at += -at % _ALIGNED
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, kind, count, at).reshape(shape)
        at += arrays[name].nbytes
    cohort = None
    if "cohort identities" in arrays:
        embeddings, identities = arrays["cohort embeddings"], arrays["cohort identities"]
        # Copied, for it is held on to, and would hold the whole file.
        numbers, put = identities.copy(), header.get("put")
        cohort = StoredCohort(embeddings.copy(), numbers, header["calibration"], put)
    return Snapshot(
        gallery=header["gallery"],
        digest=header["digest"],
        position=Position(*header["position"]),
        numbers=arrays["numbers"],
        cohort=cohort,
        frozen=_frozen(arrays),
        searched=header["code"] == code(),
    )


def _frozen(arrays: Arrays) -> Frozen:
    names = arrays["names"].tobytes().decode()
    identities = names.split("\n") if names else []
    embeddings: Embedding = arrays["embeddings"]
    fits = len(set(identities)) == len(arrays["numbers"]) == len(arrays["counts"])
    numbered = np.sort(arrays["numbers"])
    if not fits or (numbered < 1).any() or (numbered[1:] == numbered[:-1]).any():
        raise ValueError("identities without a number of their own")
    if not int(arrays["counts"].sum()) == len(arrays["keys"]) == len(embeddings):
        raise ValueError("arrays of other lengths")
    return Frozen(
        identities,
        arrays["counts"],
        arrays["keys"],
        embeddings,
        arrays.get("centroids"),
        {rule: _search(arrays, rule) for rule in _RULES if f"{rule} tried" in arrays},
    )


def _search(arrays: Arrays, rule: Rule) -> FrozenSearch:
    strangers, others = (
        FrozenBest(*(arrays[f"{rule} {whose} {name}"] for name in _BEST))
        for whose in ("strangers", "others")
    )
    return FrozenSearch(strangers, others, *(arrays[f"{rule} {name}"] for name in _TRIED))


@cache
def code() -> str:
    """Return a SHA-256 of all that decides what a search finds, besides what it searches."""
    found = hashlib.sha256()
    for package in (index, models_store):
        for path in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            found.update(path.read_bytes())
    for library in ("numpy", "scipy"):
        found.update(f"{library} {importlib.metadata.version(library)}".encode())
    return found.hexdigest()
