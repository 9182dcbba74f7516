"""A gallery's second comparator: how far its embeddings are made, and the port to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from service.store.kept import Change, Embedding, GallerySettings, GalleryState

State = Literal["building", "ready", "switched"]


@dataclass(frozen=True, slots=True)
class Migration:
    """A gallery with two comparators: one is in force, and the other is its shadow.

    Each has a lineage of its own with embeddings of the same samples. `changed` tells that the
    shadow is what the gallery was made with, and in force what it was migrated to.
    """

    gallery: str
    in_force: GallerySettings
    shadow: GallerySettings
    lineage: str  # in force
    beside: str  # lineage of the shadow
    changed: bool
    started: datetime
    done: int  # identities that the shadow has as far as it can
    total: int
    embeddings: int  # of the shadow
    samples: int  # in force
    cursor: int  # the last identity of a first pass over all; they are numbered
    passed: bool  # whether that pass is over
    pending: int  # identities of whom the shadow has still to make an embedding, besides
    left: int  # identities of whom it cannot make one: no original, or not one for it
    left_names: Sequence[str]  # the first of these
    own_strangers: bool  # whether users uploaded strangers to the comparator in force
    version: int
    automatic: bool  # to be switched as soon as it is ready
    leave_behind: bool  # … although some are left
    agreement: str | None  # as JSON, once it was measured
    trouble: str | None  # what keeps it from going on

    @property
    def state(self) -> State:
        """`ready` is when all embeddings are made that can be."""
        if self.changed:
            return "switched"
        return "ready" if self.level else "building"

    @property
    def level(self) -> bool:
        """Whether the shadow has all embeddings that it can have."""
        return self.passed and not self.pending


@dataclass(frozen=True, slots=True)
class Lacking:
    """An identity, and of which samples its shadow lacks an embedding that can be made."""

    number: int
    samples: Mapping[int, int]  # sample id → bytes of its original


class MigrationStore(Protocol):
    """Galleries with two comparators. Raises as `IdentityStore` does.

    Whatever concerns a migration that is not under way any more, or was switched meanwhile, raises
    `UnknownMigration` or `MigrationConflict`, and changes nothing.
    """

    async def begin(
        self,
        state: GalleryState,
        dimension: int,
        shadow: GallerySettings,
        shadow_dimension: int,
        *,
        automatic: bool,
        leave_behind: bool,
    ) -> None:
        """Give a gallery a second comparator, or raise `OriginalsMissing` if it keeps nothing."""

    async def migration(self, gallery: str, names: int = 0) -> Migration:
        """Return how far it is, with that many names of those left."""

    async def claim(self, gallery: str, worker: str, seconds: float) -> bool:
        """Whether this worker is the one to make embeddings, from now on for so long."""

    async def lacking(
        self, gallery: str, beside: str, after: int | None, limit: int
    ) -> list[Lacking]:
        """Return the identities numbered above `after`; None: those pending."""

    async def mirror(
        self, gallery: str, beside: str, made: Mapping[int, Mapping[int, Embedding | None]]
    ) -> None:
        """Let the shadow have identities as they are now, and embeddings of their samples.

        None is of one that the shadow's comparator cannot embed. What was forgotten meanwhile is
        passed over.
        """

    async def note(self, gallery: str, beside: str, **told: str | int) -> None:
        """Remember how far it is: `cursor`, `passed`, `agreement`, `trouble`."""

    async def switch(self, gallery: str, beside: str, *, leave_behind: bool) -> GalleryState:
        """Put the shadow in force, at once and whole; what was in force is the shadow then.

        Raises `MigrationConflict` unless it is level, and `OriginalsMissing` if some are left.
        """

    async def end(self, gallery: str, beside: str) -> Change:
        """Forget the shadow with all its embeddings."""
