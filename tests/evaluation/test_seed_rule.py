from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.seed_rule import UNKNOWN, labelled_knn, seed_rule, tied_vote
from index.gallery import Reference, distances
from index.numpy_gallery import NumpyGallery
from index.ranking import rank
from index.roster import Roster


def score(far):
    return 1 - far


def named(far, owners, rule=seed_rule):
    return rule(np.array([far], np.float32), score, np.array(owners)).tolist()


@pytest.mark.parametrize("rule", [seed_rule, labelled_knn])
def test_nobody_with_a_mean_score_of_half_is_unknown(rule):
    assert named([0.6, 0.9], [0, 1], rule) == [UNKNOWN]
    assert named([0.5, 0.9], [0, 1], rule) == [0]
    # The nearest sample is of somebody whose mean is too low: who stands is named.
    assert named([0.1, 0.95, 0.4], [0, 0, 1], rule) == [1]


def test_votes_weigh_by_nearness_and_not_by_number():
    # 1/.05 = 20 outweighs 1/.2 + 1/.2 + 1/.2 = 15, while scores .95 and 2.4 say the reverse.
    far, owners = [0.05, 0.2, 0.2, 0.2], [3, 4, 4, 4]

    assert named(far, owners) == [3]
    assert named(far, owners, labelled_knn) == [4]


def test_a_tie_goes_to_the_nearest():
    assert named([0.3, 0.2, 0.2, 0.3], [7, 5, 7, 5]) == [5]


def test_an_equal_embedding_decides_alone_and_divides_by_nothing():
    assert named([0.0, 0.01, 0.01], [1, 2, 2]) == [1]


def test_the_older_rule_counts_five_and_leaves_ties_unknown():
    vote = partial(lambda far, _, owners: tied_vote(far, owners))

    assert named([0.1, 0.2, 0.3, 0.4, 0.5], [0, 1, 2, 3, 4], vote) == [UNKNOWN]
    assert named([0.1, 0.2, 0.3, 0.4, 0.5], [0, 1, 1, 3, 4], vote) == [1]
    assert named([0.1, 0.2, 0.3, 0.4, 0.5], [0, 1, 1, 0, 4], vote) == [UNKNOWN]
    assert named([0.9], [6], vote) == [6]  # a stranger of one enrolled is always named
    # The sixth does not vote.
    assert named([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 0, 1, 1, 2, 1], vote) == [UNKNOWN]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_knn_here_is_knn_as_the_index_serves_it(seed, identities, samples):
    random = np.random.default_rng(seed)
    points = random.normal(size=(identities * samples + 5, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    references, probes = points[5:], points[:5]
    owners = np.repeat(np.arange(identities), samples)
    roster = Roster(lambda: NumpyGallery(3, "cosine"), score)
    keys = [Reference(i, str(owner)) for i, owner in enumerate(owners.tolist())]
    roster.enroll(keys, references)

    found = labelled_knn(distances(probes, references, "cosine"), score, owners)

    served = [ranking[0] for ranking in rank(roster, probes, "knn", 1)]
    expected = [int(first.identity) if first.score >= 0.5 else UNKNOWN for first in served]
    assert found.tolist() == expected
