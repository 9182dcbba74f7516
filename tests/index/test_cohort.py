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
)
def test_reaching_the_threshold_and_a_small_enough_p_value_are_one_decision(best, score, target):
    cohort = cohort_with(*best)
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
