"""What each target would take and cost in a gallery."""

from typing import Literal, Self

from pydantic import BaseModel

import index
from index import LeftOut, MissReason, Promised
from service.answers.timed import Timed, milliseconds
from service.use_cases.results import Division, Operation


class TargetPoint(BaseModel):
    """What `/identify` answers at this target now: its threshold, intervals and expected misses.

    `threshold` is null where nobody is enrolled, and where the cohort cannot tell the target from
    zero: `strangers_needed` could.
    """

    target_fpir: float
    threshold: float | None
    fpir_interval: tuple[float, float] | None
    expected_fnir: float | None
    fnir_interval: tuple[float, float] | None
    expected_fnir_reason: MissReason | None
    strangers_needed: int | None


class OperatingCurveAnswer(Timed):
    """Points by rising target, at `version` of the gallery, and what they rest on.

    `target_fpir` is what is asked for where a request is silent, and is one of the points.
    `fnir_interval` counts each of `genuine_trials` identities once, by their oldest sample, left
    out and looked for by the others.
    """

    gallery: str
    comparator: str
    version: int
    identities: int
    rule: str
    target_fpir: float
    source: Literal["bundle", "gallery"]
    holds_for: Promised
    cohort_identities: int
    own_trials: int
    genuine_trials: int
    kinship: float
    resolvable_from: float
    points: list[TargetPoint]

    @classmethod
    def of(cls, found: Operation) -> Self:
        """Shape a curve."""
        curve = found.curve
        return cls(
            gallery=found.replica.name,
            comparator=found.replica.comparator.title,
            version=found.version,
            identities=found.identities,
            rule=curve.rule,
            target_fpir=found.target_fpir,
            source=curve.source,
            holds_for=curve.holds_for,
            cohort_identities=curve.cohort_size,
            own_trials=curve.own_trials,
            genuine_trials=curve.genuine_trials,
            kinship=curve.kinship,
            resolvable_from=curve.resolvable_from,
            points=[
                TargetPoint(
                    target_fpir=point.target_fpir,
                    threshold=point.threshold,
                    fpir_interval=point.fpir_interval,
                    expected_fnir=point.expected_fnir,
                    fnir_interval=point.fnir_interval,
                    expected_fnir_reason=point.expected_fnir_reason,
                    strangers_needed=point.strangers_needed,
                )
                for point in curve.points
            ],
            timings_ms=milliseconds(found.timings),
        )


class EnrolledTrial(BaseModel):
    """An enrolled sample as if it were a probe and not enrolled, its identity having others.

    `outcome` is what it would be named as: its `own` identity, `another` (the `rival`, who comes
    closest of all others), or `unknown`.
    """

    identity: str
    sample: str
    score: float
    rival: str | None
    rival_score: float | None
    outcome: LeftOut


class StrangerTrial(BaseModel):
    """A stranger, and who of the enrolled comes `nearest`, with that score.

    Either the `stranger`-th of the cohort, from 0, of whom there is no picture; or an enrolled
    sample that stands for a stranger of the gallery's own kind, as if its identity were not there.
    """

    stranger: int | None
    identity: str | None
    sample: str | None
    score: float
    nearest: str
    outcome: Literal["match", "unknown"]


class EnrolledSides(BaseModel):
    """The enrolled nearest to the threshold: that reach it, and that do not; of all `tried`."""

    above: list[EnrolledTrial]
    below: list[EnrolledTrial]
    tried: int


class StrangerSides(BaseModel):
    """The strangers nearest to the threshold: that reach it, and that do not; of all `tried`."""

    above: list[StrangerTrial]
    below: list[StrangerTrial]
    tried: int


class BoundaryAnswer(Timed):
    """Whom the threshold of a target divides by the least, nearest first, at `version`.

    Those are the trials that the threshold and its rates rest on: the cohort's strangers, of the
    `source`, and one sample of each of up to 400 identities, left out. Scores are those that
    `/identify` would answer; strangers of rule `knn` are judged by `mean`. `threshold` is null
    where nobody is enrolled.
    """

    gallery: str
    comparator: str
    version: int
    rule: str
    target_fpir: float
    threshold: float | None
    source: Literal["bundle", "gallery"]
    enrolled: EnrolledSides
    strangers: StrangerSides

    @classmethod
    def of(cls, found: Division) -> Self:
        """Shape a boundary."""
        boundary = found.boundary
        return cls(
            gallery=found.replica.name,
            comparator=found.replica.comparator.title,
            version=found.version,
            rule=boundary.rule,
            target_fpir=boundary.target_fpir,
            threshold=boundary.threshold,
            source=boundary.source,
            enrolled=EnrolledSides(
                above=[_enrolled(trial) for trial in boundary.enrolled.above],
                below=[_enrolled(trial) for trial in boundary.enrolled.below],
                tried=boundary.enrolled.tried,
            ),
            strangers=StrangerSides(
                above=[_stranger(trial) for trial in boundary.strangers.above],
                below=[_stranger(trial) for trial in boundary.strangers.below],
                tried=boundary.strangers.tried,
            ),
            timings_ms=milliseconds(found.timings),
        )


def _enrolled(trial: index.EnrolledTrial) -> EnrolledTrial:
    return EnrolledTrial(
        identity=trial.identity,
        sample=str(trial.key),
        score=trial.score,
        rival=trial.rival,
        rival_score=trial.rival_score,
        outcome=trial.outcome,
    )


def _stranger(trial: index.StrangerTrial) -> StrangerTrial:
    return StrangerTrial(
        stranger=trial.row,
        identity=trial.identity,
        sample=None if trial.key is None else str(trial.key),
        score=trial.score,
        nearest=trial.nearest,
        outcome="match" if trial.named else "unknown",
    )
