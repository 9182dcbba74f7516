"""Who is enrolled, and what each identity scores."""

import numpy as np
import pytest

from index.gallery import Reference, UnknownKey
from index.numpy_gallery import NumpyGallery
from index.roster import Roster, Rule, means
from tests.index.circle import by_degrees, enrolled, on_circle


@pytest.mark.parametrize(
    ("rule", "ada", "bob"),
    [("max", 0.9, 0.5), ("mean", 0.7, 0.5), ("knn", 0.7, 0.5), ("centroid", 0.7, 0.5)],
)
def test_each_rule_scores_a_hand_worked_example(rule: Rule, ada: float, bob: float):
    roster = enrolled(ada=[10, 50], bob=[50])

    scores = roster.scores(on_circle(0), ["bob", "ada"], rule)

    assert scores == pytest.approx(np.array([[bob, ada]]), abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "expected"), [("max", 0.9), ("mean", 0.75), ("knn", 0.75), ("centroid", 0.75)]
)
def test_an_identitys_own_score_is_its_oldest_samples_by_the_others(rule, expected):
    roster = enrolled(ada=[0, 10, 40], bob=[0])

    assert roster.own_score("ada", rule) == pytest.approx(expected, abs=1e-4)
    assert roster.own_score("bob", rule) is None


def test_changes_tell_whose_references_they_were_once_each():
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)
    references = [Reference(5, "ada"), Reference(3, "bob"), Reference(4, "ada")]

    assert roster.enroll(references, on_circle(0, 50, 10)) == ["ada", "bob"]
    assert roster.oldest("ada") == 4
    assert roster.forget([3, 4]) == ["bob", "ada"]
    assert (roster.identities, roster.samples) == (["ada"], 1)


def test_sizes_count_identities_by_their_samples():
    roster = enrolled(ada=[10, 50, 60], bob=[50], cid=[70])
    assert roster.sizes == {3: 1, 1: 2}

    roster.forget([0, 3])

    assert roster.sizes == {2: 1, 1: 1}


def test_a_forgotten_last_sample_takes_its_identity_and_centroid_along():
    roster = enrolled(ada=[0, 40], bob=[50])

    roster.forget([1])
    moved = roster.scores(on_circle(0), ["ada"], "centroid")
    roster.forget([0])

    assert moved == pytest.approx(np.array([[1]]), abs=1e-3)
    assert "ada" not in roster
    assert (len(roster), roster.samples, len(roster.centroids)) == (1, 1, 1)


def test_centroids_are_there_only_once_they_are_kept():
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)

    with pytest.raises(UnknownKey, match="keep_centroids"):
        roster.scores(on_circle(0), [], "centroid")


def test_samples_are_listed_best_first_with_ties_to_the_smaller_key():
    roster = enrolled(ada=[40, 20, 40], bob=[0])

    bobs, adas = roster.sample_scores(on_circle(0)[0], ["bob", "ada"], 2)

    assert [(key, round(score, 3)) for key, score in adas] == [(1, 0.8), (0, 0.6)]
    assert [(key, round(score, 3)) for key, score in bobs] == [(3, 1.0)]


def test_a_centroid_is_the_same_to_the_last_bit_alone_and_among_all():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 24)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    references = [Reference(i, f"id {i % 7}") for i in range(40)]
    at_once, by_and_by = (
        Roster(lambda: NumpyGallery(24, "cosine"), np.negative) for _ in range(2)
    )

    at_once.enroll(references, rows)
    at_once.keep_centroids()
    by_and_by.keep_centroids()
    for reference, row in zip(references, rows, strict=True):
        by_and_by.enroll([reference], row[None])

    np.testing.assert_array_equal(at_once.all_centroids(), by_and_by.all_centroids())


def test_a_mean_is_the_same_to_the_last_bit_alone_and_among_all():
    chance = np.random.default_rng(0)
    counts = np.concatenate([chance.integers(1, 40, 300), [3000]])
    scores = chance.standard_normal((counts.sum(), 16))

    together = means(scores, counts)

    alone = [
        means(group, np.array([len(group)])) for group in np.split(scores, counts.cumsum())[:-1]
    ]
    assert np.array_equal(together, np.concatenate(alone))
    assert np.array_equal(together[:, :1], means(scores[:, :1], counts))
    assert means(scores[:0], counts[:0]).shape == (0, 16)
