"""Ward's hierarchy, held to SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cut_tree
from scipy.cluster.hierarchy import linkage as scipy_linkage

from index.ward import Merges, _in_lists, ward


def partition(merges: Merges, made: int) -> set[frozenset[int]]:
    """The clusters after the lowest so many merges."""
    clusters = {i: {i} for i in range(len(merges.pairs) + 1)}
    for i in np.argsort(merges.heights, kind="stable")[:made]:
        a, b = merges.pairs[i].tolist()
        clusters[a] |= clusters.pop(b)
    return {frozenset(each) for each in clusters.values()}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), count=st.integers(2, 80), offset=st.sampled_from([0, 1000]))
def test_it_is_the_hierarchy_of_scipy(seed, count, offset):
    rows = np.random.default_rng(seed).standard_normal((count, 3)).astype(np.float32) + offset

    found, expected = ward(rows), scipy_linkage(rows.astype(np.float64), "ward")

    assert np.sort(found.heights) == pytest.approx(expected[:, 2] ** 2, rel=1e-6, abs=1e-9)
    assert np.sort(found.sizes.sum(axis=1)).tolist() == np.sort(expected[:, 3]).tolist()
    for clusters in {1, 2, count // 2 + 1, count}:
        labels = cut_tree(expected, clusters).ravel()
        theirs = {frozenset(np.flatnonzero(labels == each).tolist()) for each in set(labels)}
        assert partition(found, count - clusters) == theirs


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.3])
def test_it_is_so_where_clusters_are_larger_than_the_few_that_are_remembered(spread):
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((12, 1, 6))
    rows = (centres + spread * rng.standard_normal((12, 70, 6))).reshape(-1, 6)
    rows = (rows + 1e-6 * rng.standard_normal(rows.shape)).astype(np.float32)

    found, expected = ward(rows), scipy_linkage(rows.astype(np.float64), "ward")

    assert np.sort(found.heights) == pytest.approx(expected[:, 2] ** 2, rel=1e-6, abs=1e-9)
    labels = cut_tree(expected, 12).ravel()
    theirs = {frozenset(np.flatnonzero(labels == each).tolist()) for each in set(labels)}
    assert partition(found, len(rows) - 12) == theirs


def test_a_height_is_what_joining_adds_to_the_squares_within():
    rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)

    total = ward(rows).heights.sum() / 2

    assert total == pytest.approx(((rows - rows.mean(axis=0)) ** 2).sum(), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), sides=st.integers(1, 3))
def test_ties_do_not_keep_it_from_ending(seed, sides):
    rows = np.random.default_rng(seed).integers(0, 1 + sides, (60, 2)).astype(np.float32) / 10

    found = ward(rows)

    assert partition(found, 59) == {frozenset(range(60))}


def test_a_single_item_is_joined_to_nothing():
    found = ward(np.ones((1, 2), np.float32))

    assert found.pairs.shape == (0, 2)
    assert found.heights.shape == (0,)


def test_rings_of_equals_that_rounding_makes_are_broken():
    from index.ward import _mutual

    a, b = _mutual(np.array([1, 2, 0]), np.array([0.3, 0.2, 0.4]))

    assert (a.tolist(), b.tolist()) == ([1], [2])


def of_identities(rng, identities, samples, dimension=12):
    centres = rng.standard_normal((identities, 1, dimension))
    rows = centres + 0.1 * rng.standard_normal((identities, samples, dimension))
    return rows.reshape(-1, dimension).astype(np.float32)


def test_among_many_items_lists_find_whom_to_join(monkeypatch):
    rows = of_identities(np.random.default_rng(3), 150, 20)
    expected = ward(rows)
    monkeypatch.setattr("index.ward._EXACT", 1000)

    found = ward(rows)

    assert _in_lists(rows, 25) is not None
    identities = {frozenset(range(i, i + 20)) for i in range(0, len(rows), 20)}
    assert partition(found, len(rows) - 150) == partition(expected, len(rows) - 150) == identities
    assert found.heights.sum() == pytest.approx(expected.heights.sum(), rel=1e-3)


def test_where_lists_find_too_few_all_are_searched(monkeypatch):
    rows = np.random.default_rng(3).standard_normal((3000, 64)).astype(np.float32)
    expected = ward(rows)
    monkeypatch.setattr("index.ward._EXACT", 1000)

    found = ward(rows)

    assert _in_lists(rows, 25) is None
    assert np.array_equal(found.pairs, expected.pairs)
