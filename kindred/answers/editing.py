"""What edits of a gallery, and verdicts on decisions, are answered with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kindred.answers.deciding import Result

Operation = Literal["rename", "merge", "split", "patch"]


@dataclass(frozen=True, slots=True)
class EditAnswer:
    """An edit that is durable as of `version`, and which samples it moved.

    Of an undoing, `undone` is the version of what was undone, and `operation` what that was.
    """

    gallery: str
    version: int
    operation: Operation | None
    samples: tuple[str, ...]
    undone: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gallery decided by; None is as the service or the comparator has it."""

    rule: str | None
    target_fpir: float | None
    prior_known: float | None


@dataclass(frozen=True, slots=True)
class EditEntry:
    """An edit that can be undone by its `version`. Identities have the names of now.

    `identity` was renamed from `name`, or had `name` merged into it, or `samples` split off to
    `other`; None where there is none of them any more.
    """

    version: int
    operation: Operation
    at: datetime
    identity: str | None
    other: str | None
    name: str | None
    to: str | None
    samples: tuple[str, ...]
    before: Settings | None
    after: Settings | None


@dataclass(frozen=True, slots=True)
class EditsAnswer:
    """The edits of a gallery that can be undone, the newest first."""

    gallery: str
    edits: tuple[EditEntry, ...]


@dataclass(frozen=True, slots=True)
class SimilarIdentity:
    """Another identity, and the best score that a sample of the one asked about has with it."""

    identity: str
    score: float


@dataclass(frozen=True, slots=True)
class SimilarAnswer:
    """Who is most like an identity, the most alike first."""

    gallery: str
    identity: str
    version: int
    similar: tuple[SimilarIdentity, ...]


@dataclass(frozen=True, slots=True)
class DecisionAnswer:
    """A decision of `identify`, read again as it was made."""

    gallery: str
    comparator: str
    digest: str
    version: int
    identities: int
    at: datetime
    result: Result


@dataclass(frozen=True, slots=True)
class FeedbackAnswer:
    """A verdict that is durable as of `version`: the `sample` enrolled, or the `rejection`."""

    gallery: str
    identity: str
    verdict: Literal["confirm", "reject"]
    version: int
    sample: str | None
    outcome: Literal["added", "duplicate"] | None
    rejection: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RejectionEntry:
    """Something was said not to be an identity; `id` takes it back."""

    id: str
    identity: str
    created: datetime


@dataclass(frozen=True, slots=True)
class RejectionsAnswer:
    """What a gallery remembers not to be whom, the oldest first."""

    gallery: str
    rejections: tuple[RejectionEntry, ...]
