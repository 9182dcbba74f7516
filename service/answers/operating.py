"""What each target would take and cost in a gallery."""

from typing import Literal, Self

from pydantic import BaseModel

from index import MissReason
from service.answers.timed import Timed, milliseconds
from service.results import Operation


class TargetPoint(BaseModel):
    """What `/identify` answers at this target now: its threshold, interval and expected misses.

    `threshold` is null where nobody is enrolled, and where the cohort cannot tell the target from
    zero: `strangers_needed` could.
    """

    target_fpir: float
    threshold: float | None
    fpir_interval: tuple[float, float] | None
    expected_fnir: float | None
    expected_fnir_reason: MissReason | None
    strangers_needed: int | None


class OperatingCurveAnswer(Timed):
    """Points by rising target, at `version` of the gallery, and what they rest on.

    `target_fpir` is what is asked for where a request is silent, and is one of the points.
    """

    gallery: str
    comparator: str
    version: int
    identities: int
    rule: str
    target_fpir: float
    source: Literal["bundle", "gallery"]
    cohort_identities: int
    own_trials: int
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
            cohort_identities=curve.cohort_size,
            own_trials=curve.own_trials,
            kinship=curve.kinship,
            resolvable_from=curve.resolvable_from,
            points=[
                TargetPoint(
                    target_fpir=point.target_fpir,
                    threshold=point.threshold,
                    fpir_interval=point.fpir_interval,
                    expected_fnir=point.expected_fnir,
                    expected_fnir_reason=point.expected_fnir_reason,
                    strangers_needed=point.strangers_needed,
                )
                for point in curve.points
            ],
            timings_ms=milliseconds(found.timings),
        )
