"""What each target would need and miss: no other than what identifying at it then says."""

import numpy as np
import pytest

from index import TARGETS, Cohort, Identifier, NumpyGallery, Reference, TargetUnresolvable
from index.operating_curve import CurvePoint


def score(distances: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(14 * (distances - 0.35)))


def around(
    rng: np.random.Generator, identities: int, samples: int, noise: float = 0.4
) -> np.ndarray:
    centres = rng.standard_normal((identities, 1, 16))
    vectors = centres + noise * rng.standard_normal((identities, samples, 16))
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def gallery(identities: int, strangers: int) -> Identifier:
    rng = np.random.default_rng(7)
    cohort = around(rng, strangers, 1)[:, 0]
    found = Identifier(lambda: NumpyGallery(16, "cosine"), score, cohort)
    samples = around(rng, identities, 2).reshape(-1, 16)
    if identities:
        names = [Reference(i, f"c{i // 2}") for i in range(len(samples))]
        found.enroll(names, samples)
    return found


@pytest.mark.parametrize(("identities", "strangers"), [(1, 60), (30, 60), (60, 300)])
def test_every_point_is_what_identifying_at_its_target_says(identities, strangers):
    index = gallery(identities, strangers)
    curve = index.operating_curve(TARGETS)
    probe = around(np.random.default_rng(8), 1, 1)[0]

    for point in curve.points:
        if point.strangers_needed is not None:
            with pytest.raises(TargetUnresolvable):
                index.identify(probe, target_fpir=point.target_fpir)
            continue
        [told] = index.identify(probe, target_fpir=point.target_fpir)
        assert told.threshold == point.threshold
        assert told.evidence.fpir_interval == point.fpir_interval
        assert told.expected_fnir == point.expected_fnir
        assert told.expected_fnir_reason == point.expected_fnir_reason
        assert told.evidence.fnir_interval == point.fnir_interval
        assert told.evidence.own_trials == curve.own_trials


def test_nobody_enrolled_needs_nothing():
    curve = gallery(0, 60).operating_curve(TARGETS)

    assert {point.threshold for point in curve.points} == {None}
    assert curve.resolvable_from == 1 / 61


@pytest.mark.parametrize("target", TARGETS)
def test_as_many_strangers_as_are_needed_resolve_a_target_and_one_less_does_not(target):
    needed = CurvePoint.unresolved(target).strangers_needed

    assert Cohort(np.zeros(needed)).resolvable_from <= target
    assert Cohort(np.zeros(needed - 1)).resolvable_from > target


def test_a_target_below_all_measure_needs_more_strangers_than_there_are():
    assert CurvePoint.unresolved(5e-324).strangers_needed > 10**15


def test_without_strangers_nothing_is_resolved():
    assert Cohort(np.zeros(0)).resolvable_from == 1
