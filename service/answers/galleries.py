"""Galleries, who is enrolled in them, and what was forgotten."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

from service.answers.failures import Failure
from service.answers.timed import Timed, milliseconds
from service.replicas.erasure import Receipt
from service.replicas.replica import Replica
from service.store.kept import Change, StoredIdentity
from service.use_cases.results import Enrollments, NewCohort


class GalleryAnswer(BaseModel):
    """A gallery: what it was made with, and its size at `version`.

    What is enrolled is embedded by side `references` of the comparator, what is asked about by
    side `probes`; `modalities` tell what each takes.
    """

    name: str
    comparator: str
    digest: str
    rule: str
    target_fpir: float
    prior_known: float | None
    keep_samples: bool
    references: Literal["a", "b"]
    probes: Literal["a", "b"]
    modalities: dict[Literal["references", "probes"], str]
    cohort: Literal["bundle", "gallery"]
    cohort_identities: int
    identities: int
    samples: int
    version: int
    created: datetime

    @classmethod
    def of(cls, replica: Replica, target_fpir: float) -> Self:
        """Shape a gallery; `target_fpir` is the service's, for one that has none of its own."""
        settings, index = replica.state.settings, replica.index
        source, strangers = replica.cohort
        manifest = replica.comparator.manifest
        return cls(
            name=settings.name,
            comparator=settings.comparator,
            digest=settings.digest,
            rule=settings.rule or manifest.calibration_of(settings.probes).rule,
            target_fpir=settings.target_fpir or target_fpir,
            prior_known=settings.prior_known,
            keep_samples=settings.keep_samples,
            references=settings.references,
            probes=settings.probes,
            modalities={
                "references": manifest.encoders[settings.references].modality,
                "probes": manifest.encoders[settings.probes].modality,
            },
            cohort=source,
            cohort_identities=strangers,
            identities=index.identities,
            samples=index.samples,
            version=replica.version,
            created=replica.state.created,
        )


class GalleriesAnswer(BaseModel):
    """Every gallery."""

    galleries: list[GalleryAnswer]


class GalleryDeleted(BaseModel):
    """A gallery that is no more."""

    gallery: str


class EnrolledSample(BaseModel):
    """What became of one sample: `added`, or a `duplicate` of one enrolled before."""

    id: str
    index: int
    outcome: Literal["added", "duplicate"]


class EnrollAnswer(Timed):
    """An enrollment that is durable as of `version`."""

    gallery: str
    identity: str
    samples: list[EnrolledSample]
    version: int
    warnings: list[str]
    failures: list[Failure]

    @classmethod
    def of(cls, gallery: str, identity: str, done: Enrollments) -> Self:
        """Shape an enrollment."""
        return cls(
            gallery=gallery,
            identity=identity,
            samples=[
                EnrolledSample(id=str(sample.id), index=i, outcome=sample.outcome)
                for i, sample in zip(done.indices, done.samples, strict=True)
            ],
            version=done.version,
            warnings=done.warnings,
            failures=Failure.of(done.failures),
            timings_ms=milliseconds(done.timings),
        )


class StoredSample(BaseModel):
    """One enrolled sample."""

    id: str
    created: datetime


class IdentityAnswer(BaseModel):
    """An identity and what is enrolled of it."""

    identity: str
    metadata: dict[str, Any]
    samples: list[StoredSample]

    @classmethod
    def of(cls, stored: StoredIdentity) -> Self:
        """Shape an identity as the store has it."""
        return cls(
            identity=stored.name,
            metadata=dict(stored.metadata or {}),
            samples=[StoredSample(id=str(s.id), created=s.created) for s in stored.samples],
        )


class IdentitiesAnswer(BaseModel):
    """A page of identities in the order they came; `next` is the `after` of the next page."""

    items: list[IdentityAnswer]
    next: str | None


class Forgotten(BaseModel):
    """A deletion that is durable as of `version`; its bytes are accounted for at `receipt`."""

    version: int
    receipt: str

    @classmethod
    def of(cls, gallery: str, change: Change) -> Self:
        """Shape a deletion."""
        return cls.at(gallery, change.version)

    @classmethod
    def at(cls, gallery: str, version: int) -> Self:
        """Shape a deletion that is durable as of a version."""
        return cls(version=version, receipt=f"/galleries/{gallery}/receipts/{version}")


class ErasedFrom(BaseModel):
    """Where it is true that no byte is left of what was taken away.

    `index` and `snapshot` are those of the service that answers.
    """

    record: bool
    idempotency_copies: bool
    index: bool
    snapshot: bool
    append_only_file: bool


class ReceiptAnswer(BaseModel):
    """How far a deletion is: `complete` once nothing is left anywhere."""

    gallery: str
    version: int
    complete: bool
    erased_from: ErasedFrom

    @classmethod
    def of(cls, found: Receipt) -> Self:
        """Shape a receipt."""
        return cls(
            gallery=found.gallery,
            version=found.version,
            complete=found.complete,
            erased_from=ErasedFrom.model_validate(found, from_attributes=True),
        )


class LookAlike(BaseModel):
    """A stranger, sent at `index`, who would be named as somebody enrolled."""

    index: int
    identity: str
    score: float
    p_value: float | None


class Repeat(BaseModel):
    """A stranger, sent at `index`, with the embedding of another, sent at `same_as`."""

    index: int
    same_as: int


class CohortAnswer(BaseModel):
    """An uploaded cohort, in force as of `version`, and what is odd about it.

    `look_alikes` are judged by the evidence before the upload, at the gallery's target FPIR: by
    chance that share of true strangers is listed. Null where that is not resolved. `warnings` say
    in words what is odd.
    """

    gallery: str
    cohort_identities: int
    version: int
    look_alikes: list[LookAlike] | None
    repeats: list[Repeat]
    warnings: list[str]
    failures: list[Failure]

    @classmethod
    def of(cls, gallery: str, cohort_identities: int, done: NewCohort) -> Self:
        """Shape an upload of strangers: rows are told as indices of what was sent."""
        sent = [done.samples.indices[first] for first in done.firsts]
        look_alikes = done.odd.look_alikes
        return cls(
            gallery=gallery,
            cohort_identities=cohort_identities,
            version=done.change.version,
            look_alikes=None
            if look_alikes is None
            else [
                LookAlike(
                    index=sent[each.row],
                    identity=each.identity,
                    score=each.score,
                    p_value=each.p_value,
                )
                for each in look_alikes
            ],
            repeats=[Repeat(index=sent[a], same_as=sent[b]) for a, b in done.odd.repeats],
            warnings=done.warnings,
            failures=Failure.of(done.samples.failures),
        )
