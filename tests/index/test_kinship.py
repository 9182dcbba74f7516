"""How the gallery's own trials raise the strangers who judge it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from index.kinship import akin, as_the_nearest, kinship

few_scores = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=40).map(np.array)


def around(log_odds: float, count: int) -> np.ndarray:
    """Scores whose log odds lie evenly about a mean, with a standard deviation of 2."""
    spread = np.linspace(-1, 1, count) * 2 * np.sqrt(3)
    return expit(log_odds + spread / np.sqrt(1 + 2 / max(count - 1, 1)))


def test_many_own_trials_are_believed_and_few_are_drawn_towards_none():
    strangers = around(-3, 200)

    raised = [kinship(strangers, around(-2, trials)) for trials in (10, 100, 4000)]

    assert raised == sorted(raised)
    assert raised[0] == pytest.approx(0.36, abs=0.02)  # .09 / (.09 + 1 / 200 + 1.5 / 10)
    assert raised[-1] == pytest.approx(0.94, abs=0.02)


def test_a_gallery_less_alike_than_the_strangers_lowers_nothing():
    assert kinship(around(-2, 200), around(-3, 100)) == 0


def test_nobody_to_compare_raises_nothing():
    assert kinship(np.empty(0), around(0, 5)) == kinship(around(0, 5), np.empty(0)) == 0


@given(strangers=few_scores, own=few_scores, seed=st.integers(0, 9))
def test_kinship_does_not_depend_on_who_came_first(strangers, own, seed):
    shuffled = np.random.default_rng(seed).permutation

    assert kinship(shuffled(strangers), shuffled(own)) == kinship(strangers, own)


@given(strangers=few_scores, log_odds=st.floats(0, 5), target=st.floats(0.05, 0.95))
def test_raised_strangers_ask_for_odds_as_much_higher(strangers, log_odds, target):
    if target < 1 / (len(strangers) + 1):
        return
    nobody = np.empty(0)

    plain, raised = (akin(strangers, nobody, by) for by in (0.0, log_odds))

    # Between two strangers the threshold is interpolated, so only at theirs the shift is exact.
    for score in strangers:
        moved = expit(logit(score) + log_odds)
        assert raised.p_value(moved * (1 + 1e-9)) <= plain.p_value(score) + 1e-9
    assert raised.threshold(target) >= plain.threshold(target)


def test_own_trials_count_as_up_to_two_strangers_where_they_are_fewer():
    strangers = np.linspace(0.1, 0.5, 90)

    few, many = akin(strangers, np.full(10, 0.9), 0.0), akin(strangers, np.full(400, 0.9), 0.0)

    itself = (90 + 40) / 110  # Σw² / Σw
    assert few.p_value(0.7) == pytest.approx((itself + 20) / (110 + itself), abs=0.02)
    assert many.p_value(0.9) == pytest.approx(400 / 491)


@pytest.mark.parametrize("own", [10, 20, 50, 100, 400])
def test_own_trials_never_cost_a_target_of_one_percent(own):
    cohort = akin(np.zeros(150), np.ones(own), 0.0)

    assert cohort.threshold(0.01) > 0


def test_strangers_of_every_group_are_judged_as_near_as_those_of_the_nearest():
    near, far = around(-1, 40), expit(-5 + (logit(around(-1, 30)) + 1) / 2)
    groups = np.repeat([4, 7], [40, 30])

    raised = as_the_nearest(np.concatenate([near, far]), groups)

    assert np.array_equal(raised[:40], near)
    assert logit(raised[40:]).mean() == pytest.approx(-1, abs=1e-6)
    assert logit(raised[40:]).std() == pytest.approx(logit(near).std(), abs=1e-6)


def test_a_handful_of_strangers_neither_raises_others_nor_is_raised():
    few, many = around(0, 9), around(-2, 20)
    scores, groups = np.concatenate([few, many]), np.repeat([0, 1], [9, 20])

    assert np.array_equal(as_the_nearest(scores, groups), scores)
    assert np.array_equal(as_the_nearest(few, None), few)


@given(seed=st.integers(0, 99), groups=st.integers(1, 4))
def test_what_a_group_is_called_and_who_came_first_changes_nothing(seed, groups):
    rng = np.random.default_rng(seed)
    scores, whose = expit(rng.normal(-2, 2, 60)), rng.integers(groups, size=60)
    order, names = rng.permutation(60), rng.permutation(9)

    plain = as_the_nearest(scores, whose)

    assert np.allclose(as_the_nearest(scores[order], names[whose[order]]), plain[order])
    assert np.all(as_the_nearest(plain, whose) <= 1)
    for group in range(groups):  # within a group nobody overtakes anybody
        own = whose == group
        assert np.array_equal(np.argsort(scores[own]), np.argsort(plain[own]))
