import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sampling import BalancedBatches


def batches(sizes, p, k, *, kin=1, groups=None):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    groups = labels if groups is None else np.asarray(groups)[labels]
    return BalancedBatches(labels, groups, p, k, kin, seed=1)


@given(
    sizes=st.lists(st.integers(1, 7), min_size=4, max_size=12),
    p=st.integers(1, 4),
    k=st.integers(1, 9),
    kin=st.integers(1, 5),
)
def test_every_batch_has_exactly_p_labels_and_k_samples_of_each(sizes, p, k, kin):
    sampler = batches(sizes, p, k, kin=kin, groups=np.arange(len(sizes)) % 3)

    for rows in sampler.epoch(0):
        labels, counts = np.unique(sampler.labels[rows], return_counts=True)
        assert len(labels) == p
        assert (counts == k).all()


@given(
    sizes=st.lists(st.integers(1, 7), min_size=4, max_size=12),
    p=st.integers(1, 4),
    k=st.integers(1, 9),
    number=st.integers(0, 5),
)
def test_an_epoch_shows_every_label_and_a_batch_none_of_them_twice(sizes, p, k, number):
    sampler = batches(sizes, p, k)

    shown = [sampler.labels[rows].reshape(p, k)[:, 0] for rows in sampler.epoch(number)]

    assert set(np.concatenate(shown)) == set(range(len(sizes)))
    assert all(len(set(labels)) == p for labels in shown)
    times = np.bincount(np.concatenate(shown))
    assert times.max() - times.min() <= 1


def test_a_label_with_one_sample_shows_it_as_often_as_a_batch_asks():
    sampler = batches([1, 9], p=2, k=4)

    for rows in sampler.epoch(0):
        assert np.bincount(sampler.labels[rows]).tolist() == [4, 4]
        assert set(rows[sampler.labels[rows] == 0]) == {0}


def test_every_label_is_shown_once_before_any_is_shown_again():
    sampler = batches([4] * 12, p=4, k=2)

    shown = [np.unique(sampler.labels[rows]) for rows in sampler.epoch(3)]

    assert len(shown) == len(sampler) == 6
    for start in (0, 3):
        assert np.array_equal(np.sort(np.concatenate(shown[start : start + 3])), np.arange(12))


def test_an_epoch_shows_as_many_samples_as_there_are_short_of_a_batch():
    sampler = batches([50, 51], p=2, k=5)

    assert sum(len(rows) for rows in sampler.epoch(0)) == 100


def test_a_label_with_too_few_samples_repeats_each_of_them_evenly():
    sampler = batches([3, 3], p=2, k=7)

    (rows,) = sampler.epoch(0)

    assert sorted(np.bincount(rows[sampler.labels[rows] == 0], minlength=3)) == [2, 2, 3]


def test_kin_stand_together_in_runs():
    sampler = batches([1] * 16, p=16, k=1, kin=4, groups=np.arange(16) % 2)

    (rows,) = sampler.epoch(0)

    groups = sampler.groups[rows].reshape(-1, 4)
    assert (groups == groups[:, :1]).all()


def test_an_epoch_is_the_same_each_time_and_differs_from_the_next():
    sampler = batches([4] * 9, p=3, k=2)

    first, again, second = ([*sampler.epoch(number)] for number in (0, 0, 1))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_more_labels_a_batch_than_there_are_is_refused():
    with pytest.raises(ValueError, match="asks for 3 labels, there are 2"):
        batches([4, 4], p=3, k=2)
