"""Which enrolled samples would be taken for somebody else's."""

import numpy as np
import pytest

from index import FaissGallery, Identifier, Reference, UnknownKey, links
from index.gallery import distances

DIMENSION = 16
RULES = ["max", "mean", "centroid", "knn"]


def score(far):
    return 1 / (1 + np.exp(8 * np.asarray(far, np.float64) - 3))


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def crowd():
    """Twelve identities of one to six samples that overlap, and strangers."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(12, DIMENSION))
    names, rows = [], []
    for number, centre in enumerate(centres):
        for _ in range(1 + number % 6):
            names.append(f"c{number}")
            rows.append(centre + rng.normal(size=DIMENSION) * 0.9)
    references = [Reference(10 * key, name) for key, name in enumerate(names, start=1)]
    return references, unit(np.array(rows)), unit(rng.normal(size=(60, DIMENSION)))


def identifier(crowd, rule, *, own_trials=True, but=None):
    references, rows, strangers = crowd
    index = Identifier(
        lambda: FaissGallery(DIMENSION, "cosine"),
        score,
        strangers,
        rule=rule,
        own_trials=own_trials,
    )
    kept = [i for i, reference in enumerate(references) if reference.key != but]
    index.enroll([references[i] for i in kept], rows[kept])
    return index


@pytest.mark.parametrize("rule", ["max", "mean", "centroid"])
def test_a_sample_is_what_identifying_it_says_in_the_gallery_without_it(crowd, rule):
    references, rows, _ = crowd
    threshold = 0.35

    found = identifier(crowd, rule).left_out([each.key for each in references], threshold)

    told = {"own": 0, "another": 0, "unknown": 0, "alone": 0}
    sizes = [sum(each.identity == other.identity for other in references) for each in references]
    for i, (reference, outcome) in enumerate(zip(references, found, strict=True)):
        told[outcome] += 1
        without = identifier(crowd, rule, but=reference.key)
        [answer] = without.identify(rows[i : i + 1], threshold=threshold, rule=rule)
        first = answer.candidates[0]
        named = first.identity if first.score >= threshold else None
        expected = (
            "another"
            if named not in (None, reference.identity)
            else "own"
            if named
            else "alone"
            if sizes[i] == 1
            else "unknown"
        )
        assert outcome == expected, reference
    assert all(told.values()), told


def test_the_vote_is_judged_by_mean_scores_as_the_gallerys_own_trials_are(crowd):
    keys = [each.key for each in crowd[0]]

    assert identifier(crowd, "knn").left_out(keys, 0.35) == identifier(crowd, "mean").left_out(
        keys, 0.35
    )


def test_where_references_are_not_compared_with_each_other_nothing_is_told(crowd):
    assert identifier(crowd, "max", own_trials=False).left_out([10], 0.5) is None


def test_a_key_that_is_gone_is_told(crowd):
    with pytest.raises(UnknownKey):
        identifier(crowd, "max").left_out([10, 11], 0.5)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_that_decides_is_told(crowd, rule):
    assert identifier(crowd, rule).deciding() == rule


@pytest.mark.parametrize("most", [0, 3, 10**6])
def test_links_are_the_best_pairs_of_different_identities_each_once(crowd, most):
    references, rows, _ = crowd
    rows = np.tile(rows, (9, 1))  # more than a block
    numbers = np.unique([each.identity for each in references], return_inverse=True)[1]
    numbers = np.tile(numbers, 9).astype(np.int64)

    count, found = links(rows, numbers, score, 0.3, "cosine", most)

    scores = score(distances(rows, rows, "cosine"))
    expected = sorted(
        (-scores[i, j], i, j)
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
        if numbers[i] != numbers[j] and scores[i, j] >= 0.3
    )
    assert count == len(expected) > 3
    assert found == [(i, j, -less) for less, i, j in expected[:most]]


def test_of_nobody_there_are_no_links():
    assert links(np.empty((0, 4), np.float32), np.empty(0, np.int64), score, 0.1, "l2", 5) == (
        0,
        [],
    )
