"""Posteriors sum to one, move the right way, and are met in simulation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import logit

from index.cohort import Crowd
from index.posterior import _PARAMETERS, PosteriorModel, Strangers, Trials, _Known, fit_posterior

MODEL = PosteriorModel(
    rule="max",
    slope=1.0,
    slope_by_samples=0.5,
    nesting=1.0,
    unknown=0.0,
    by_samples=0.0,
    by_likeness=1.0,
    by_crowd=1.0,
    by_spread=0.0,
    identities=(1, 100),
    samples=(1.0, 3.0),
)


CROWD = Crowd(mean=float(np.log(2)), variance=1.0)


def shares(
    *scores: float, model: PosteriorModel = MODEL, likeness: float = 0, **known: object
) -> list[float]:
    given = {"samples": 1, "likeness": np.array([likeness]), "crowd": CROWD} | known
    (found,) = model.shares([scores], np.array([scores]), **given)
    return found


def test_a_hand_worked_example():
    # Odds 3 and 1 for the identities, e^(0 + log 2) = 2 for nobody.
    assert shares(0.75, 0.5) == pytest.approx([3 / 6, 1 / 6, 2 / 6])


def test_more_samples_sharpen_and_likeness_to_strangers_speaks_for_nobody():
    # e² samples double the slope: odds 9 and 1; a likeness of log 2 makes nobody weigh 4.
    found = shares(0.75, 0.5, samples=np.exp(2), likeness=np.log(2))

    assert found == pytest.approx([9 / 14, 1 / 14, 4 / 14])


def test_nesting_takes_from_everybody_alike():
    # Odds 3 and 1 against each other; together √4 = 2 against nobody's 2.
    found = shares(0.75, 0.5, model=replace(MODEL, nesting=0.5))

    assert found == pytest.approx([3 / 8, 1 / 8, 1 / 2])


def test_across_encoders_what_is_above_even_odds_can_weigh_more():
    # Log odds of 3 and 1; on top of them log(1 + 3) and log(1 + 1): weights 12 and 2, nobody 2.
    found = shares(0.75, 0.5, model=replace(MODEL, bend=1.0))

    assert found == pytest.approx([12 / 16, 2 / 16, 2 / 16])


def test_like_with_like_what_comes_near_to_no_distance_can_weigh_more():
    # 1 and 1 + log 3 below the highest: weights 3 / 1 and 1 / (1 + log 3), nobody 2.
    found = shares(0.75, 0.5, model=replace(MODEL, bend=1.0, highest=1 + np.log(3)))

    weights = np.array([3, 1 / (1 + np.log(3)), 2])
    assert found == pytest.approx((weights / weights.sum()).tolist())


def test_likeness_is_the_mean_log_odds_with_the_three_most_alike_strangers():
    probe, strangers = np.array([[1, 0]]), np.array([[1, 0], [0, 1], [0, 1], [-1, 0]])

    def score(distances: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(4 * distances))  # log odds of -4 times the distance

    def likeness(some: np.ndarray, themselves: list[int] | None = None) -> np.ndarray:
        itself = None if themselves is None else np.array(themselves)
        return Strangers(some, score, "cosine").likeness(probe, itself)

    assert likeness(strangers) == pytest.approx([-8 / 3])
    assert likeness(strangers, [0]) == pytest.approx([-16 / 3])
    assert likeness(strangers, [-1]) == pytest.approx([-8 / 3])
    assert likeness(strangers[:1]) == pytest.approx([0])


def test_what_is_common_is_drawn_from_the_strangers_to_the_gallerys_own():
    strangers = np.array([[1, 0], [0, 1], [-1, 0]])

    def score(distances: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(distances))

    common = Strangers(strangers, score, "cosine").common

    assert common(np.empty(0)) == pytest.approx(-(1.5 + 1 + 1.5) / 3)
    assert common(np.full(3, -5.0)) == pytest.approx((-4 / 3 - 5) / 2)
    assert common(np.full(4000, -5.0)) == pytest.approx(-5, abs=0.01)


def test_a_prior_shifts_the_odds_of_nobody_by_its_own():
    # At a prior of .8 nobody weighs 2 / 4.
    found = shares(0.75, 0.5, prior_known=0.8)

    assert found == pytest.approx([3 / 4.5, 1 / 4.5, 0.5 / 4.5])


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    prior=st.floats(0.01, 0.99),
)
def test_the_shares_of_everybody_and_nobody_sum_to_one(scores, prior):
    found = shares(*scores, samples=2, likeness=-1, prior_known=prior)

    assert len(found) == len(scores) + 1
    assert sum(found) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in found)


def test_only_who_is_listed_is_told_and_everybody_counts_in_any_order():
    alike = np.zeros(1)

    (few,) = MODEL.shares([[0.75]], np.array([[0.5, 0.75]]), 1, alike, CROWD)

    assert few == pytest.approx([3 / 6, 2 / 6])
    assert [few] == MODEL.shares([[0.75]], np.array([[0.75, 0.5]]), 1, alike, CROWD)


def test_probes_asked_about_together_get_to_the_last_bit_what_each_gets_alone():
    rng = np.random.default_rng(2)
    everybody, alike = rng.random((7, 30)), rng.normal(size=7)
    listed = [row[: 1 + i].tolist() for i, row in enumerate(everybody)]

    together = MODEL.shares(listed, everybody, 2.0, alike, CROWD, 0.3)

    for i in range(7):
        one = slice(i, i + 1)
        alone = MODEL.shares(listed[one], everybody[one], 2.0, alike[one], CROWD, 0.3)
        assert alone == together[one]


def test_it_covers_only_the_rule_and_the_sizes_it_was_fitted_on():
    assert MODEL.covers("max", 100, 3.0)
    assert MODEL.why_not("mean", 10, 2.0) == "rule-not-calibrated"
    assert MODEL.why_not("max", 101, 2.0) == "gallery-larger-than-calibrated"
    assert replace(MODEL, identities=(5, 9)).why_not("max", 4, 2.0) == (
        "gallery-smaller-than-calibrated"
    )
    assert MODEL.why_not("max", 10, 3.1) == "samples-outside-calibration"
    assert not MODEL.covers("max", 101, 2.0)


def test_what_is_said_to_be_ninety_per_cent_sure_is_so_in_ninety_per_cent():
    # Logits: N(2, 2) for the right identity, N(-4, 2) for wrong ones, known in half the trials.
    def moments(best: np.ndarray) -> tuple[float, float]:
        return float(best.mean()), float(best.var())

    def galleries(seed: int, sizes: list[int]) -> list[Trials]:
        rng = np.random.default_rng(seed)
        made = []
        for size in sizes:
            truth = np.where(np.arange(400) < 200, rng.integers(size, size=400), -1)
            logits = rng.normal(-4, 2, (400, size))
            logits[np.arange(200), truth[:200]] = rng.normal(2, 2, 200)
            scores = 1 / (1 + np.exp(-logits))
            crowd = Crowd(*moments(logits[200:].max(axis=1)))
            made.append(Trials(scores, np.zeros(400), truth, 1.0, crowd))
        return made

    model = fit_posterior(galleries(0, [2, 5, 10, 20, 40]), "max")

    stated, right = [], []
    for trials in galleries(1, [3, 7, 30]):
        for scores, truth in zip(trials.scores, trials.truth, strict=True):
            found = shares(*scores.tolist(), model=model, crowd=trials.crowd)
            stated.append(max(found))
            right.append(int(np.argmax(found)) == (truth if truth >= 0 else len(scores)))
    stated, right = np.array(stated), np.array(right)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        here = (stated >= low) & (stated < high)
        assert right[here].mean() == pytest.approx(stated[here].mean(), abs=0.06)
    assert (model.identities, model.samples) == ((2, 40), (1.0, 1.0))


@given(seed=st.integers(0, 99), size=st.integers(1, 6), highest=st.sampled_from([None, 4.0]))
def test_the_slope_that_the_fit_goes_by_is_that_of_the_surprise(seed, size, highest):
    rng = np.random.default_rng(seed)
    logits, crowd = rng.normal(0, 3, (20, size)), Crowd(1.0, 2.0)
    known = _Known(logits, rng.normal(size=20), 3.0, crowd, highest)
    truth = np.append(rng.integers(size, size=10), np.full(10, -1))
    at = rng.normal(size=len(_PARAMETERS))

    def surprise(parameters: np.ndarray) -> float:
        return known.surprise(parameters, truth)[0]

    told, slope = known.surprise(at, truth)
    assert told == pytest.approx(surprise(at))
    assert slope == pytest.approx(approx_fprime(at, surprise, 1e-7), abs=1e-4)


def test_the_surprise_is_that_of_the_posterior_stated():
    rng = np.random.default_rng(1)
    scores, likeness = rng.random((4, 3)), rng.normal(size=4)
    truth = np.array([2, 0, -1, -1])
    at = np.array([getattr(MODEL, name) for name in _PARAMETERS])

    found = MODEL.shares(scores.tolist(), scores, 2.0, likeness, CROWD)
    stated = [own[right] for own, right in zip(found, truth, strict=True)]

    known = _Known(logit(scores), likeness, 2.0, CROWD)
    assert known.surprise(at, truth)[0] == pytest.approx(-np.log(stated).mean())
