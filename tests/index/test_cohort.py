"""What is read off strangers' best scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from index.cohort import Cohort, TargetUnresolvable


def cohort_with(*best: float) -> Cohort:
    return Cohort(np.array(best))


def test_the_p_value_counts_the_probe_among_the_strangers():
    cohort = cohort_with(0.1, 0.2, 0.3, 0.4)

    assert cohort.p_value(0.5) == 1 / 5
    assert cohort.p_value(0.3) == 3 / 5  # a stranger just as high counts against the probe
    assert cohort.p_value(0.0) == 5 / 5


def test_the_threshold_lies_just_above_the_score_that_strangers_may_reach():
    cohort = cohort_with(*np.arange(1, 20) / 20)  # M = 19: a twentieth is resolved by one

    threshold = cohort.threshold(0.05)

    assert threshold == np.nextafter(19 / 20, 1)
    assert cohort.threshold(0.10) == np.nextafter(18 / 20, 1)


@given(
    best=st.lists(st.sampled_from(np.linspace(0, 1, 11).tolist()), min_size=1, max_size=60),
    score=st.sampled_from(np.linspace(0, 1, 11).tolist()),
    target=st.floats(0.001, 0.999),
    interpolated=st.booleans(),
)
def test_reaching_the_threshold_and_a_small_enough_p_value_are_one_decision(
    best, score, target, interpolated
):
    cohort = Cohort(np.array(best), interpolated=interpolated)
    if target < 1 / (len(best) + 1):
        with pytest.raises(TargetUnresolvable, match=str(len(best))):
            cohort.threshold(target)
        return

    assert (score >= cohort.threshold(target)) == (cohort.p_value(score) <= target)


@given(best=st.lists(st.floats(0, 1), min_size=1, max_size=99), data=st.data())
def test_a_target_written_as_a_fraction_of_the_cohort_is_met_exactly(best, data):
    # .29 · 100 is 28.999… in floating point: counting must not lose a stranger to that.
    of = len(best) + 1
    count = data.draw(st.integers(1, of - 1))

    threshold = cohort_with(*best).threshold(count / of)

    assert threshold == np.nextafter(sorted(best)[-count], np.inf)


def test_an_interpolated_threshold_is_a_quantile_at_weibulls_plotting_positions():
    best = np.random.default_rng(3).random(19)  # M = 19: a twentieth is resolved by one

    for target in (0.05, 0.1, 0.13, 0.5, 0.94):
        expected = np.quantile(best, 1 - target, method="weibull")
        found = Cohort(best, interpolated=True).threshold(target)
        assert found == pytest.approx(expected, abs=1e-15)


def test_interpolated_p_values_fall_evenly_from_one_stranger_to_the_next():
    cohort = Cohort(np.array([0.1, 0.2, 0.3, 0.4]), interpolated=True)

    assert cohort.p_value(0.5) == cohort.p_value(0.4) == 1 / 5
    assert cohort.p_value(0.25) == pytest.approx(2.5 / 5)
    assert cohort.p_value(0.1) == cohort.p_value(0.0) == 1


def test_strangers_that_score_alike_are_all_let_in_or_none():
    tied = Cohort(np.array([0.9, 0.5, 0.5, 0.5, 0.1]), interpolated=True)

    assert tied.threshold(2 / 6) == np.nextafter(0.5, 1)
    assert tied.threshold(4 / 6) == 0.5


@given(
    best=st.lists(st.floats(0, 1), min_size=2, max_size=30),
    scores=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    interpolated=st.booleans(),
)
def test_a_higher_score_never_has_a_higher_p_value(best, scores, interpolated):
    cohort = Cohort(np.array(best), interpolated=interpolated)

    assert cohort.p_value(scores[0]) >= cohort.p_value(scores[1])


def test_equal_weights_say_nothing_and_a_heavy_stranger_counts_as_many():
    best = np.linspace(0.1, 0.9, 99)

    assert Cohort(best, np.full(99, 2.0)).threshold(0.01) == Cohort(best).threshold(0.01)
    heavy = Cohort(np.append(best, 0.95), np.append(np.ones(99), 2.0))
    itself = 103 / 101  # Σw² / Σw
    assert heavy.p_value(0.96) == pytest.approx(itself / (101 + itself))
    assert heavy.p_value(0.95) == pytest.approx((itself + 2) / (101 + itself))


@pytest.mark.parametrize("target", [0, 1, -0.1, 2, np.nan])
def test_a_target_that_is_no_rate_is_refused(target):
    with pytest.raises(ValueError, match="between 0 and 1"):
        cohort_with(0.5).threshold(target)


def test_the_refusal_names_the_cohort_and_the_smallest_target_it_resolves():
    with pytest.raises(TargetUnresolvable, match=r"^9 strangers resolve a target FPIR of 0.1 "):
        cohort_with(*[0.5] * 9).threshold(0.05)


def test_nobody_to_count_resolves_nothing():
    with pytest.raises(TargetUnresolvable):
        cohort_with().threshold(0.5)


def test_intervals_are_those_of_the_beta_distribution():
    cohort = cohort_with(*np.linspace(0, 1, 399))

    assert cohort.fpir_interval(0.05) == pytest.approx(beta.ppf([0.025, 0.975], 20, 380))
    low, high = cohort.fpir_interval_at(0.5)
    assert low == pytest.approx(beta.ppf(0.025, 200, 200))
    assert high == pytest.approx(beta.ppf(0.975, 201, 199))
    assert cohort.fpir_interval_at(2.0)[0] == 0
    assert cohort.fpir_interval_at(-1.0)[1] == 1
