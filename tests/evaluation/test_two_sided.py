"""Two sides: recall counted one by one, what is measured of each direction, and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from evaluation.calibration import score_of
from evaluation.two_sided import (
    TwoSided,
    across,
    calibrate_two_sided,
    open_set,
    recall,
    recalls,
    strangers,
)

CAPTIONS, STYLES = ("caption", "tags"), ("flat", "round", "line")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def two_sides(noise: float = 0.5, n: int = 40, seed: int = 0) -> TwoSided:
    """Return n identities: two texts and three pictures around a place of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n, 16))

    def around(kinds: tuple[str, ...]) -> np.ndarray:
        places = np.repeat(centres, len(kinds), axis=0)
        return unit(places + noise * rng.normal(size=places.shape))

    return TwoSided.of(around(CAPTIONS), around(STYLES), CAPTIONS, STYLES)


@pytest.mark.parametrize("rank", [1, 5, 10])
def test_recall_is_the_accuracy_of_the_first_few(rank):
    samples = two_sides(noise=1.0)
    texts = samples.a.embeddings.reshape(40, 2, 16)
    pictures = samples.b.embeddings.reshape(40, 3, 16)

    found = recall(samples, "a", rank, 0)

    scores = [texts[:, i] @ pictures[:, j].T for i in range(2) for j in range(3)]
    each = [top_k_accuracy_score(np.arange(40), one, k=rank) for one in scores]
    assert found.value == pytest.approx(np.mean(each), abs=1e-9)
    assert found.interval[0] < found.value < found.interval[1]


def test_only_the_kinds_asked_for_are_probes():
    samples = two_sides(noise=1.0)
    captions = samples.a.embeddings[0::2] @ samples.b.embeddings.reshape(40, 3, 16)[:, 1].T

    found = recall(samples, "a", 1, 0, ("caption",))

    assert "caption of 40 identities" in found.counted
    assert found.value != recall(samples, "a", 1, 0).value
    assert captions.shape == (40, 40)


def test_a_tie_counts_as_lost():
    same = np.ones((6, 4), np.float32) / 2

    found = recall(TwoSided.of(same, same, ("text",), ("picture",)), "a", 5, 0)

    assert found.value == 0


def test_the_directions_are_searched_each_for_itself():
    """Every text lies at the first picture: pictures find their texts no better than by chance."""
    pictures = np.eye(8, dtype=np.float32)
    texts = np.vstack([pictures[:1] + 1e-3 * pictures[i : i + 1] for i in range(8)])
    samples = TwoSided.of(unit(texts), pictures, ("text",), ("picture",))

    assert recall(samples, "a", 1, 0).value == 1 / 8
    assert recall(samples, "b", 1, 0).value == 1


@given(seed=st.integers(0, 999), noise=st.floats(0.1, 3))
@settings(max_examples=20, deadline=None)
def test_recall_never_falls_with_rank(seed, noise):
    values = {m.name: m.value for m in recalls(two_sides(noise, seed=seed), 0)}

    for direction in ("a→b", "b→a"):
        first, fifth, tenth = (values[f"recall@{rank} {direction}"] for rank in (1, 5, 10))
        assert first <= fifth <= tenth


def test_pairs_are_all_of_a_sample_of_a_with_one_of_b():
    pairs = across(two_sides())

    assert len(pairs.genuine) == 40 * 2 * 3
    assert len(pairs.impostor) == 40 * 39 * 2 * 3


def test_each_direction_is_calibrated_by_its_own():
    calibrated = calibrate_two_sided(two_sides(), 0)

    assert sorted(calibrated.choices.genuine.by_samples) == [1, 2, 3]  # pictures enrolled
    assert sorted(calibrated.choices_b.genuine.by_samples) == [1, 2]  # texts enrolled
    assert calibrated.choices.posterior.samples == (1, 3)
    assert calibrated.choices_b.posterior.samples == (1, 2)
    assert calibrated.operating_points[0].fmr == 0.1


def test_too_few_identities_have_no_posterior():
    calibrated = calibrate_two_sided(two_sides(n=19), 0)

    assert calibrated.choices.posterior is None
    assert calibrated.choices.genuine is not None


def test_more_references_never_lower_what_their_identity_scores():
    genuine = calibrate_two_sided(two_sides(noise=1.0), 0).choices.genuine.by_samples

    assert np.mean(genuine[1]) < np.mean(genuine[2]) < np.mean(genuine[3])


def test_an_operating_point_keeps_to_its_rate_across_the_sides():
    samples = two_sides(noise=1.0)
    calibrated = calibrate_two_sided(samples, 0)
    pairs = across(samples.scored(score_of(calibrated.head)))

    for point in calibrated.operating_points:
        assert pairs.fmr(point.threshold) <= point.fmr + 1e-12


def test_sides_that_have_nothing_in_common_are_refused():
    samples = two_sides()
    other = TwoSided(samples.a, two_sides(seed=1).b)

    with pytest.raises(ValueError, match="no further apart"):
        calibrate_two_sided(
            TwoSided(
                other.a,
                TwoSided.of(
                    samples.a.embeddings,
                    -np.repeat(samples.a.embeddings[0::2], 3, axis=0),
                    CAPTIONS,
                    STYLES,
                ).b,
            ),
            0,
        )


def test_strangers_are_named_as_often_as_asked_in_either_direction():
    samples = two_sides(noise=1.0, n=200)
    scored = samples.scored(score_of(calibrate_two_sided(samples, 0).head))

    figures = {metric.name: metric for metric in open_set(scored, 0, galleries=4)}

    for direction in ("a→b", "b→a"):
        fpir = figures[f"fpir@fpir=0.05 {direction}"]
        assert fpir.interval[0] <= 0.05 <= fpir.interval[1]
        assert 0 < figures[f"fnir@fpir=0.05 {direction}"].value < 0.9


def test_too_few_identities_make_no_open_set():
    assert not list(open_set(two_sides(n=149), 0))


def test_a_stranger_is_an_identity_by_one_of_its_samples():
    samples = two_sides()

    rows = strangers(samples.b)

    assert rows.shape == (40, 16)
    for i, row in enumerate(rows):
        assert (samples.b.embeddings[3 * i + i % 3] == row).all()
