"""Which samples are on a map, and where they lie at first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from index import EACH, Reference, chosen, principal_plane


def enrolled(*counts):
    """References of identities `a`, `b`, … enrolled one after the other."""
    names = [name for name, count in zip("abcdefgh", counts, strict=False) for _ in range(count)]
    return [Reference(key, name) for key, name in enumerate(names, start=1)]


def names_of(references, places):
    return [references[place].identity for place in places]


def test_of_an_identity_its_oldest_samples_are_shown_and_no_more_than_twenty():
    references = enrolled(30, 2)

    places = chosen(references, 1000)

    assert [references[place].key for place in places] == [*range(1, EACH + 1), 31, 32]


def test_where_there_is_no_room_every_identity_has_its_first_before_any_has_a_second():
    references = enrolled(5, 1, 3)

    assert sorted(names_of(references, chosen(references, 3))) == ["a", "b", "c"]
    assert sorted(names_of(references, chosen(references, 5))) == ["a", "a", "b", "c", "c"]


@given(st.lists(st.integers(1, 25), min_size=1, max_size=8), st.integers(1, 60), st.randoms())
def test_the_choice_is_by_rising_key_within_its_bounds_in_any_order(counts, most, random):
    references = enrolled(*counts)
    shuffled = random.sample(references, len(references))

    keys = [references[place].key for place in chosen(references, most)]

    assert keys == [shuffled[place].key for place in chosen(shuffled, most)]
    assert keys == sorted(set(keys))
    assert len(keys) == min(most, sum(min(count, EACH) for count in counts))


def test_who_goes_without_a_place_does_not_depend_on_who_came_first():
    references = [Reference(key, name) for key, name in enumerate("abcdefgh", start=1)]
    turned = [Reference(9 - reference.key, reference.identity) for reference in references]

    assert set(names_of(references, chosen(references, 3))) == set(
        names_of(turned, chosen(turned, 3))
    )


@pytest.mark.parametrize("dimension", [2, 3, 64])
def test_the_plane_is_that_of_scikit_learns_principal_components(dimension):
    rows = np.random.default_rng(dimension).normal(size=(200, dimension)).astype(np.float32)
    rows *= np.linspace(2, 1, dimension, dtype=np.float32)

    plane = principal_plane(rows)

    theirs = PCA(2, svd_solver="full").fit_transform(rows.astype(np.float64))
    theirs -= (theirs.max(axis=0) + theirs.min(axis=0)) / 2
    theirs /= np.abs(theirs).max()
    for axis in range(2):
        same = np.sign(plane[:, axis] @ theirs[:, axis])
        np.testing.assert_allclose(plane[:, axis], same * theirs[:, axis], atol=2e-5)


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (5, 1)])
def test_any_number_of_samples_has_a_plane(shape):
    plane = principal_plane(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))

    assert plane.shape == (shape[0], 2)
    assert np.isfinite(plane).all()
    assert np.abs(plane).max(initial=0) in (0, 1)


def test_equal_samples_lie_in_the_middle():
    assert not principal_plane(np.ones((7, 3), np.float32)).any()
