"""What is kept of galleries and identities, as values."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index import Rule
from models_store import Sample, Side

Embedding = NDArray[np.float32]  # (d,), or (n, d) for n of them
Metadata = Mapping[str, object]  # a JSON object
Operation = Literal[
    "enroll",
    "forget-identity",
    "forget-sample",
    "describe",
    "cohort",
    "migration",
    "rename",
    "merge",
    "split",
    "patch",
    "undo",
    "reject",
    "accept",
]

JUDGING: Final = frozenset({"reject", "accept", "merge", "undo", "forget-identity"})
"""Operations that change what was said not to be whom."""


@dataclass(frozen=True, slots=True)
class GallerySettings:
    """What a gallery was made with; `None` leaves the choice to the comparator's bundle."""

    name: str  # [A-Za-z0-9._~-]{1,128}
    comparator: str  # name@version
    digest: str  # of the bundle's manifest: the model whose embeddings it holds
    rule: Rule | None = None
    target_fpir: float | None = None
    prior_known: float | None = None
    keep_samples: bool = False
    references: Side = "b"  # which side of the comparator embeds what is enrolled

    @property
    def probes(self) -> Side:
        """Which side embeds what is asked about: the other one."""
        return "a" if self.references == "b" else "b"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one gallery's change log, and the only thing that a follower must remember.

    A gallery that was deleted and made again has another lineage, and a store that went back in
    time another hash at that version, so a position cannot be mistaken for somebody else's.
    """

    lineage: str  # 32 hex digits, drawn when the gallery was made
    version: int  # changes so far
    hash: str  # of the change at that version; of none yet: the lineage


@dataclass(frozen=True, slots=True)
class GalleryState:
    """A gallery as the store holds it now."""

    settings: GallerySettings
    created: datetime
    position: Position
    identities: int
    samples: int
    last_identity: int  # the highest number ever given to an identity here
    last_sample: int  # the highest id ever given to a sample here
    erased: int  # the version of the last change that took something away; 0: none has
    rewritten: int  # … and of the last that is out of the store's append-only file too
    kept_bytes: int = 0  # of what clients sent, where the settings let it be kept
    beside: str | None = None  # digest of its second comparator, while it has one

    @property
    def version(self) -> int:
        """Its change counter."""
        return self.position.version


@dataclass(frozen=True, slots=True)
class NewSample:
    """One sample to enroll."""

    fingerprint: str  # SHA-256 of the sample's content, in hex: the same bytes are one sample
    embedding: Embedding  # (d,)
    beside: Embedding | None = None  # by the gallery's second comparator, while it has one
    original: Sample | None = None  # to be kept, where the gallery's settings let it be

    def __post_init__(self) -> None:
        if len(bytes.fromhex(self.fingerprint)) != hashlib.sha256().digest_size:
            raise ValueError("a fingerprint is a SHA-256 in hex")


@dataclass(frozen=True, slots=True)
class Enrollment:
    """Samples to be kept under one identity, which is made when it is not there yet."""

    gallery: str
    digest: str  # the model that made these embeddings
    identity: str
    samples: Sequence[NewSample]
    metadata: Metadata | None = None  # None keeps what the identity has
    idempotency_key: str | None = None
    beside: str | None = None  # the model of the embeddings beside these

    @property
    def payload(self) -> str:
        """A SHA-256 of what is asked for: the same key with another payload is refused.

        By which model it was embedded is not asked for, and may have changed since.
        """
        fingerprints = [sample.fingerprint for sample in self.samples]
        return payload_of(self.identity, self.metadata, fingerprints)


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a gallery's change log. It names by number only: streams do not erase."""

    version: int
    operation: Operation
    identity: int  # its number; 0 where the change is not about one identity
    samples: tuple[int, ...]  # enrolled or forgotten
    digest: str  # the model of the gallery
    previous: str  # hash of the change before
    hash: str
    at: str = ""  # µs since 1970; '' in logs of before there was such a field
    others: tuple[int, ...] = ()  # numbers of more identities that the change is about

    @property
    def identities(self) -> tuple[int, ...]:
        """The numbers of all whom it is about."""
        return (self.identity, *self.others) if self.identity else ()

    def is_intact(self) -> bool:
        """Whether `hash` is the hash of this entry and of what came before it."""
        samples = " ".join(map(str, self.samples))
        about = " ".join(map(str, (self.identity, *self.others)))
        sealed = f"{self.previous}|{self.version}|{self.operation}|{about}|{samples}"
        sealed += f"|{self.digest}" + (f"|{self.at}" if self.at else "")
        digest = hashlib.sha1(sealed.encode(), usedforsecurity=False)
        return digest.hexdigest() == self.hash


class EnrolledSample(NamedTuple):
    """What became of one sample; a duplicate has the id of the sample that was there."""

    id: int  # unique in the gallery and never used again; also the key in the index
    outcome: Literal["added", "duplicate"]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrollment that the store will not lose."""

    version: int
    identity: int  # the identity's number, unique in the gallery and never used again
    samples: tuple[EnrolledSample, ...]  # in the order they were sent
    change: Change | None  # None: nothing was new, and the version is the one it found
    replayed: bool = False  # whether this is the kept result of an earlier call


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One sample of an identity."""

    id: int
    created: datetime


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """An identity as the store holds it, without embeddings."""

    number: int
    name: str
    metadata: Metadata | None
    created: datetime
    samples: tuple[StoredSample, ...]  # oldest first


@dataclass(frozen=True, slots=True)
class References:
    """Enrolled embeddings, one row each, ordered by identity number and then by sample id."""

    samples: NDArray[np.int64]  # (n,)
    identities: NDArray[np.int64]  # (n,) identity numbers
    names: Mapping[int, str]  # identity number -> name
    embeddings: Embedding  # (n, d)


@dataclass(frozen=True, slots=True)
class KeptSample:
    """One sample with all that is kept of it."""

    id: int
    fingerprint: str
    created: datetime
    embedding: Embedding  # (d,)


@dataclass(frozen=True, slots=True)
class KeptIdentity:
    """One identity with all that is kept of it."""

    number: int
    name: str
    created: datetime
    metadata: Metadata | None
    samples: Sequence[KeptSample]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a gallery's counters stand at."""

    version: int
    identities: int
    samples: int
    last_identity: int
    last_sample: int


@dataclass(frozen=True, slots=True)
class StoredCohort:
    """A gallery's own strangers, and what scores are worth among its like."""

    embeddings: Embedding  # (m, d)
    identities: NDArray[np.int64]  # (m,) which of them are the same stranger
    calibration: str | None = None  # JSON as a manifest has it; None: the bundle's
    put: float | None = None  # when, in s since 1970; the store says, None where it has not noted


@dataclass(frozen=True, slots=True)
class Rejection:
    """Of a probe somebody said that it was not an identity."""

    id: str  # 16 hex digits
    identity: int  # its number
    created: datetime
    embedding: Embedding  # (d,)


def payload_of(identity: str, metadata: Metadata | None, fingerprints: Sequence[str]) -> str:
    """Return a SHA-256 of what an enrollment asks for, in hex."""
    asked = [identity, metadata_json(metadata), *fingerprints]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def metadata_json(metadata: Metadata | None) -> str:
    """Return metadata as the one JSON text that equal metadata has; empty for None."""
    if metadata is None:
        return ""
    return json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
