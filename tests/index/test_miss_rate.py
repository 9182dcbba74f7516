"""Expected misses, by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from index.miss_rate import GenuineScores, OwnMisses, expected_fnir

NOBODY = np.empty(0)
SCORES = GenuineScores(
    "mean", {1: np.array([0.9, 0.2, 0.6, 0.4]), 4: np.array([0.5, 0.9, 0.9, 0.9])}
)


def test_a_probe_below_the_threshold_is_missed_and_one_at_it_is_not():
    assert SCORES.miss_rate("mean", 0.6, NOBODY, {1: 10}) == 2 / 4


def test_a_probe_that_another_identity_outscores_is_missed_as_well():
    strangers = np.array([0.1, 0.7])  # half the time .7 has to be beaten instead of .3
    always = (1 / 4 + 3 / 4) / 2

    # The right identity itself holds one in ten of the strangers' best scores.
    expected = 1 / 4 + (always - 1 / 4) * 9 / 10
    assert SCORES.miss_rate("mean", 0.3, strangers, {1: 10}) == pytest.approx(expected)
    assert SCORES.miss_rate("mean", 0.3, strangers, {1: 1}) == 1 / 4


def test_identities_count_by_their_samples_and_between_records_by_the_logarithm():
    # 2 is half-way from 1 to 4: (2/4 + 1/4) / 2.
    assert SCORES.miss_rate("mean", 0.6, NOBODY, {1: 3, 4: 1}) == (3 * 2 / 4 + 1 / 4) / 4
    assert SCORES.miss_rate("mean", 0.6, NOBODY, {2: 5}) == pytest.approx(3 / 8)


def test_with_one_sample_each_all_rules_are_one():
    assert SCORES.miss_rate("max", 0.6, NOBODY, {1: 10}) == 2 / 4
    assert SCORES.miss_rate("max", 0.6, NOBODY, {1: 10, 2: 1}) is None


@pytest.mark.parametrize(
    ("rule", "sizes", "reason"),
    [
        ("mean", {5: 19}, "samples-outside-calibration"),
        ("mean", {1: 19, 5: 1}, "samples-outside-calibration"),
        ("mean", {}, "empty-gallery"),
        ("max", {2: 19}, "rule-not-calibrated"),
    ],
)
def test_nothing_is_said_beyond_what_was_recorded_and_why_not(rule, sizes, reason):
    assert SCORES.miss_rate(rule, 0.6, NOBODY, sizes) is None
    assert expected_fnir(SCORES, None, rule, 0.6, NOBODY, sizes) == (reason, None)


def test_without_scores_fifty_own_trials_speak_and_fewer_do_not():
    few, enough = OwnMisses(0.3, {1: 49}), OwnMisses(0.3, {1: 50})

    assert expected_fnir(None, enough, "mean", 0.6, NOBODY, {2: 50})[0] == 0.3
    assert expected_fnir(None, few, "mean", 0.6, NOBODY, {2: 50})[0] == "no-calibration"
    assert expected_fnir(None, None, "mean", 0.6, NOBODY, {1: 50})[0] == "no-calibration"


@pytest.mark.parametrize(("trials", "trusted"), [(9, 0), (25, 0.5), (50, 1), (400, 1)])
def test_own_trials_move_what_is_told_by_how_far_they_depart_from_it(trials, trusted):
    # Of four samples one in four is missed, of two 3/8; the own trials, at two, saw 5/8.
    own = OwnMisses(5 / 8, {2: trials})

    found, _ = expected_fnir(SCORES, own, "mean", 0.6, NOBODY, {4: 400})

    assert found == pytest.approx(1 / 4 + trusted * (5 / 8 - 3 / 8))


def test_of_few_identities_nothing_is_told():
    for sizes, told in (({1: 9}, "gallery-too-small"), ({1: 6, 4: 4}, (6 * 2 / 4 + 4 / 4) / 10)):
        assert expected_fnir(SCORES, None, "mean", 0.6, NOBODY, sizes) == (told, None)


def test_a_share_stays_one():
    own = OwnMisses(1, {1: 50})

    assert expected_fnir(SCORES, own, "mean", 0.99, NOBODY, {1: 50})[0] == 1


@pytest.mark.parametrize(("missed", "trials"), [(0, 52), (1, 50), (30, 400), (50, 50)])
def test_the_interval_is_the_exact_one_of_a_binomial_share(missed, trials):
    own = OwnMisses(missed / trials, {1: trials})
    exact = binomtest(missed, trials).proportion_ci(method="exact")

    _, found = expected_fnir(None, own, "mean", 0.6, NOBODY, {2: trials})

    assert found == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_interval_is_moved_by_what_the_sample_held_out_is_worth():
    # Of one sample half are missed, of four a quarter: the trials' share is a quarter too high.
    own = OwnMisses(0.5, {1: 40})
    low, high = own.interval

    expected, found = expected_fnir(SCORES, own, "mean", 0.6, NOBODY, {4: 40})

    assert expected == 0.25
    assert found == pytest.approx((max(0, low - 0.25), high - 0.25))


def test_own_trials_beyond_what_was_recorded_give_an_interval_that_is_not_moved():
    own = OwnMisses(0.5, {5: 40})  # recorded up to four

    expected, found = expected_fnir(SCORES, own, "mean", 0.6, NOBODY, {4: 40})

    assert expected == 0.25
    assert found == (min(own.interval[0], 0.25), own.interval[1])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.15), (1.0, 0.35)])
def test_the_interval_holds_the_rate_where_few_trials_move_it_but_little(share, expected):
    # Ten trials count a fifth: 1/4 and a fifth of how far they depart from 1/2.
    own = OwnMisses(share, {1: 10})

    found, (low, high) = expected_fnir(SCORES, own, "mean", 0.6, NOBODY, {4: 40})

    assert found == pytest.approx(expected)
    assert found == (low if share else high)


def test_without_ten_trials_or_without_a_rate_there_is_no_interval():
    few, enough = OwnMisses(0.2, {1: 9}), OwnMisses(0.2, {1: 10})

    def found(genuine, own):
        return expected_fnir(genuine, own, "mean", 0.6, NOBODY, {2: 10})[1]

    assert found(SCORES, None) is None
    assert found(SCORES, few) is None
    assert found(None, enough) is None
    assert found(SCORES, enough) is not None


def test_in_at_least_95_percent_of_galleries_the_interval_holds_the_true_rate():
    rng, held, galleries = np.random.default_rng(5), 0, 2000
    for _ in range(galleries):
        hardness = rng.beta(0.4, 2.0, size=60)  # who is missed differs from one to the next
        missed = (rng.random(60) < hardness).mean()
        own = OwnMisses(float(missed), {1: 60})
        _, (low, high) = expected_fnir(None, own, "mean", 0.6, NOBODY, {2: 60})
        held += low <= hardness.mean() <= high
    assert held / galleries >= 0.95
