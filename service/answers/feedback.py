"""What became of what people say of decisions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel

from service.store.kept import Rejection
from service.use_cases.feedback import Judged


class FeedbackAnswer(BaseModel):
    """A verdict that is durable as of `version`: the `sample` enrolled, or the `rejection`."""

    gallery: str
    identity: str
    verdict: Literal["confirm", "reject"]
    version: int
    sample: str | None
    outcome: Literal["added", "duplicate"] | None
    rejection: str | None
    warnings: list[str]

    @classmethod
    def of(cls, done: Judged) -> Self:
        """Shape what became of a verdict."""
        return cls(
            gallery=done.gallery,
            identity=done.identity,
            verdict=done.verdict,
            version=done.version,
            sample=None if done.sample is None else str(done.sample),
            outcome=done.outcome,
            rejection=done.rejection,
            warnings=done.warnings,
        )


class RejectionEntry(BaseModel):
    """Something was said not to be an identity; `id` takes it back."""

    id: str
    identity: str
    created: datetime


class RejectionsAnswer(BaseModel):
    """What a gallery remembers not to be whom, the oldest first."""

    gallery: str
    rejections: list[RejectionEntry]

    @classmethod
    def of(cls, gallery: str, kept: Sequence[Rejection], names: Mapping[int, str]) -> Self:
        """Shape rejections of identities by their names of now."""
        return cls(
            gallery=gallery,
            rejections=[
                RejectionEntry(id=each.id, identity=names[each.identity], created=each.created)
                for each in kept
                if each.identity in names
            ],
        )
