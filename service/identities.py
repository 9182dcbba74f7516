"""Identities: what a gallery's store keeps, and the port to it."""

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

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
        asked = [self.identity, metadata_json(self.metadata)]
        asked += [sample.fingerprint for sample in self.samples]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


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


@dataclass(frozen=True, slots=True)
class EnrolledSample:
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


class UnknownGallery(LookupError):
    """No such gallery."""


class UnknownIdentity(LookupError):
    """No such identity in the gallery."""


class UnknownSample(LookupError):
    """The identity has no such sample."""


class IdentityExists(Exception):
    """An identity of that name is there already."""


class UnknownEdit(LookupError):
    """There is no such edit that could be undone."""


class UnknownRejection(LookupError):
    """There is no such rejection."""


class RejectionsFull(Exception):
    """The gallery remembers as many rejections as it may."""


class EditConflict(Exception):
    """An edit cannot be made or undone, for something that it rests on has changed."""


class GalleryExists(Exception):
    """A gallery of that name is there already."""


class ModelMismatch(Exception):
    """The embeddings come from another model than the gallery's."""


class IdempotencyKeyReused(Exception):
    """The key was used before, for another payload."""


class OriginalsFull(Exception):
    """The gallery would keep more bytes of samples than it may."""


class OriginalsMissing(Exception):
    """Another comparator cannot embed samples of these identities: there is nothing to embed.

    `identities` are the first of them, by name.
    """

    def __init__(self, message: str, identities: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.identities = list(identities)


class UnknownMigration(LookupError):
    """The gallery has one comparator, and is to get no other."""


class MigrationConflict(Exception):
    """A migration is not where it must be for that."""


class ImportBroken(Exception):
    """What was staged is not what was sent; nothing of it is kept."""


class OutOfStep(Exception):
    """The log does not go on from this position (trimmed, restored, made anew): read it all."""


class StoreError(Exception):
    """The store did not do what it was asked; `outcome` is what became of a write."""

    outcome: Literal["absent", "unknown"] = "absent"


class StoreUnavailable(StoreError):
    """The store cannot be reached, or did not answer in time."""

    outcome = "unknown"


class NotDurable(StoreError):
    """The write was done, but not confirmed to be on disk (and on the replicas) in time."""

    outcome = "unknown"


class StoreNotReady(StoreError):
    """The store is still reading its data."""


class StoreReadOnly(StoreError):
    """The store takes no writes."""


class StoreFull(StoreError):
    """The store has no room left, in memory or on disk."""


class IdentityStore(Protocol):
    """Galleries and who is enrolled in them: the ground truth that an index is derived from.

    A write that returns is durable as configured. One that raises a `StoreError` has that
    error's `outcome`; an enrollment of unknown outcome is settled by asking again with the same
    idempotency key. Every method may raise `StoreError`, and each that names a gallery
    `UnknownGallery`.
    """

    async def create_gallery(self, settings: GallerySettings) -> GalleryState:
        """Make an empty gallery at version 0, or raise `GalleryExists`."""

    async def galleries(self) -> list[GalleryState]:
        """Return every gallery, ordered by name."""

    async def gallery(self, name: str) -> GalleryState:
        """Return one gallery."""

    async def delete_gallery(self, name: str) -> None:
        """Delete a gallery, and then all that it held."""

    async def sweep(self) -> None:
        """Finish the deletions that a killed process left half done. For start-up."""

    async def enroll(self, enrollment: Enrollment) -> Enrolled:
        """Keep samples under an identity: all of them, or none.

        Raises `ModelMismatch`, `OriginalsFull` and `IdempotencyKeyReused`. Keys are remembered for
        24 hours. An original is also kept of a sample that is there without.
        """

    async def enroll_all(self, enrollments: Sequence[Enrollment]) -> list[Enrolled | Exception]:
        """Do enrollments of one gallery and model in order, many in one durable write.

        Each has the outcome that `enroll` would have, or the error that it would raise; none
        hinders the others. Those that shared a write have the same `StoreError` if it fails.
        """

    async def forget_identity(self, gallery: str, identity: str) -> Change:
        """Forget an identity with all its samples, or raise `UnknownIdentity`."""

    async def forget_sample(self, gallery: str, identity: str, sample: int) -> Change:
        """Forget one sample, or raise `UnknownIdentity` or `UnknownSample`.

        An identity that loses its last sample stays, with its metadata and without samples.
        """

    async def update_metadata(
        self, gallery: str, identity: str, metadata: Metadata | None
    ) -> Change:
        """Replace an identity's metadata, or raise `UnknownIdentity`."""

    async def put_cohort(self, gallery: str, digest: str, cohort: StoredCohort) -> Change:
        """Replace the gallery's own strangers, or raise `ModelMismatch`."""

    async def cohort(self, gallery: str, at: Position) -> StoredCohort | None:
        """Return the own strangers of that lineage; None when it has none of its own."""

    async def rejections(self, gallery: str, at: Position) -> list[Rejection]:
        """Return what was said not to be whom, in that lineage, the oldest first."""

    async def identity(self, gallery: str, name: str) -> StoredIdentity:
        """Return one identity, or raise `UnknownIdentity`."""

    async def identities(
        self, gallery: str, after: int = 0, limit: int = 100
    ) -> list[StoredIdentity]:
        """Return identities in the order they came, those numbered above `after`.

        Pass the last one's number to go on: no page is lost when that one is forgotten.
        """

    async def changes(self, gallery: str, since: Position, limit: int = 1000) -> list[Change]:
        """Return the changes after `since`, oldest first; raise `OutOfStep` when it cannot."""

    def load(self, gallery: str, at: Position) -> AsyncIterator[References]:
        """Read all references, chunk by chunk.

        Changes made meanwhile may or may not be in it: follow up with `changes(since=at)`, and
        for each identity that a change names put what `references` gives in place of what was
        there. Rows already there then come out the same.
        """

    async def references(
        self, gallery: str, at: Position, identities: Collection[int]
    ) -> References:
        """Return the references that these identities have now; none for one that is gone."""

    def everything(self, gallery: str, at: Position) -> AsyncIterator[list[KeptIdentity]]:
        """Read all identities with all that is kept of them, chunk by chunk.

        Changes made meanwhile may or may not be in it: see `load`, and `kept`.
        """

    async def kept(
        self, gallery: str, at: Position, identities: Collection[int]
    ) -> list[KeptIdentity]:
        """Return all that is kept of these identities now; one that is gone is not listed."""

    async def originals(
        self, gallery: str, identity: int, samples: Sequence[int]
    ) -> list[Sample | None]:
        """Return what clients sent of samples of an identity; None of one that is not kept."""

    async def begin_import(self, gallery: str) -> str:
        """Return a lineage in which a gallery can be built unseen."""

    async def stage(
        self, gallery: str, lineage: str, identities: Mapping[int, KeptIdentity | None]
    ) -> None:
        """Keep identities in that lineage by number, in place of what is there; None: gone.

        Raises `ImportBroken` if a name or a sample of an identity is there twice.
        """

    async def stage_originals(
        self, gallery: str, lineage: str, originals: Mapping[tuple[int, int], Sample]
    ) -> None:
        """Keep what clients sent in that lineage, by identity number and sample id.

        An identity that is staged again has none until it is told anew. Raises `ImportBroken`
        where there is no such sample, `OriginalsFull`.
        """

    async def stage_cohort(self, gallery: str, lineage: str, cohort: StoredCohort) -> None:
        """Keep the gallery's own strangers in that lineage."""

    async def stage_rejections(
        self, gallery: str, lineage: str, rejections: Sequence[Rejection]
    ) -> None:
        """Keep what was said not to be whom in that lineage, after all identities.

        Raises `ImportBroken` where there is no such identity.
        """

    async def finish_import(
        self, settings: GallerySettings, lineage: str, created: datetime, counts: Counts
    ) -> GalleryState:
        """Make a lineage the gallery's own, at once and whole.

        Its version is that of `counts`, or of the empty gallery it takes the place of, if higher.
        Raises `GalleryExists` if somebody is enrolled there or it has strangers of its own,
        `ModelMismatch` if it is another model's, `ImportBroken` if `counts` are not those staged.
        """

    async def abandon_import(self, gallery: str, lineage: str) -> None:
        """Remove all that was staged."""

    async def owes_rewrite(self) -> bool:
        """Whether the store's append-only file may hold what was erased."""

    async def rewrite(self) -> None:
        """Let the store write its append-only file anew, and note what is out of it then."""

    async def check(self) -> list[str]:
        """Return why the store must not be trusted with writes; empty when all is well.

        It looks at version, role, loading, persistence, eviction and write errors, and then
        makes one small durable write. It does not raise.
        """

    async def close(self) -> None:
        """Give back every connection."""


def metadata_json(metadata: Metadata | None) -> str:
    """Return metadata as the one JSON text that equal metadata has; empty for None."""
    if metadata is None:
        return ""
    return json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
