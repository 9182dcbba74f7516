"""What scores are worth, as a bundle's manifest or a gallery's record has it."""

import numpy as np
import structlog
from pydantic import ValidationError

from index import (
    GenuineScores,
    PosteriorModel,
    PurityLaw,
    Resemblance,
    Rule,
    TargetUnresolvable,
)
from models_store import Comparator, Side
from models_store.manifest import Calibration, RuleCalibration
from service.parameters import InvalidParameter
from service.store.kept import GallerySettings, StoredCohort

Measured = tuple[PosteriorModel | None, GenuineScores | None]

DEFAULT_FMR = 0.01
"""What `/verify` keeps to where nothing is asked, or the next lower rate that is known."""

log = structlog.get_logger("kindred.calibrations")


def of_bundle(comparator: Comparator, probes: Side = "a") -> Measured:
    """Return what a bundle was measured with for probes of a side."""
    return _for_index(comparator.manifest.calibration_of(probes))


def rule_of(comparator: Comparator, settings: GallerySettings) -> Rule:
    """Return the rule that a gallery decides by, as long as it does not choose another."""
    return settings.rule or comparator.manifest.calibration_of(settings.probes).rule


def others_of_bundle(comparator: Comparator, probes: Side = "a") -> dict[Rule, Measured]:
    """Return what rules besides the bundle's own were measured with, for probes of a side."""
    others = comparator.manifest.calibration_of(probes).others
    return {rule: _for_index(calibration) for rule, calibration in others.items()}


def of_gallery(comparator: Comparator, own: StoredCohort, probes: Side = "a") -> Measured:
    """Return what was measured with a gallery's own strangers, or else with the bundle.

    A record that another version of the service wrote, and that is not understood here, is as
    none: what the bundle says still holds.
    """
    if own.calibration is None:
        return of_bundle(comparator, probes)
    try:
        return _for_index(Calibration.model_validate_json(own.calibration))
    except ValidationError:
        log.warning("a gallery's calibration is not understood; the bundle's is in force")
        return of_bundle(comparator, probes)


def _for_index(calibration: RuleCalibration) -> Measured:
    posterior, genuine = calibration.posterior, calibration.genuine
    return (
        PosteriorModel(**posterior.model_dump()) if posterior else None,
        GenuineScores(
            genuine.rule, {n: np.array(scores) for n, scores in genuine.by_samples.items()}
        )
        if genuine
        else None,
    )


def pair_threshold(
    model: Comparator, target_fmr: float | None, threshold: float | None
) -> tuple[float, float | None, float | None]:
    """Return the threshold in force, the rate that was asked for, and the rate that is known.

    A target is met by the operating point next below it; of a threshold it is known that its
    rate is at most that of the operating point next below it.

    Raises InvalidParameter if both are given, TargetUnresolvable below the lowest known rate.
    """
    points = sorted(model.manifest.operating_points, key=lambda point: point.fmr)
    if threshold is not None:
        if target_fmr is not None:
            raise InvalidParameter("threshold", "expected target_fmr or threshold, not both")
        met = [point.fmr for point in points if point.threshold <= threshold]
        return threshold, None, min(met, default=None)
    resolved = [p for p in points if p.fmr <= (DEFAULT_FMR if target_fmr is None else target_fmr)]
    if resolved:
        point = resolved[-1]
    elif target_fmr is None:
        point = points[0]
    else:
        raise TargetUnresolvable(
            f"the calibration of {model.title} resolves a target FMR of {points[0].fmr:g} at least"
        )
    return point.threshold, point.fmr if target_fmr is None else target_fmr, point.fmr


def purity_law(model: Comparator, side: Side, target: float) -> PurityLaw:
    """Return how to cut samples of a side for the lowest purity measured that meets the target.

    Raises TargetUnresolvable where none is.
    """
    measured = sorted(
        model.manifest.calibration_of(side).cluster_purity, key=lambda law: law.purity
    )
    for law in measured:
        if law.purity >= target:
            return PurityLaw(**law.model_dump(), strangers=_of_strangers(model))
    known = f"a purity of {measured[-1].purity:g} at most" if measured else "no purity"
    raise TargetUnresolvable(f"the calibration of {model.title} tells where to cut for {known}")


def _of_strangers(model: Comparator) -> Resemblance | None:
    """Return how alike strangers look, of whom two encoders tell only across the sides."""
    if not model.manifest.tied:
        return None
    point = max(model.manifest.operating_points, key=lambda point: point.fmr)
    return Resemblance(point.threshold, point.fmr)
