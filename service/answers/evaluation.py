"""What labelled samples make of a comparator."""

from typing import Any, Self

from pydantic import BaseModel

from service.answers.failures import Failure
from service.answers.timed import Timed, milliseconds
from service.use_cases.evaluating import Evaluation, Recalibration


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
        warnings = [*found.report["about"]["warnings"]]
        if found.recalibration:
            warnings += found.recalibration.warnings
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
            timings_ms=milliseconds(found.timings),
        )
