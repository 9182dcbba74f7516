"""Bodies that go out, as openapi.yaml has them."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

from index import Identification
from models_store import Comparator
from service.embedding import EmbeddedSamples, Timings
from service.identities import Change, StoredIdentity
from service.problems import Problem, problem_of
from service.recogniser import Enrollments, Identifications, Partition, Verification
from service.replica import Replica


class Failure(BaseModel):
    """One item of a request that could not be used, while the others were."""

    index: int
    problem: Problem

    @classmethod
    def of(cls, failures: dict[int, Exception]) -> list[Self]:
        """Return each item's problem, in order."""
        return [cls(index=i, problem=problem_of(error)) for i, error in sorted(failures.items())]


class Timed(BaseModel):
    """An answer that tells where its time went, in milliseconds by stage."""

    timings_ms: dict[str, float]


class VerifyAnswer(Timed):
    """Whether two samples are the same; `fmr` is the rate known for this threshold."""

    comparator: str
    score: float
    distance: float
    match: bool
    threshold: float
    target_fmr: float | None
    fmr: float | None

    @classmethod
    def of(cls, found: Verification) -> Self:
        """Shape a verification."""
        return cls(
            comparator=found.comparator.title,
            score=found.score,
            distance=found.distance,
            match=found.match,
            threshold=found.threshold,
            target_fmr=found.target_fmr,
            fmr=found.fmr,
            timings_ms=_ms(found.timings),
        )


class EmbedAnswer(Timed):
    """The vectors that search compares, one row an input, `null` where it failed."""

    comparator: str
    dimension: int
    embeddings: list[list[float] | None]
    failures: list[Failure]

    @classmethod
    def of(cls, comparator: Comparator, found: EmbeddedSamples) -> Self:
        """Shape embeddings: those that failed leave a `null`."""
        rows: list[list[float] | None] = [None] * (len(found.indices) + len(found.failures))
        for i, row in zip(found.indices, found.embeddings.tolist(), strict=True):
            rows[i] = row
        return cls(
            comparator=comparator.title,
            dimension=comparator.manifest.dimension,
            embeddings=rows,
            failures=Failure.of(found.failures),
            timings_ms=_ms(found.timings),
        )


class GalleryAnswer(BaseModel):
    """A gallery: what it was made with, and its size at `version`."""

    name: str
    comparator: str
    digest: str
    rule: str
    target_fpir: float
    prior_known: float | None
    keep_samples: bool
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
        return cls(
            name=settings.name,
            comparator=settings.comparator,
            digest=settings.digest,
            rule=settings.rule or replica.comparator.manifest.calibration.rule,
            target_fpir=settings.target_fpir or target_fpir,
            prior_known=settings.prior_known,
            keep_samples=settings.keep_samples,
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
            timings_ms=_ms(done.timings),
        )


class SampleScore(BaseModel):
    """One enrolled sample and its score with the probe."""

    id: str
    score: float


class CandidateAnswer(BaseModel):
    """An identity that the probe came close to."""

    identity: str
    score: float
    distance: float
    posterior: float | None
    samples: list[SampleScore]


class Evidence(BaseModel):
    """What a threshold rests on: whose strangers, and the gallery tried against itself."""

    source: str
    cohort_identities: int
    own_trials: int
    fpir_interval: tuple[float, float] | None


class Result(BaseModel):
    """The decision on one probe; `identity` is null unless the outcome is `match`."""

    index: int
    outcome: Literal["match", "possible", "unknown"]
    identity: str | None
    score: float | None
    posterior: float | None
    unknown_posterior: float | None
    p_value: float | None
    threshold: float | None
    target_fpir: float | None
    expected_fnir: float | None
    reason: str
    evidence: Evidence
    candidates: list[CandidateAnswer]

    @classmethod
    def of(cls, index: int, found: Identification) -> Self:
        """Shape a decision on the probe sent at `index`."""
        return cls(
            index=index,
            outcome=found.outcome,
            identity=found.identity,
            score=found.score,
            posterior=found.posterior,
            unknown_posterior=found.unknown_posterior,
            p_value=found.p_value,
            threshold=found.threshold,
            target_fpir=found.target_fpir,
            expected_fnir=found.expected_fnir,
            reason=found.reason,
            evidence=Evidence(
                source=found.evidence.source,
                cohort_identities=found.evidence.cohort_size,
                own_trials=found.evidence.own_trials,
                fpir_interval=found.evidence.fpir_interval,
            ),
            candidates=[
                CandidateAnswer(
                    identity=candidate.identity,
                    score=candidate.score,
                    distance=candidate.distance,
                    posterior=candidate.posterior,
                    samples=[
                        SampleScore(id=str(key), score=score) for key, score in candidate.samples
                    ],
                )
                for candidate in found.candidates
            ],
        )


class IdentifyAnswer(Timed):
    """Decisions on every probe, all on one version of the gallery."""

    gallery: str
    comparator: str
    version: int
    identities: int
    results: list[Result]
    failures: list[Failure]

    @classmethod
    def of(cls, found: Identifications) -> Self:
        """Shape the decisions of one request."""
        return cls(
            gallery=found.replica.name,
            comparator=found.replica.comparator.title,
            version=found.version,
            identities=found.identities,
            results=[Result.of(i, r) for i, r in zip(found.indices, found.results, strict=True)],
            failures=Failure.of(found.failures),
            timings_ms=_ms(found.timings),
        )


class ClusterOfSamples(BaseModel):
    """Members that belong together: upload indices, or sample ids of a gallery."""

    id: int
    size: int
    members: list[int] | list[str]
    medoid: int | str
    mean_score: float | None


class ClusterAnswer(Timed):
    """A partition of the samples; `labels` is null where a sample failed."""

    comparator: str
    method: str
    threshold: float
    labels: list[int | None]
    clusters: list[ClusterOfSamples]
    failures: list[Failure]

    @classmethod
    def of(cls, found: Partition) -> Self:
        """Shape a clustering: samples that failed have no label."""
        labels: list[int | None] = list(found.clustering.labels)
        for i in sorted(found.failures):
            labels.insert(i, None)
        return cls(
            comparator=found.comparator.title,
            method=found.method,
            threshold=found.threshold,
            labels=labels,
            clusters=[
                ClusterOfSamples(
                    id=cluster.id,
                    size=cluster.size,
                    members=[found.names[i] for i in cluster.members],
                    medoid=found.names[cluster.medoid],
                    mean_score=cluster.mean_score,
                )
                for cluster in found.clustering.clusters
            ],
            failures=Failure.of(found.failures),
            timings_ms=_ms(found.timings),
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
    """A page of identities by name; `next` is the `after` of the next page."""

    items: list[IdentityAnswer]
    next: str | None


class Forgotten(BaseModel):
    """A deletion that is durable as of `version`; `receipt` tells which stores hold no more."""

    version: int
    receipt: dict[str, str]

    @classmethod
    def of(cls, change: Change) -> Self:
        """Shape a deletion: the log of the store keeps the bytes until it is next rewritten."""
        receipt = {
            "index": "erased",
            "store": "erased",
            "append_only_file": "until its next rewrite",
        }
        return cls(version=change.version, receipt=receipt)


class CohortAnswer(BaseModel):
    """An uploaded cohort, in force as of `version`."""

    gallery: str
    cohort_identities: int
    version: int
    failures: list[Failure]


class OperatingPoint(BaseModel):
    """A false-match rate, the threshold that keeps to at most it, and the misses it costs."""

    fmr: float
    threshold: float
    fnmr: float


class ComparatorAnswer(BaseModel):
    """A comparator in service."""

    name: str
    version: str
    digest: str
    description: str
    modalities: dict[str, str]
    dimension: int
    distance: str
    normalised: bool
    rule: str
    cluster_threshold: float
    cohort_identities: int
    operating_points: list[OperatingPoint]
    metrics: list[dict[str, Any]]
    licence: str
    provider: str

    @classmethod
    def of(cls, comparator: Comparator) -> Self:
        """Return what a comparator's manifest and session say."""
        manifest = comparator.manifest
        return cls(
            name=manifest.name,
            version=manifest.version,
            digest=comparator.digest,
            description=manifest.description,
            modalities={side: encoder.modality for side, encoder in manifest.encoders.items()},
            dimension=manifest.dimension,
            distance=manifest.distance,
            normalised=manifest.normalised,
            rule=manifest.calibration.rule,
            cluster_threshold=manifest.calibration.cluster_threshold,
            cohort_identities=len(comparator.cohort),
            operating_points=[
                OperatingPoint(**point.model_dump()) for point in manifest.operating_points
            ],
            metrics=[metric.model_dump() for metric in manifest.metrics],
            licence=manifest.licence,
            provider=comparator.provider,
        )


class ComparatorsAnswer(BaseModel):
    """Every comparator in service, and the bundles that were refused."""

    comparators: list[ComparatorAnswer]
    refused: dict[str, str]


class Readiness(BaseModel):
    """Whether requests should come here, and why not."""

    ready: bool
    reasons: list[str]
    details: list[str]
    galleries: int
    comparators: list[str]


class About(BaseModel):
    """What answers here."""

    name: str = "Kindred"
    version: str
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    comparators: str = "/comparators"
    health: str = "/health/ready"
    metrics: str = "/metrics"


class Alive(BaseModel):
    """The process answers."""

    alive: bool = True


def _ms(timings: Timings) -> dict[str, float]:
    return {stage: round(seconds * 1000, 3) for stage, seconds in timings.items()}
