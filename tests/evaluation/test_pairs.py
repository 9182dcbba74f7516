import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evaluation.pairs import Embedded, Pairs, all_pairs, bootstrap_pairs, ratio_interval
from index.gallery import distances

SCORES = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def pairs(genuine, impostor):
    return Pairs(np.sort(np.float32(genuine)), np.sort(np.float32(impostor)))


def circle(degrees, labels):
    angles = np.radians(degrees)
    points = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    labels = np.asarray(labels)
    return Embedded(points, labels, labels * 0, labels.astype(str), "cosine", np.negative)


def noise(identities, samples, spread=0.5, seed=0):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(identities), samples)
    points = random.normal(size=(identities, 8))[labels]
    points = points + spread * random.normal(size=points.shape)
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    drawers = np.tile(np.arange(samples), identities).astype(str)
    return Embedded(points, labels, labels % 2, drawers, "cosine", lambda d: 1 - d / 2)


def test_every_pair_is_counted_once_and_no_sample_meets_itself():
    found = all_pairs(circle([0, 60, 90], [0, 0, 1]))

    assert found.genuine == pytest.approx([-0.5])  # 0° and 60°
    assert found.impostor == pytest.approx([-1, np.sqrt(3) / 2 - 1])  # 90° from 0° and from 60°


def test_pairs_in_blocks_are_the_pairs_of_the_whole(monkeypatch):
    embedded = noise(6, 5)
    whole = all_pairs(embedded)

    monkeypatch.setattr("evaluation.pairs.ROWS_AT_ONCE", 7)

    assert np.array_equal(all_pairs(embedded).impostor, whole.impostor)
    assert len(whole.impostor) == 30 * 29 / 2 - 6 * 10


@settings(max_examples=30)
@given(genuine=SCORES, impostor=SCORES)
def test_the_equal_error_rate_is_that_of_trying_every_threshold(genuine, impostor):
    found = pairs(genuine, impostor)

    tried = [(found.fmr(t), found.fnmr(t)) for t in sorted({*genuine, *impostor})]
    gap = min(abs(fmr - fnmr) for fmr, fnmr in tried)
    allowed = {(fmr + fnmr) / 2 for fmr, fnmr in tried if abs(abs(fmr - fnmr) - gap) < 1e-9}
    assert min(abs(found.equal_error_rate() - rate) for rate in allowed) < 1e-9


@settings(max_examples=30)
@given(genuine=SCORES, impostor=SCORES)
def test_the_area_under_the_curve_is_scikit_learns(genuine, impostor):
    truth = [1] * len(genuine) + [0] * len(impostor)

    found = pairs(genuine, impostor).area_under_curve()

    assert found == pytest.approx(roc_auc_score(truth, genuine + impostor), abs=1e-9)


@given(impostor=st.lists(st.integers(0, 20), min_size=11, max_size=60), tenths=st.integers(1, 9))
def test_a_threshold_keeps_to_its_fmr_and_a_lower_one_does_not(impostor, tenths):
    found, fmr = pairs([1], impostor), tenths / 10

    threshold = found.threshold_at(fmr)

    assert found.fmr(threshold) <= fmr
    assert found.fmr(np.nextafter(np.float32(threshold), np.float32(-1))) > fmr


def test_an_fmr_of_less_than_one_pair_is_refused():
    with pytest.raises(ValueError, match="3 impostor pairs do not resolve"):
        pairs([1], [1, 2, 3]).threshold_at(0.1)


def test_bootstrap_intervals_hold_the_value_and_narrow_with_more_identities():
    few, many = noise(20, 5), noise(80, 5)

    spans = []
    for embedded in (few, many):
        found = all_pairs(embedded)
        spread = bootstrap_pairs(embedded, found, seed=1, replicates=100)
        low, high = spread.equal_error_rate()
        assert low <= found.equal_error_rate() <= high
        low_fnmr, high_fnmr = spread.fnmr_at(0.05)
        assert low_fnmr <= found.fnmr(found.threshold_at(0.05)) <= high_fnmr
        spans.append(high - low)

    assert spans[1] < spans[0]


def test_a_ratio_is_drawn_by_identity_and_not_by_trial():
    lucky = np.array([100, 0] * 10)

    low, high = ratio_interval(lucky, np.full(20, 100), seed=0)

    assert high - low > 0.3  # 2,000 independent trials would give .04


def test_distances_are_those_of_the_index():
    embedded = noise(3, 2)

    found = all_pairs(embedded)

    far = distances(embedded.embeddings, embedded.embeddings, "cosine")[np.triu_indices(6, 1)]
    every = np.sort(np.concatenate([found.genuine, found.impostor]))
    assert every == pytest.approx(np.sort(1 - far / 2))
