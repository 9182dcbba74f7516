"""Bodies that go out, as openapi.yaml has them."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

from index import Identification
from models_store import Comparator
from service.embedding import EmbeddedSamples, Timings
from service.erasure import Receipt
from service.evaluating import Evaluation, Recalibration
from service.identities import Change, StoredIdentity
from service.problems import Problem, problem_of
from service.recogniser import (
    Checkup,
    Enrollments,
    Identifications,
    NewCohort,
    Partition,
    Verification,
)
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
    """What a threshold rests on: whose strangers, and the gallery tried against itself.

    `kinship` is by how much, in log odds, strangers of the gallery's own kind score higher. Where
    the comparator has two encoders a gallery cannot be tried against itself: both are 0.
    """

    source: str
    cohort_identities: int
    own_trials: int
    kinship: float
    fpir_interval: tuple[float, float] | None


class Decision(BaseModel):
    """How it was decided: by which rule, and by how much before whom.

    `margin` is by how much the first candidate's score is above that of the `runner_up`; both are
    null where fewer than two identities are enrolled. Neither `top` nor `k` changes them.
    """

    rule: str
    runner_up: str | None
    margin: float | None


class Result(BaseModel):
    """The decision on one probe; `identity` is null unless the outcome is `match`.

    Where nothing measured says what `posterior` or `expected_fnir` is, they are null, and their
    reason says why.
    """

    index: int
    outcome: Literal["match", "possible", "unknown"]
    identity: str | None
    score: float | None
    posterior: float | None
    unknown_posterior: float | None
    posterior_reason: str | None
    p_value: float | None
    threshold: float | None
    target_fpir: float | None
    expected_fnir: float | None
    expected_fnir_reason: str | None
    reason: str
    decision: Decision
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
            posterior_reason=found.posterior_reason,
            p_value=found.p_value,
            threshold=found.threshold,
            target_fpir=found.target_fpir,
            expected_fnir=found.expected_fnir,
            expected_fnir_reason=found.expected_fnir_reason,
            reason=found.reason,
            decision=Decision(rule=found.rule, runner_up=found.runner_up, margin=found.margin),
            evidence=Evidence(
                source=found.evidence.source,
                cohort_identities=found.evidence.cohort_size,
                own_trials=found.evidence.own_trials,
                kinship=found.evidence.kinship,
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
    digest: str
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
            digest=found.replica.comparator.digest,
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
    """A partition of the samples; `labels` is null where a sample failed.

    `purity` is the share of samples that lay where most are of their identity, when clusters of
    held-out identities were cut like that; null unless a `target_purity` was asked for.
    """

    comparator: str
    method: str
    threshold: float
    purity: float | None
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
            threshold=found.clustering.threshold,
            purity=found.purity,
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
    """A deletion that is durable as of `version`; its bytes are accounted for at `receipt`."""

    version: int
    receipt: str

    @classmethod
    def of(cls, gallery: str, change: Change) -> Self:
        """Shape a deletion."""
        receipt = f"/galleries/{gallery}/receipts/{change.version}"
        return cls(version=change.version, receipt=receipt)


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


class MislabelledSample(BaseModel):
    """A sample that seems to be of `rather`; scores are with the centroids of the two."""

    id: str
    identity: str
    score: float
    rather: str
    rather_score: float
    probability: float


class DuplicateIdentities(BaseModel):
    """Two identities that seem to be one, with the two `samples` nearest to the other's centroid.

    `gap` is how much nearer, by mean distance, their samples are to the other than to their own
    others. `p_value` is the share of this gallery's identities that, cut in two, look no more
    like one, and `probability` that they are one, given how many pairs come nearly as close.
    Two identities that truly look the same are listed too.
    """

    identities: tuple[str, str]
    score: float
    gap: float
    p_value: float
    probability: float
    samples: tuple[str, str]


class HubIdentity(BaseModel):
    """An identity that is the nearest other of more identities than chance makes it."""

    identity: str
    nearest_to: list[str]
    mean_score: float
    q_value: float


class GoatIdentity(BaseModel):
    """An identity more of whose samples (`missed`) are nearer to somebody else than is usual."""

    identity: str
    samples: int
    missed: list[str]
    score: float
    q_value: float


class FewSamples(BaseModel):
    """An identity with fewer samples than asked for."""

    identity: str
    samples: int


class GalleryHealth(Timed):
    """What seems wrong with a gallery: suggestions, each list sorted by how sure it is.

    Below 20 identities of two samples the first three lists are null: too few to say.
    `wrong_names` is the share of names estimated to be wrong. A `q_value` bounds the share that
    is listed by chance, if all up to it are taken. Where the comparator has two encoders, what is
    enrolled is not compared with its own kind: then `hubs` is null too, and `reason` says so.
    """

    gallery: str
    comparator: str
    version: int
    identities: int
    samples: int
    judged_identities: int
    wrong_names: float | None
    mislabelled: list[MislabelledSample] | None
    duplicates: list[DuplicateIdentities] | None
    goats: list[GoatIdentity] | None
    hubs: list[HubIdentity] | None
    few_samples: list[FewSamples]
    reason: str | None

    @classmethod
    def of(cls, found: Checkup) -> Self:
        """Shape a check-up."""
        health = found.health
        return cls(
            gallery=found.replica.name,
            comparator=found.replica.comparator.title,
            version=found.version,
            identities=health.identities,
            samples=health.samples,
            judged_identities=health.judged,
            wrong_names=health.noise,
            mislabelled=None
            if health.mislabelled is None
            else [
                MislabelledSample(
                    id=str(each.key),
                    identity=each.identity,
                    score=each.score,
                    rather=each.rather,
                    rather_score=each.rather_score,
                    probability=each.probability,
                )
                for each in health.mislabelled
            ],
            duplicates=None
            if health.duplicates is None
            else [
                DuplicateIdentities(
                    identities=each.identities,
                    score=each.score,
                    gap=each.gap,
                    p_value=each.p_value,
                    probability=each.probability,
                    samples=(str(each.nearest[0]), str(each.nearest[1])),
                )
                for each in health.duplicates
            ],
            goats=None
            if health.goats is None
            else [
                GoatIdentity(
                    identity=each.identity,
                    samples=each.samples,
                    missed=[str(key) for key in each.missed],
                    score=each.score,
                    q_value=each.q_value,
                )
                for each in health.goats
            ],
            hubs=None
            if health.hubs is None
            else [
                HubIdentity(
                    identity=each.identity,
                    nearest_to=list(each.nearest_to),
                    mean_score=each.mean_score,
                    q_value=each.q_value,
                )
                for each in health.hubs
            ],
            few_samples=[FewSamples(identity=name, samples=m) for name, m in health.few],
            reason=_why_unjudged(found),
            timings_ms=_ms(found.timings),
        )


class SeenSample(BaseModel):
    """An uploaded sample that is enrolled in the gallery already, as `sample` of `enrolled_as`."""

    index: int
    name: str
    identity: str
    enrolled_as: str
    sample: str
    distance: float


class KnownIdentity(BaseModel):
    """An uploaded identity, whom of the enrolled it may be, and what tells so."""

    identity: str
    enrolled_as: str
    reason: str


class AppliedAnswer(BaseModel):
    """What became of `apply`: `version` is null, with the reason, where nothing was changed.

    Strangers of the gallery's own number `cohort_identities`; `left_out` are those who are
    enrolled. `look_alikes` were kept although the gallery matches them, as it does some strangers.
    """

    version: int | None
    reason: str | None
    cohort_identities: int
    calibrated: bool
    left_out: list[KnownIdentity]
    look_alikes: list[KnownIdentity]

    @classmethod
    def of(cls, done: Recalibration) -> Self:
        """Shape a recalibration."""
        left_out, look_alikes = (
            [
                KnownIdentity(
                    identity=each.identity, enrolled_as=each.enrolled_as, reason=each.sign
                )
                for each in some
            ]
            for some in (done.found.left_out, done.found.look_alikes)
        )
        return cls(
            version=done.version,
            reason=done.reason,
            cohort_identities=len(done.found.rows),
            calibrated=done.calibrated,
            left_out=left_out,
            look_alikes=look_alikes,
        )


class EvaluateAnswer(Timed):
    """A report on labelled samples; `html` is the same for people, where it was asked for.

    `report` is what `python -m evaluation` writes, version `report.schema_version`.
    """

    comparator: str
    digest: str
    gallery: str | None
    samples: int
    identities: int
    report: dict[str, Any]
    html: str | None
    seen: list[SeenSample]
    applied: AppliedAnswer | None
    warnings: list[str]
    failures: list[Failure]

    @classmethod
    def of(cls, found: Evaluation, *, html: bool) -> Self:
        """Shape an evaluation."""
        labels = [found.labels[place] for place in found.rows]
        applied = AppliedAnswer.of(found.recalibration) if found.recalibration else None
        warnings = list(found.report["about"]["warnings"])
        if applied and applied.reason:
            warnings.append(f"nothing was applied: {applied.reason}")
        return cls(
            comparator=found.comparator.title,
            digest=found.comparator.digest,
            gallery=found.gallery,
            samples=len(labels),
            identities=len({label.identity for label in labels}),
            report=dict(found.report),
            html=found.page if html else None,
            seen=[
                SeenSample(
                    index=found.rows[each.row],
                    name=labels[each.row].name,
                    identity=labels[each.row].identity,
                    enrolled_as=each.enrolled_as,
                    sample=str(each.sample),
                    distance=each.distance,
                )
                for each in found.seen
            ],
            applied=applied,
            warnings=warnings,
            failures=Failure.of(found.failures),
            timings_ms=_ms(found.timings),
        )


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


def _why_unjudged(found: Checkup) -> str | None:
    comparator = found.replica.comparator
    if comparator.manifest.tied:
        return None
    return (
        f"{comparator.title} compares across two encoders: what one of them embeds is not "
        "compared with each other"
    )


def _ms(timings: Timings) -> dict[str, float]:
    return {stage: round(seconds * 1000, 3) for stage, seconds in timings.items()}
