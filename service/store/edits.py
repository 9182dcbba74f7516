"""A gallery edited: what can be undone, and the port to the store that does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from service.store.kept import Change, Embedding, GallerySettings

EditOperation = Literal["rename", "merge", "split", "patch"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit that can be undone. Identities are told by the names that they have now.

    `identity` was renamed, or had another merged into it, or samples split off; `other` is to whom
    these went. `name` and `to` are before and after a renaming; `name` is who was merged.
    """

    version: int
    operation: EditOperation
    at: datetime
    identity: str | None
    other: str | None
    name: str | None
    to: str | None
    samples: tuple[int, ...]  # that it moved, or set aside, and that were not forgotten since
    before: GallerySettings | None  # of a patch
    after: GallerySettings | None


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit, or the undoing of one, that the store will not lose."""

    version: int
    change: Change | None  # None: all was so already
    replayed: bool = False  # whether this is the kept result of an earlier call
    undone: int | None = None  # which edit was undone
    operation: EditOperation | None = None  # … and what that was


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejection that is remembered; `change` is None where it was so already."""

    id: str
    version: int
    change: Change | None


class EditStore(Protocol):
    """Galleries edited, each edit one change that can be undone. Raises as `IdentityStore` does.

    While a gallery has two comparators it is not edited: `MigrationConflict`. Each write takes an
    idempotency key, kept for 24 hours, or None; `IdempotencyKeyReused` if it had another payload.
    """

    async def rename(
        self, gallery: str, identity: str, to: str, idempotency_key: str | None = None
    ) -> Edited:
        """Give an identity another name, or raise `UnknownIdentity` or `IdentityExists`."""

    async def merge(
        self, gallery: str, identity: str, into: str, idempotency_key: str | None = None
    ) -> Edited:
        """Let all samples of an identity be another's, and the identity be no more.

        A sample that the other has already, byte by byte, is set aside. Samples keep their ids,
        and the other its name and metadata. Raises `UnknownIdentity`.
        """

    async def split(
        self,
        gallery: str,
        identity: str,
        samples: Sequence[int],
        into: str,
        idempotency_key: str | None = None,
    ) -> Edited:
        """Let some samples be another identity's, who is made if there is none of that name.

        Raises `UnknownIdentity` or `UnknownSample`. Who loses all samples stays, without any.
        """

    async def patch(self, before: GallerySettings, after: GallerySettings) -> Change:
        """Replace a gallery's settings, or raise `EditConflict` if they are not those before."""

    async def undo(
        self,
        gallery: str,
        version: int | None,
        *,
        settings: bool,
        idempotency_key: str | None = None,
    ) -> Edited:
        """Undo an edit, or the last, by a change of its own.

        Without `settings`, patches are passed over. Raises `UnknownEdit`, or `EditConflict` where
        something that rests on the edit came since. What was forgotten since stays forgotten.
        """

    async def reject(
        self, gallery: str, digest: str, identity: str, embedding: Embedding
    ) -> Rejected:
        """Remember of a probe (d,) that it was not an identity, nor its like.

        Raises `UnknownIdentity`, `ModelMismatch` or `RejectionsFull`. Forgetting the identity
        forgets it too.
        """

    async def accept(self, gallery: str, rejection: str) -> Change:
        """Take a rejection back, or raise `UnknownRejection`."""

    async def edits(self, gallery: str) -> list[Edit]:
        """Return the edits that can be undone, the newest first."""
