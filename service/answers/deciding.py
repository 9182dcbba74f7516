"""Who a probe is, or that it is nobody enrolled, and what that rests on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel

from index import Identification, Promised, Source
from service.answers import bands
from service.answers.failures import Failure
from service.answers.timed import Timed, milliseconds
from service.use_cases.decisions import Decided
from service.use_cases.results import Identifications


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
    the comparator has two encoders a gallery cannot be tried against itself: both are 0. The
    intervals hold the true rates in 95 % of cases: `fpir_interval` counts strangers, and
    `fnir_interval` identities of the gallery by one sample each, left out; it is null where fewer
    than 10 have a second sample.

    What is said of strangers holds for those that are `like-cohort` until the gallery has ten
    identities or a cohort of its own, and for `kin` from then on: before, strangers of its own
    kind may be named far more often. Posteriors were fitted to samples of the `calibration`; where
    that is the bundle's, they hold for its kind.
    """

    source: Source
    holds_for: Promised
    calibration: Source | None
    cohort_identities: int
    own_trials: int
    kinship: float
    fpir_interval: tuple[float, float] | None
    fnir_interval: tuple[float, float] | None


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

    A match is `certain` if no stranger of the cohort comes as close, else `likely`. To a key of
    role `decide` no figure of the probe is told: they are null, and `candidates` empty.

    Where nothing measured says what `posterior` or `expected_fnir` is, they are null, and their
    reason says why.
    """

    index: int
    outcome: Literal["match", "possible", "unknown"]
    band: bands.Band
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
            band=bands.of_decision(found),
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
                holds_for=found.evidence.holds_for,
                calibration=found.evidence.calibration,
                fpir_interval=found.evidence.fpir_interval,
                fnir_interval=found.evidence.fnir_interval,
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

    def without_figures(self) -> Self:
        """Return the same with nothing that tells how far the probe is from anybody."""
        return self.model_copy(
            update={
                **dict.fromkeys(("score", "posterior", "unknown_posterior", "p_value")),
                "decision": Decision(rule=self.decision.rule, runner_up=None, margin=None),
                "candidates": [],
            }
        )


class IdentifyAnswer(Timed):
    """Decisions on every probe, all on one version of the gallery.

    By `decisions[i]` the decision in `results[i]` can be read again and judged for a while; null
    where none are remembered.
    """

    gallery: str
    comparator: str
    digest: str
    version: int
    identities: int
    results: list[Result]
    decisions: list[str | None]
    failures: list[Failure]

    @classmethod
    def of(
        cls, found: Identifications, decided: Sequence[str | None], *, figures: bool = True
    ) -> Self:
        """Shape the decisions of one request, with the figures that they rest on or without.

        They are remembered by the ids `decided`.
        """
        results = [Result.of(i, r) for i, r in zip(found.indices, found.results, strict=True)]
        return cls(
            gallery=found.replica.name,
            comparator=found.replica.comparator.title,
            digest=found.replica.comparator.digest,
            version=found.version,
            identities=found.identities,
            results=results if figures else [result.without_figures() for result in results],
            decisions=list(decided),
            failures=Failure.of(found.failures),
            timings_ms=milliseconds(found.timings),
        )


class DecisionAnswer(BaseModel):
    """A decision of `/identify`, read again: as it was made `at` a time, on `version`."""

    gallery: str
    comparator: str
    digest: str
    version: int
    identities: int
    at: datetime
    result: Result

    @classmethod
    def of(cls, kept: Decided, *, figures: bool = True) -> Self:
        """Shape a decision that is remembered."""
        result = Result.of(kept.index, kept.result)
        return cls(
            gallery=kept.gallery,
            comparator=kept.comparator.title,
            digest=kept.comparator.digest,
            version=kept.version,
            identities=kept.identities,
            at=kept.at,
            result=result if figures else result.without_figures(),
        )
