import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.reliability import BINS, binned, curve, expected_error

ANSWERS = st.lists(
    st.tuples(st.floats(0, 1), st.booleans(), st.integers(1, 5)), min_size=1, max_size=50
)


@given(ANSWERS)
def test_the_error_is_the_mean_gap_over_fifteen_bins(answers):
    bins = [[] for _ in range(15)]
    for stated, right, weight in answers:
        bins[min(int(stated * 15), 14)] += [(stated, right)] * weight
    total = sum(weight for *_, weight in answers)
    expected = sum(
        len(each) / total * abs(np.mean([s for s, _ in each]) - np.mean([r for _, r in each]))
        for each in bins
        if each
    )

    sums = binned(*(np.array(column, float) for column in zip(*answers, strict=True)))

    assert expected_error(*sums) == pytest.approx(expected, abs=1e-9)
    assert sum(each.weight for each in curve(*sums)) == pytest.approx(1)


def test_what_comes_true_as_often_as_stated_has_no_error():
    stated = np.array([0.5, 0.5, 0.0, 1.0])
    right = np.array([1.0, 0.0, 0.0, 1.0])

    assert expected_error(*binned(stated, right, np.ones(4))) == 0
    assert len(binned(stated, right, np.ones(4))[0]) == BINS
