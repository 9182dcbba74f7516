"""How the gallery's own trials raise the strangers who judge it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from index.kinship import akin, as_the_nearest, unlike

HIGHEST = float(expit(8))  # what a sample scores beside itself
few_scores = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=40).map(np.array)


def around(distance: float, count: int, spread: float = 0.5) -> np.ndarray:
    """Scores whose distances lie evenly about a mean, with this standard deviation."""
    steps = np.linspace(-1, 1, count) * np.sqrt(3)
    return expit(8 - (distance + spread * steps / np.sqrt(1 + 2 / max(count - 1, 1))) ** 2)


def test_many_own_trials_are_believed_and_few_are_drawn_towards_none():
    strangers = around(3.5, 200)

    kinship = [akin(strangers, around(3, trials), HIGHEST)[1] for trials in (10, 100, 4000)]

    believed = [0.5 * 0.09 / (0.09 + 1 / 200 + 1.5 / trials) for trials in (10, 100, 4000)]
    # The mean of d² - (d - s)² over distances of mean 3.5 is 7 s - s².
    assert kinship == pytest.approx([7 * by - by**2 for by in believed], rel=1e-3)


def test_a_gallery_less_alike_than_the_strangers_lowers_nothing():
    strangers, own = around(3, 200), around(3.5, 100)

    cohort, kinship = akin(strangers, own, HIGHEST)

    assert kinship == 0
    highest = strangers.max()
    assert cohort.p_value(highest) == cohort.resolvable_from < cohort.p_value(highest - 1e-9)


def test_nobody_to_compare_raises_nothing():
    some, nobody = around(3, 15), np.empty(0)

    assert akin(nobody, some, HIGHEST)[1] == akin(some, nobody, HIGHEST)[1] == 0
    assert len(akin(nobody, some, HIGHEST)[0]) == len(akin(some, nobody, HIGHEST)[0]) == 15


@given(strangers=few_scores, own=few_scores, seed=st.integers(0, 9))
def test_kinship_does_not_depend_on_who_came_first(strangers, own, seed):
    shuffled = np.random.default_rng(seed).permutation

    there, here = akin(strangers, own, HIGHEST), akin(shuffled(strangers), shuffled(own), HIGHEST)

    assert here[1] == there[1]
    assert here[0].crowd == there[0].crowd


@given(strangers=few_scores, own=few_scores)
def test_nobody_comes_nearer_than_a_sample_does_to_itself(strangers, own):
    cohort, kinship = akin(strangers, own, HIGHEST)

    assert kinship >= 0
    assert cohort.p_value(np.nextafter(HIGHEST, 1)) == cohort.resolvable_from


@pytest.mark.parametrize("own", [20, 100, 400])
def test_in_a_gallery_far_closer_than_the_strangers_its_own_trials_set_the_threshold(own):
    trials = around(0.6, own, spread=0.2)

    threshold = akin(around(3.5, 65), trials, HIGHEST)[0].threshold(0.05)

    assert np.quantile(trials, 0.9) < threshold <= trials.max()


def test_own_trials_count_as_up_to_two_strangers_where_they_are_fewer():
    strangers = around(3, 90)

    few, many = (akin(strangers, np.full(own, 1e-4), HIGHEST)[0] for own in (10, 400))

    itself = (90 + 40) / 110  # Σw² / Σw
    assert few.p_value(2e-4) == pytest.approx((itself + 90) / (110 + itself), abs=0.02)
    assert many.p_value(1e-4) == pytest.approx(1)
    assert many.resolvable_from == pytest.approx(1 / 491)


def test_own_trials_count_for_more_the_further_off_the_strangers_were_but_ten_are_ten():
    strangers, own = around(3, 90), np.full(10, expit(8 - 2.5**2))  # a deviation nearer: z = 1

    near = akin(strangers, own, HIGHEST)[0]
    far = akin(strangers, np.full(10, HIGHEST), HIGHEST)[0]

    itself = (90 + 10 * 4**2) / (90 + 10 * 4)
    assert near.resolvable_from == pytest.approx(itself / (90 + 10 * 4 + itself))
    itself = (90 + 10 * 10**2) / (90 + 10 * 10)
    assert far.resolvable_from == pytest.approx(itself / (90 + 10 * 10 + itself))


@pytest.mark.parametrize("own", [10, 20, 50, 100, 400])
def test_own_trials_like_the_strangers_never_cost_a_target_of_one_percent(own):
    cohort, _ = akin(around(3, 150), around(3, own), HIGHEST)

    assert cohort.resolvable_from <= 0.01


@pytest.mark.parametrize("own", [10, 20, 50, 100, 400])
@pytest.mark.parametrize("strangers", [10, 20, 65, 200, 1000])
def test_own_trials_however_far_from_the_strangers_never_cost_the_default_target(strangers, own):
    cohort, _ = akin(np.zeros(strangers), np.ones(own), 1.0)

    assert cohort.resolvable_from <= 0.05


def test_scores_lie_apart_as_no_kin_do_from_two_and_a_half_deviations_on():
    some = around(3, 60)

    assert [unlike(some, around(3 - by * 0.5, 10), HIGHEST) for by in (0, 2.4, 2.6, -2.6)] == [
        False,
        False,
        True,
        True,
    ]
    assert not unlike(some, around(0.5, 9), HIGHEST)
    assert not unlike(np.full(60, 0.3), np.full(60, 0.9), HIGHEST)


def test_strangers_of_every_group_are_judged_as_near_as_those_of_the_nearest():
    near, far = around(2, 40), around(3.5, 30, spread=0.25)
    groups = np.repeat([4, 7], [40, 30])

    raised = as_the_nearest(np.concatenate([near, far]), groups, HIGHEST)

    assert np.array_equal(raised[:40], near)
    assert raised[40:] == pytest.approx(around(2, 30))


def test_a_handful_of_strangers_neither_raises_others_nor_is_raised():
    few, many = around(2, 9), around(3, 20)
    scores, groups = np.concatenate([few, many]), np.repeat([0, 1], [9, 20])

    assert np.array_equal(as_the_nearest(scores, groups, HIGHEST), scores)
    assert np.array_equal(as_the_nearest(few, None, HIGHEST), few)


@given(seed=st.integers(0, 99), groups=st.integers(1, 4))
def test_what_a_group_is_called_and_who_came_first_changes_nothing(seed, groups):
    rng = np.random.default_rng(seed)
    scores, whose = expit(rng.normal(-2, 2, 60)), rng.integers(groups, size=60)
    order, names = rng.permutation(60), rng.permutation(9)

    plain = as_the_nearest(scores, whose, HIGHEST)

    assert np.allclose(as_the_nearest(scores[order], names[whose[order]], HIGHEST), plain[order])
    assert np.all(as_the_nearest(plain, whose, HIGHEST) <= HIGHEST)
    for group in range(groups):  # within a group nobody overtakes anybody
        own = whose == group
        assert np.array_equal(np.argsort(scores[own]), np.argsort(plain[own]))
