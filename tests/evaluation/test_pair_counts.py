import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import det_curve, roc_auc_score

from evaluation.pair_counts import CELLS, PairCounts, PairScan
from evaluation.pairs import Embedded
from index.gallery import distances
from tests.evaluation.embedded import noise, two_sides

GRADES = st.lists(st.integers(1, 19), min_size=1, max_size=60)


def counted(genuine, impostor):
    """The counts of scores given in twentieths."""
    grades = np.unique([*genuine, *impostor])
    return PairCounts(
        grades / 20,
        np.array([genuine.count(grade) for grade in grades]),
        np.array([impostor.count(grade) for grade in grades]),
    )


def truth_and_scores(genuine, impostor):
    return [1] * len(genuine) + [0] * len(impostor), np.array([*genuine, *impostor]) / 20


def pooled(values, weights):
    """Pool adjacent violators, the slow way."""
    blocks = [[value, weight, 1] for value, weight in zip(values, weights, strict=True)]
    i = 0
    while i < len(blocks) - 1:
        if blocks[i][0] > blocks[i + 1][0]:
            (a, v, n), (b, w, m) = blocks[i : i + 2]
            blocks[i : i + 2] = [[(a * v + b * w) / (v + w), v + w, n + m]]
            i = max(i - 1, 0)
        else:
            i += 1
    return [value for value, _, count in blocks for _ in range(count)]


def cost(odds, *, same):
    """Return the cost in bits of log odds for a pair that is genuine, or is not."""
    return math.log2(1 + math.exp(-odds if same else odds))


@given(GRADES, GRADES)
def test_the_area_under_the_curve_is_scikit_learns(genuine, impostor):
    expected = roc_auc_score(*truth_and_scores(genuine, impostor))

    assert counted(genuine, impostor).area_under_curve() == pytest.approx(expected, abs=1e-9)


@given(GRADES, GRADES)
def test_error_rates_at_every_score_are_scikit_learns(genuine, impostor):
    fmr, fnmr, thresholds = det_curve(*truth_and_scores(genuine, impostor))

    found = counted(genuine, impostor)

    at = {round(score * 20): i for i, score in enumerate(found.scores)}
    for a, b, threshold in zip(fmr, fnmr, thresholds, strict=True):
        if np.isfinite(threshold):
            i = at[round(threshold * 20)]
            assert (found.fmr[i], found.fnmr[i]) == pytest.approx((a, b), abs=1e-9)


@given(GRADES, GRADES)
def test_the_equal_error_rate_is_that_of_trying_every_threshold(genuine, impostor):
    rates = [
        (
            sum(grade >= threshold for grade in impostor) / len(impostor),
            sum(grade < threshold for grade in genuine) / len(genuine),
        )
        for threshold in sorted({*genuine, *impostor})
    ]

    found = counted(genuine, impostor).equal_error_rate()

    gap = min(abs(a - b) for a, b in rates)
    allowed = [(a + b) / 2 for a, b in rates if abs(a - b) < gap + 1e-9]
    assert min(abs(found - rate) for rate in allowed) < 1e-9


@given(GRADES, GRADES, st.integers(1, 9))
def test_the_lowest_score_that_keeps_to_an_fmr_is_found(genuine, impostor, tenths):
    found = counted(genuine, impostor)

    place = found.place_at(tenths / 10)

    kept = [i for i in range(len(found.scores)) if found.fmr[i] <= tenths / 10 + 1e-12]
    assert place == (kept[0] if kept else len(found.scores))


@given(GRADES, GRADES)
def test_cllr_is_the_mean_cost_of_the_log_odds(genuine, impostor):
    odds = {grade: math.log(grade / (20 - grade)) for grade in {*genuine, *impostor}}
    expected = (
        math.fsum(cost(odds[g], same=True) for g in genuine) / len(genuine)
        + math.fsum(cost(odds[g], same=False) for g in impostor) / len(impostor)
    ) / 2

    assert counted(genuine, impostor).cllr() == pytest.approx(expected, abs=1e-9)


@given(GRADES, GRADES)
def test_the_least_cllr_is_that_of_pooling_adjacent_violators(genuine, impostor):
    found = counted(genuine, impostor)
    same, other = found.genuine / len(genuine) / 2, found.impostor / len(impostor) / 2
    stated = pooled((same / (same + other)).tolist(), (same + other).tolist())
    expected = math.fsum(
        (-a * math.log2(p) if a else 0) - (b * math.log2(1 - p) if b else 0)
        for a, b, p in zip(same.tolist(), other.tolist(), stated, strict=True)
    )

    assert found.min_cllr() == pytest.approx(expected, abs=1e-9)
    assert found.min_cllr() <= min(1, found.cllr()) + 1e-9


def test_scores_that_are_sure_and_right_cost_nothing_and_sure_and_wrong_ones_a_lot():
    right = PairCounts(np.array([0.0, 1.0]), np.array([0, 5]), np.array([7, 0]))
    wrong = PairCounts(np.array([0.0, 1.0]), np.array([5, 0]), np.array([0, 7]))

    assert right.cllr() == pytest.approx(0, abs=1e-6)
    assert 20 < wrong.cllr() < math.inf
    assert wrong.min_cllr() == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["cosine", "l2", "l1"]))
def test_counting_in_cells_moves_no_score_by_more_than_a_cell(seed, metric):
    drawn = noise(5, 4, seed=seed)
    embedded = Embedded(
        *(drawn.embeddings, drawn.labels, drawn.groups, drawn.drawers),
        metric,
        lambda far: expit(2 - 3 * far),
    )
    far = distances(embedded.embeddings, embedded.embeddings, metric)
    above = np.triu_indices(20, 1)
    same = (embedded.labels[:, None] == embedded.labels)[above]
    scores = np.sort(embedded.score(far[above].astype(np.float64)))

    found = PairScan(embedded).count()

    told = np.repeat(found.scores, found.genuine + found.impostor)
    assert (found.genuine_pairs, found.impostor_pairs) == (same.sum(), (~same).sum())
    assert np.abs(told - scores).max() < 3 * 8 / CELLS  # slope of the odds × widest reach
    assert (told <= scores + 1e-7).all()


def test_pairs_in_blocks_are_the_pairs_of_the_whole(monkeypatch):
    embedded = noise(6, 5)
    whole = PairScan(embedded).count()

    monkeypatch.setattr("evaluation.pair_counts._ROWS", 7)

    found = PairScan(embedded).count()
    assert np.array_equal(found.scores, whole.scores)
    assert np.array_equal(found.impostor, whole.impostor)
    assert np.array_equal(found.genuine, whole.genuine)


def test_of_two_encoders_each_pair_across_is_counted_once():
    embedded = two_sides(30, 2, 3)
    a, b = (embedded.embeddings[embedded.of_b == side] for side in (False, True))

    found = PairScan(embedded).count()

    same = embedded.labels[~embedded.of_b][:, None] == embedded.labels[embedded.of_b]
    scores = 1 - (1 - a.astype(float) @ b.T.astype(float)) / 2
    order = roc_auc_score(same.ravel(), scores.ravel())
    assert (found.genuine_pairs, found.impostor_pairs) == (int(same.sum()), int((~same).sum()))
    assert found.area_under_curve() == pytest.approx(order, abs=1e-6)
