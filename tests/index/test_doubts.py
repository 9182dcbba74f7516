"""Samples that seem to be somebody else's, before they are enrolled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.doubts import UNLIKE, shares_as_near
from index.faiss_gallery import FaissGallery
from index.gallery import NotFinite, Reference
from index.identification import Identifier
from index.numpy_gallery import NumpyGallery
from tests.index.circle import by_degrees, on_circle

STRANGERS = on_circle(*np.linspace(150, 210, 40))


def circle(**samples: list[float]) -> Identifier:
    """Identities with samples at these degrees, and 40 strangers opposite of 0."""
    identifier = Identifier(lambda: NumpyGallery(2, "cosine"), by_degrees, STRANGERS)
    pairs = [(name, degree) for name, degrees in samples.items() for degree in degrees]
    references = [Reference(key, name) for key, (name, _) in enumerate(pairs)]
    if references:
        identifier.enroll(references, on_circle(*[degree for _, degree in pairs]))
    return identifier


def test_one_more_sample_of_an_identity_is_not_doubted():
    assert circle(ada=[0, 20], bob=[90]).doubts("ada", on_circle(5)).of(0) is None


def test_what_would_be_named_as_another_is_doubted_under_any_other_name():
    gallery = circle(ada=[0, 20], bob=[90])

    assert gallery.doubts("bob", on_circle(1)).of(0) == "another"
    assert gallery.doubts("carol", on_circle(1)).of(0) == "another"
    assert gallery.doubts("ada", on_circle(1)).of(0) is None


@pytest.mark.parametrize("rule", ["max", "mean", "centroid", "knn"])
def test_samples_are_doubted_by_whatever_rule_decides(rule):
    gallery = Identifier(lambda: NumpyGallery(2, "cosine"), by_degrees, STRANGERS, rule=rule)
    references = [Reference(key, name) for key, name in enumerate(("ada", "ada", "bob", "carol"))]
    gallery.enroll(references, on_circle(0, 2, 60, 90))

    assert gallery.doubts("bob", on_circle(1)).of(0) == "another"
    assert gallery.doubts("ada", on_circle(1)).of(0) is None


def test_what_is_as_far_from_its_identity_as_strangers_is_doubted():
    found = circle(ada=[0], bob=[90]).doubts("ada", on_circle(115, 116))

    assert found.shares[0] == pytest.approx(1 / 41)  # each speaks for the other …
    assert circle(ada=[0]).doubts("ada", on_circle(115)).of(0) == "unlike"  # … but not alone


def test_one_of_several_that_is_unlike_the_rest_is_told_apart():
    found = circle().doubts("ada", on_circle(0, 3, 120))

    assert [found.of(i) for i in range(3)] == [None, None, "unlike"]


def test_the_first_sample_of_a_new_identity_in_an_empty_gallery_cannot_be_doubted():
    found = circle().doubts("ada", on_circle(0))

    assert found.of(0) is None
    assert np.isnan(found.shares[0])


def test_where_a_gallery_is_not_tried_against_itself_nothing_is_doubted():
    gallery = Identifier(
        lambda: NumpyGallery(2, "cosine"), by_degrees, STRANGERS, own_trials=False
    )
    gallery.enroll([Reference(1, "ada")], on_circle(0))

    assert gallery.doubts("bob", on_circle(0)).of(0) is None


def test_what_is_not_finite_is_refused():
    with pytest.raises(NotFinite):
        circle(ada=[0]).doubts("ada", np.array([[np.nan, 0]], np.float32))


@given(
    st.integers(1, 5),
    st.integers(1, 30),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_a_share_counts_the_strangers_who_come_as_near_and_itself(n, m, r, seed):
    rng = np.random.default_rng(seed)
    own, strangers = rng.integers(0, 5, (n, r)) / 4, rng.integers(0, 5, (m, r)) / 4
    known = rng.random((n, r)) < 0.7

    shares = shares_as_near(own, strangers, known)

    for row in range(n):
        columns = [c for c in range(r) if known[row, c]]
        if not columns:
            assert np.isnan(shares[row])
            continue
        best = max(own[row, c] for c in columns)
        near = sum(max(one[c] for c in columns) >= best for one in strangers)
        assert shares[row] == (1 + near) / (1 + m)


def test_of_honest_samples_as_many_are_doubted_as_the_share_says():
    rng = np.random.default_rng(0)
    everybody = rng.standard_normal((2000, 3))

    shares = shares_as_near(everybody[:1000], everybody[1000:], np.ones((1000, 3), bool))

    assert abs((shares > UNLIKE).mean() - (1 - UNLIKE)) < 0.03  # strangers themselves


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("rule", ["max", "mean", "centroid", "knn"])
def test_many_samples_are_doubted_as_each_would_be_alone(rule, metric):
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((100, 16))
    own = [f"p{i // 3}" for i in range(300)]
    enrolled = unit(np.repeat(kinds, 3, axis=0) + 0.4 * rng.standard_normal((300, 16)))
    gallery = Identifier(
        lambda: FaissGallery(16, metric),
        lambda far: 1 / (1 + np.exp(8 * (far - 0.5))),
        unit(rng.standard_normal((60, 16))),
        rule=rule,
    )
    gallery.enroll([Reference(key, name) for key, name in enumerate(own)], enrolled)
    again = unit(kinds + 0.4 * rng.standard_normal((100, 16)))
    new = unit(rng.standard_normal((50, 16)))
    samples = np.concatenate([again, again[:50], new])
    names = [f"p{i}" for i in range(100)] + [f"q{i}" for i in range(50)]
    names += [f"p{i}" for i in range(50)]  # others under these

    together = gallery.doubts_of_each(names, samples)
    alone = [
        gallery.doubts(name, sample[None]).of(0)
        for name, sample in zip(names, samples, strict=True)
    ]

    assert together == alone
    assert set(together) == {None, "another", "unlike"}
    near = gallery.doubts_of_each(names, samples, others=False)
    assert set(near) == {None, "unlike"}
    assert all(
        told == found for told, found in zip(near, alone, strict=True) if found != "another"
    )


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
