"""What a store refuses, and what keeps it from its work."""

from collections.abc import Sequence
from typing import Literal


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
