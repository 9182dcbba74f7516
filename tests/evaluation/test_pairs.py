import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation.pairs import Pairs, all_pairs
from index.gallery import distances
from tests.evaluation.embedded import circle, noise


def pairs(genuine, impostor):
    return Pairs(np.sort(np.float32(genuine)), np.sort(np.float32(impostor)))


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


@given(impostor=st.lists(st.integers(0, 20), min_size=11, max_size=60), tenths=st.integers(1, 9))
@example(impostor=[0] * 42 + [1] * 18, tenths=3)  # 1 - 42/60 is more than .3
def test_a_threshold_keeps_to_its_fmr_and_a_lower_one_does_not(impostor, tenths):
    found, fmr = pairs([1], impostor), tenths / 10

    threshold = found.threshold_at(fmr)

    assert found.fmr(threshold) <= fmr
    assert found.fmr(np.nextafter(np.float32(threshold), np.float32(-1))) > fmr


def test_an_fmr_of_less_than_one_pair_is_refused():
    with pytest.raises(ValueError, match="3 impostor pairs do not resolve"):
        pairs([1], [1, 2, 3]).threshold_at(0.1)


def test_distances_are_those_of_the_index():
    embedded = noise(3, 2)

    found = all_pairs(embedded)

    far = distances(embedded.embeddings, embedded.embeddings, "cosine")[np.triu_indices(6, 1)]
    every = np.sort(np.concatenate([found.genuine, found.impostor]))
    assert every == pytest.approx(np.sort(1 - far / 2))
