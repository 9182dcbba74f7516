"""Expected misses, by hand."""

import numpy as np
import pytest

from index.miss_rate import GenuineScores

NOBODY = np.empty(0)
SCORES = GenuineScores(
    "mean", {1: np.array([0.9, 0.2, 0.6, 0.4]), 4: np.array([0.5, 0.9, 0.9, 0.9])}
)


def test_a_probe_below_the_threshold_is_missed_and_one_at_it_is_not():
    assert SCORES.miss_rate("mean", 0.6, NOBODY, {1: 10}) == 2 / 4


def test_a_probe_that_another_identity_outscores_is_missed_as_well():
    strangers = np.array([0.1, 0.7])  # half the time .7 has to be beaten instead of .3

    assert SCORES.miss_rate("mean", 0.3, strangers, {1: 10}) == (1 / 4 + 3 / 4) / 2


def test_identities_count_by_their_samples_and_between_records_by_the_logarithm():
    # 2 is half-way from 1 to 4: (2/4 + 1/4) / 2.
    assert SCORES.miss_rate("mean", 0.6, NOBODY, {1: 3, 4: 1}) == (3 * 2 / 4 + 1 / 4) / 4
    assert SCORES.miss_rate("mean", 0.6, NOBODY, {2: 5}) == pytest.approx(3 / 8)


def test_with_one_sample_each_all_rules_are_one():
    assert SCORES.miss_rate("max", 0.6, NOBODY, {1: 10}) == 2 / 4
    assert SCORES.miss_rate("max", 0.6, NOBODY, {1: 10, 2: 1}) is None


@pytest.mark.parametrize("sizes", [{5: 1}, {1: 3, 5: 1}, {}])
def test_nothing_is_said_beyond_what_was_recorded(sizes):
    assert SCORES.miss_rate("mean", 0.6, NOBODY, sizes) is None
    assert GenuineScores("mean", {}).miss_rate("mean", 0.6, NOBODY, {1: 1}) is None
