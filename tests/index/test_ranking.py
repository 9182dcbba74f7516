"""The order that each rule puts identities in, and that a partial search finds the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.faiss_gallery import FaissGallery
from index.gallery import Reference
from index.ranking import rank
from index.roster import Roster, Rule
from tests.index.circle import enrolled, on_circle

RULES: tuple[Rule, ...] = ("max", "mean", "centroid", "knn")


def ranked(roster: Roster, rule: Rule, degree: float = 0) -> list[tuple[str, float]]:
    ranking = rank(roster, on_circle(degree), rule, 10)[0]
    return [(each.identity, round(each.score, 3)) for each in ranking]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("max", [("ada", 0.9), ("bob", 0.7)]),
        ("mean", [("bob", 0.65), ("ada", 0.5)]),
        ("centroid", [("bob", 0.65), ("ada", 0.5)]),
        ("knn", [("bob", 0.65), ("ada", 0.5)]),  # votes: bob .7 + .6, ada .9 + .1
    ],
)
def test_each_rule_scores_a_hand_worked_example(rule, expected):
    roster = enrolled(ada=[10, 90], bob=[30, 40])

    assert ranked(roster, rule) == expected


@pytest.mark.parametrize("rule", RULES)
def test_with_one_sample_each_every_rule_is_the_nearest_neighbour(rule):
    roster = enrolled(ada=[40], bob=[20], cid=[45])

    assert ranked(roster, rule) == [("bob", 0.8), ("ada", 0.6), ("cid", 0.55)]


@pytest.mark.parametrize("rule", RULES)
def test_ties_go_to_the_identity_with_the_smaller_key(rule):
    roster = enrolled(bob=[30], ada=[30])

    assert [name for name, _ in ranked(roster, rule)] == ["bob", "ada"]


@pytest.mark.parametrize("rule", ["mean", "knn"])
def test_equal_means_go_to_whose_sample_is_nearest(rule):
    roster = enrolled(bob=[30, 30], ada=[20, 40])

    assert ranked(roster, rule) == [("ada", 0.7), ("bob", 0.7)]


def test_knn_names_whom_more_neighbours_vote_for_over_the_nearest():
    # Five votes: ada .95; bob .85 .8 .75 .7. The means alone would prefer ada.
    roster = enrolled(ada=[5], bob=[15, 20, 25, 30, 35])

    assert ranked(roster, "mean")[0] == ("ada", 0.95)
    assert ranked(roster, "knn") == [("bob", 0.75), ("ada", 0.95)]


def test_knn_lets_nobody_vote_whose_mean_is_below_a_half():
    # ada's nearest sample is nearest of all, but her mean is .48.
    roster = enrolled(ada=[4, 100], bob=[48])

    assert ranked(roster, "knn") == [("bob", 0.52), ("ada", 0.48)]


def test_knn_has_an_order_even_where_nobody_stands():
    roster = enrolled(ada=[90], bob=[80])

    assert ranked(roster, "knn") == [("bob", 0.2), ("ada", 0.1)]


def test_opposite_samples_without_a_centroid_are_spoken_for_by_the_oldest():
    roster = enrolled(ada=[0, 180])

    assert ranked(roster, "centroid") == [("ada", 1.0)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    rule=st.sampled_from(RULES),
    metric=st.sampled_from(("cosine", "l2", "l1")),
    steepness=st.sampled_from([0.5, 5, 50]),
    count=st.integers(1, 6),
)
def test_searching_a_part_ranks_as_scoring_everyone_does(seed, rule, metric, steepness, count):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((300, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    references = [Reference(key, str(rng.integers(60))) for key in range(300)]
    probes = np.concatenate([rows[:2], -rows[2:4]])

    def head(distances: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(steepness * (distances - 0.3)))

    rankings = []
    for depth in (1000, 4):  # everyone at once, and deepening from a few neighbours
        roster = Roster(lambda: FaissGallery(4, metric), head)
        roster.enroll(references, rows)
        roster.keep_centroids()
        found = rank(roster, probes, rule, count, depth=depth)
        rankings.append([ranking[:count] for ranking in found])

    assert rankings[0] == rankings[1]
    if rule != "knn":
        everyone = roster.scores(probes, roster.identities, rule)
        firsts = [ranking[0].score for ranking in rankings[0]]
        np.testing.assert_allclose(firsts, everyone.max(axis=1), atol=1e-12)
