"""The port behind which identities are kept."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from models_store import Sample
from service.store.intake import Admitted, Intake
from service.store.kept import (
    Change,
    Counts,
    Enrolled,
    Enrollment,
    GallerySettings,
    GalleryState,
    KeptIdentity,
    Metadata,
    Position,
    References,
    Rejection,
    StoredCohort,
    StoredIdentity,
)


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

    async def enroll_all(self, intake: Intake) -> Admitted:
        """Do enrollments, of which there is one at least, in order, many in one durable write.

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
