"""What each target would take and cost in a gallery as it is now."""

from collections.abc import Iterable
from dataclasses import dataclass

from index.cohort import Promised, Source, promised, strangers_needed
from index.decision import Terms
from index.grounds import Grounds
from index.miss_rate import MissReason
from index.roster import Rule

_STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
TARGETS = tuple(
    step * decade / 10_000 for decade in (1, 10, 100) for step in _STEPS if step * decade <= 5000
)
"""Rates from .1 % to 50 %, about evenly apart as people see them."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A target, the threshold that keeps to it now, and the share of the enrolled it misses.

    `threshold` is None where nobody is enrolled, and where the strangers cannot tell the target
    from zero: then `strangers_needed` would. The intervals cover 95 %, as `decision.Evidence` has
    them.
    """

    target_fpir: float
    threshold: float | None
    fpir_interval: tuple[float, float] | None
    expected_fnir: float | None
    fnir_interval: tuple[float, float] | None
    expected_fnir_reason: MissReason | None
    strangers_needed: int | None

    @classmethod
    def unresolved(cls, target_fpir: float) -> "CurvePoint":
        """Return the point of a target that so few strangers say nothing of."""
        needed = strangers_needed(target_fpir)
        return cls(target_fpir, None, None, None, None, None, needed)

    @classmethod
    def of(cls, target_fpir: float, terms: Terms) -> "CurvePoint":
        """Return the point of a target that is resolved."""
        missed = terms.expected_fnir
        return cls(
            target_fpir,
            terms.threshold,
            terms.evidence.fpir_interval,
            None if isinstance(missed, str) else missed,
            terms.evidence.fnir_interval,
            missed if isinstance(missed, str) else None,
            None,
        )


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """Points by rising target, and what they rest on: as `decision.Evidence` has it.

    `resolvable_from` is the lowest target that the strangers tell from zero; 1 if there are none.
    `genuine_trials` identities of the gallery were looked for by one of their samples, left out.
    """

    rule: Rule
    source: Source
    cohort_size: int
    own_trials: int
    genuine_trials: int
    kinship: float
    resolvable_from: float
    points: tuple[CurvePoint, ...]

    @property
    def holds_for(self) -> Promised:
        """Which strangers the targets and their intervals speak of."""
        return promised(self.source, self.own_trials)

    @classmethod
    def of(cls, grounds: Grounds, rule: Rule, targets: Iterable[float]) -> "OperatingCurve":
        """Return what deciding by a rule at each of these targets would rest on and cost now."""
        strangers, own = grounds.searches.by(rule)
        cohort, trials, raised = grounds.cohort(rule)
        return cls(
            rule,
            grounds.source,
            len(strangers.values),
            trials,
            own.genuine,
            raised,
            cohort.resolvable_from,
            tuple(
                CurvePoint.of(target, grounds.terms(rule, target, None))
                if target >= cohort.resolvable_from
                else CurvePoint.unresolved(target)
                for target in sorted(set(targets))
            ),
        )
