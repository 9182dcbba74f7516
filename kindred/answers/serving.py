"""What the service tells of itself, of its comparators, and of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kindred.answers.deciding import Failure


@dataclass(frozen=True, slots=True)
class About:
    """What answers there, and the paths where to read on."""

    name: str
    version: str
    console: str
    docs: str
    openapi: str
    comparators: str
    health: str
    metrics: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The process answers."""

    alive: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests should go there, and why not."""

    ready: bool
    reasons: tuple[str, ...]
    details: tuple[str, ...]
    galleries: int
    comparators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A false-match rate, the threshold that keeps to at most it, and the misses it costs."""

    fmr: float
    threshold: float
    fnmr: float


@dataclass(frozen=True, slots=True)
class ComparatorAnswer:
    """A comparator in service."""

    name: str
    version: str
    digest: str
    description: str
    modalities: Mapping[str, str]
    dimension: int
    distance: str
    normalised: bool
    rule: str
    cluster_threshold: float
    cohort_identities: int
    operating_points: tuple[OperatingPoint, ...]
    metrics: tuple[Mapping[str, Any], ...]
    licence: str
    provider: str
    created: datetime | None


@dataclass(frozen=True, slots=True)
class ComparatorDetail(ComparatorAnswer):
    """The same with its `card`: what the bundle's maker says of it, in Markdown."""

    card: str


@dataclass(frozen=True, slots=True)
class ComparatorsAnswer:
    """Every comparator in service, and why which bundle was refused."""

    comparators: tuple[ComparatorAnswer, ...]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SeenSample:
    """An evaluated sample that is enrolled in the gallery already, as `sample`."""

    index: int
    name: str
    identity: str
    enrolled_as: str
    sample: str
    distance: float


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    """An uploaded identity, whom of the enrolled it may be, and what tells so."""

    identity: str
    enrolled_as: str
    reason: str


@dataclass(frozen=True, slots=True)
class AppliedAnswer:
    """What became of `apply`: `version` is None, with the reason, where nothing was changed."""

    version: int | None
    reason: str | None
    cohort_identities: int
    calibrated: bool
    left_out: tuple[KnownIdentity, ...]
    look_alikes: tuple[KnownIdentity, ...]


@dataclass(frozen=True, slots=True)
class EvaluateAnswer:
    """A report on labelled samples; `html` is the same for people, where it was asked for."""

    comparator: str
    digest: str
    gallery: str | None
    samples: int
    identities: int
    report: Mapping[str, Any]
    html: str | None
    seen: tuple[SeenSample, ...]
    applied: AppliedAnswer | None
    warnings: tuple[str, ...]
    failures: tuple[Failure, ...]
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Behind:
    """Identities of which the other comparator cannot embed a sample, and the first by name."""

    count: int
    identities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShadowAgreement:
    """What both comparators say of samples that are taken out of the gallery and asked about."""

    version: int | None
    target_fpir: float | None
    trials: int
    agreeing: int
    agreement: float | None
    mated: int
    missed_before: int
    missed_after: int
    strangers: int
    named_before: int
    named_after: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class MigrationAnswer:
    """A change of comparator: `ready` once all embeddings are made that can be, `switched` after.

    `done` of `total` identities are embedded by the comparator that is not in force, as far as
    they can be.
    """

    gallery: str
    url: str
    state: Literal["building", "ready", "switched"]
    in_force: str
    before: str
    after: str
    started: datetime
    done: int
    total: int
    embeddings: int
    samples: int
    pending: int
    without_originals: Behind
    switch: Literal["asked", "auto"]
    agreement: ShadowAgreement | None
    warnings: tuple[str, ...]
    version: int
