"""What comparing, enrolling and identifying are answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kindred.problems import Problem

Band = Literal["certain", "likely", "possible", "no"]
Outcome = Literal["match", "possible", "unknown"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One sample of a request that could not be used, while the others were."""

    index: int
    problem: Problem


@dataclass(frozen=True, slots=True)
class VerifyAnswer:
    """Whether two samples are the same: `score` in [0, 1], higher is more alike.

    `fmr` is the rate of false matches known for this threshold. `score` and `distance` are None
    for a key of role `decide`.
    """

    comparator: str
    score: float | None
    distance: float | None
    match: bool
    band: Band
    threshold: float
    target_fmr: float | None
    fmr: float | None
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EmbedAnswer:
    """The vectors that search compares, one a sample and None where it failed."""

    comparator: str
    dimension: int
    embeddings: tuple[tuple[float, ...] | None, ...]
    failures: tuple[Failure, ...]
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EnrolledSample:
    """What became of the sample sent at `index`: `added`, or a `duplicate` of one before."""

    id: str
    index: int
    outcome: Literal["added", "duplicate"]


@dataclass(frozen=True, slots=True)
class EnrollAnswer:
    """An enrollment that is durable as of `version` of the gallery."""

    gallery: str
    identity: str
    samples: tuple[EnrolledSample, ...]
    version: int
    warnings: tuple[str, ...]
    failures: tuple[Failure, ...]
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EnrolledLine:
    """What became of one of many samples: `failed` has a problem, the others an id and version.

    `index` is its place among those that were given.
    """

    index: int
    identity: str
    outcome: Literal["added", "duplicate", "failed"]
    id: str | None = None
    version: int | None = None
    warnings: tuple[str, ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One enrolled sample and its score with the probe."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class CandidateAnswer:
    """An identity that the probe came close to."""

    identity: str
    score: float
    distance: float
    posterior: float | None
    samples: tuple[SampleScore, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """By which rule it was decided, and by how much before whom."""

    rule: str
    runner_up: str | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a threshold rests on: whose strangers, and the gallery tried against itself."""

    source: Literal["bundle", "gallery"]
    holds_for: Literal["like-cohort", "kin"]
    calibration: Literal["bundle", "gallery"] | None
    cohort_identities: int
    own_trials: int
    kinship: float
    fpir_interval: tuple[float, ...] | None
    fnir_interval: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Result:
    """The decision on one probe; `identity` is None unless the outcome is `match`."""

    index: int
    outcome: Outcome
    band: Band
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
    candidates: tuple[CandidateAnswer, ...]


@dataclass(frozen=True, slots=True)
class IdentifyAnswer:
    """Decisions on every probe that could be used, all on one version of the gallery.

    By `decisions[i]` that in `results[i]` can be read again and judged, while it is remembered.
    """

    gallery: str
    comparator: str
    digest: str
    version: int
    identities: int
    results: tuple[Result, ...]
    decisions: tuple[str | None, ...]
    failures: tuple[Failure, ...]
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ClusterOfSamples:
    """Members that belong together: places in the request, or sample ids of a gallery."""

    id: int
    size: int
    members: tuple[int, ...] | tuple[str, ...]
    medoid: int | str
    mean_score: float | None


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """A partition of the samples; a label is None where a sample failed."""

    comparator: str
    method: str
    threshold: float
    purity: float | None
    labels: tuple[int | None, ...]
    clusters: tuple[ClusterOfSamples, ...]
    failures: tuple[Failure, ...]
    timings_ms: Mapping[str, float]
