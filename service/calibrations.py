"""What scores are worth, as a bundle's manifest or a gallery's record has it, for an index."""

import numpy as np
import structlog
from pydantic import ValidationError

from index import GenuineScores, PosteriorModel, Rule
from models_store import Comparator, Side
from models_store.manifest import Calibration, RuleCalibration
from service.identities import StoredCohort

Measured = tuple[PosteriorModel | None, GenuineScores | None]

log = structlog.get_logger("kindred.calibrations")


def of_bundle(comparator: Comparator, probes: Side = "a") -> Measured:
    """Return what a bundle was measured with for probes of a side."""
    return _for_index(comparator.manifest.calibration_of(probes))


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
