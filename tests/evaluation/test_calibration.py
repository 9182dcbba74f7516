import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.calibration import calibrate, fit_head, operating_points, score_of
from models_store.manifest import Head
from tests.evaluation.embedded import noise
from tests.evaluation.test_pairs import pairs


@given(
    weight=st.floats(0.01, 100),
    bias=st.floats(-20, 20),
    distances=st.lists(st.floats(0, 2), min_size=2, max_size=20),
)
def test_a_smaller_distance_is_never_a_lower_score(weight, bias, distances):
    scores = score_of(Head(weight=weight, bias=bias))(np.sort(distances))

    assert (np.diff(scores) <= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_the_head_finds_the_sigmoid_that_made_the_pairs():
    random = np.random.default_rng(0)
    distances = random.uniform(0, 2, 200_000)
    same = random.random(len(distances)) < score_of(Head(weight=8, bias=8))(distances)

    head = fit_head(pairs(-distances[same], -distances[~same]))

    assert head.weight == pytest.approx(8, rel=0.03)
    assert head.bias == pytest.approx(8, rel=0.03)


def test_odds_are_even_whatever_the_share_of_genuine_pairs():
    random = np.random.default_rng(0)
    genuine, impostor = random.normal(-0.5, 0.2, 4000), random.normal(-1, 0.2, 4000)

    many = fit_head(pairs(genuine, impostor))
    few = fit_head(pairs(genuine, np.repeat(impostor, 10)))

    assert few.bias / few.weight == pytest.approx(many.bias / many.weight, rel=1e-4)
    assert many.bias / many.weight == pytest.approx(0.75, abs=0.01)


def test_pairs_the_wrong_way_round_are_refused():
    with pytest.raises(ValueError, match="no further apart"):
        fit_head(pairs([-1.0, -1.2, -0.9], [-0.1, -0.2, -0.3]))


def test_only_rates_that_the_pairs_resolve_become_operating_points():
    found = operating_points(pairs([0.9, 0.95], np.linspace(0, 0.94, 1000)))

    assert [point.fmr for point in found] == [0.1, 0.05, 0.02, 0.01]
    assert [point.fnmr for point in found] == [0, 0, 0.5, 0.5]
    assert found[0].threshold == pytest.approx(0.9 * 0.94, abs=1e-3)


def test_a_calibration_is_whole():
    found = calibrate(noise(40, 4, spread=0.3), seed=0)

    assert found.head.weight > 0
    assert found.operating_points[0].fmr == 0.1
    assert found.choices.rule in ("max", "mean", "centroid", "knn")
    assert 0 < found.choices.cluster_threshold < 1
    assert found.choices.posterior is not None
    assert found.choices.genuine is not None
    for scores in found.choices.genuine.by_samples.values():
        assert list(scores) == sorted(scores)


def test_every_rule_that_a_gallery_may_choose_is_priced():
    choices = calibrate(noise(40, 4, spread=0.3), seed=0).choices

    priced = {choices.rule: choices, **choices.others}
    assert priced.keys() >= {"max", "centroid"}
    for rule, price in priced.items():
        assert price.posterior.rule == price.genuine.rule == rule


@pytest.mark.slow
def test_further_identities_widen_the_range_of_the_posterior():
    held_out, further = noise(40, 4, spread=0.3), noise(120, 4, spread=0.3, seed=9)

    alone, widened = calibrate(held_out, 0), calibrate(held_out, 0, further)

    assert alone.choices.posterior.identities == (1, 30)
    assert widened.choices.posterior.identities == (1, 120)
    assert alone.head == widened.head
    assert alone.choices.rule == widened.choices.rule


def test_too_few_identities_leave_the_price_unknown():
    found = calibrate(noise(10, 3, spread=0.3), seed=0)

    assert found.choices.posterior is None
    assert found.choices.genuine is None
