import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from evaluation.agreement import agreement, b3_by_identity, contingency, harmonic, rand_index

LABELS = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.integers(0, 5), min_size=n, max_size=n).map(np.array) for _ in range(2))
    )
)


@given(LABELS)
def test_b3_is_that_of_looking_at_every_sample(labels):
    truth, found = labels
    n = len(truth)
    both = [[truth[i] == truth[j] and found[i] == found[j] for j in range(n)] for i in range(n)]
    precision = np.mean([sum(both[i]) / (found == found[i]).sum() for i in range(n)])
    recall = np.mean([sum(both[i]) / (truth == truth[i]).sum() for i in range(n)])

    counts = contingency(truth, found)
    by_identity = b3_by_identity(counts)

    size = counts.sum(axis=1)
    told = [each @ size / n for each in by_identity]
    assert told == pytest.approx([precision, recall], abs=1e-9)
    assert harmonic(*told) == pytest.approx(
        2 * precision * recall / (precision + recall), abs=1e-9
    )


@given(LABELS)
def test_the_rand_index_of_everybody_once_is_scikit_learns(labels):
    counts = contingency(*labels)

    found = rand_index(counts, np.ones(len(counts)))

    assert found == pytest.approx(adjusted_rand_score(*labels), abs=1e-9)


def test_an_identity_drawn_never_does_not_count():
    counts = contingency(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 1]))

    assert rand_index(counts, np.ones(3)) < 1
    assert rand_index(counts, np.array([1.0, 1.0, 0.0])) == 1


def test_perfect_clusters_agree_in_every_measure_and_surely():
    truth = np.repeat(np.arange(8), 5)

    found = agreement(truth, 7 - truth, (1.0, 1.0), seed=0)

    for name in ("ari", "ami", "v_measure", "b3_precision", "b3_recall", "b3"):
        figure = getattr(found, name)
        assert figure.value == pytest.approx(1), name
        assert figure.interval == pytest.approx((1, 1)), name


def test_intervals_hold_the_value():
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(30), 6)
    found = np.where(random.random(180) < 0.8, truth, random.integers(0, 40, 180))

    told = agreement(truth, found, (0.5, 0.6), seed=0)

    for name in ("ari", "ami", "v_measure", "b3_precision", "b3_recall", "b3"):
        figure = getattr(told, name)
        assert figure.interval[0] < figure.value < figure.interval[1], name


def test_of_three_identities_nothing_is_said():
    truth = np.repeat(np.arange(3), 5)

    found = agreement(truth, truth, (1.0, 1.0), seed=0)

    assert found.ari.value is None
    assert "3 identities" in found.ari.too_few
