"""Edits: made, undone, and those that can be."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel

from service.store.edits import Edit, Edited
from service.store.kept import GallerySettings
from service.use_cases.editing import Similar


class EditAnswer(BaseModel):
    """An edit that is durable as of `version`, and which samples it moved.

    Of an undoing, `undone` is the version of what was undone, and `operation` what that was.
    """

    gallery: str
    version: int
    operation: Literal["rename", "merge", "split", "patch"] | None
    samples: list[str]
    undone: int | None

    @classmethod
    def of(cls, gallery: str, done: Edited) -> Self:
        """Shape an edit as the store did it."""
        change = done.change
        return cls(
            gallery=gallery,
            version=done.version,
            operation=done.operation or (change.operation if change else None),
            samples=[str(sample) for sample in change.samples] if change else [],
            undone=done.undone,
        )


class Settings(BaseModel):
    """What a gallery decided by; null is as the service or the comparator has it."""

    rule: str | None
    target_fpir: float | None
    prior_known: float | None

    @classmethod
    def of(cls, settings: GallerySettings | None) -> Self | None:
        """Shape what of settings can be changed."""
        if settings is None:
            return None
        return cls.model_validate(settings, from_attributes=True)


class EditEntry(BaseModel):
    """An edit that can be undone by its `version`. Identities have the names of now.

    `identity` was renamed from `name`, or had `name` merged into it, or `samples` split off to
    `other`; null where there is none of them any more.
    """

    version: int
    operation: Literal["rename", "merge", "split", "patch"]
    at: datetime
    identity: str | None
    other: str | None
    name: str | None
    to: str | None
    samples: list[str]
    before: Settings | None
    after: Settings | None

    @classmethod
    def of(cls, edit: Edit) -> Self:
        """Shape an edit."""
        return cls(
            version=edit.version,
            operation=edit.operation,
            at=edit.at,
            identity=edit.identity,
            other=edit.other,
            name=edit.name,
            to=edit.to,
            samples=[str(sample) for sample in edit.samples],
            before=Settings.of(edit.before),
            after=Settings.of(edit.after),
        )


class SimilarIdentity(BaseModel):
    """Another identity, and the best score that a sample of the one asked about has with it."""

    identity: str
    score: float


class SimilarAnswer(BaseModel):
    """Who is most like an identity, the most alike first."""

    gallery: str
    identity: str
    version: int
    similar: list[SimilarIdentity]

    @classmethod
    def of(cls, found: Similar) -> Self:
        """Shape who is alike."""
        return cls(
            gallery=found.gallery,
            identity=found.identity,
            version=found.version,
            similar=[SimilarIdentity(identity=name, score=score) for name, score in found.others],
        )


class EditsAnswer(BaseModel):
    """The edits of a gallery that can be undone, the newest first."""

    gallery: str
    edits: list[EditEntry]

    @classmethod
    def of(cls, gallery: str, edits: Sequence[Edit]) -> Self:
        """Shape a list of edits."""
        return cls(gallery=gallery, edits=[EditEntry.of(edit) for edit in edits])
