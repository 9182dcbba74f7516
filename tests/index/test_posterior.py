"""Posteriors sum to one, move the right way, and are met in simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.posterior import PosteriorModel, Trials, fit_posterior, likeness
from index.ranking import Ranked

MODEL = PosteriorModel(
    rule="max",
    slope=1.0,
    slope_by_samples=0.5,
    unknown=0.0,
    by_identities=1.0,
    by_samples=0.0,
    by_likeness=1.0,
    identities=(1, 100),
    samples=(1.0, 3.0),
)


def ranking(*scores: float) -> list[Ranked]:
    return [Ranked(str(i), score, 0.0) for i, score in enumerate(scores)]


def test_a_hand_worked_example():
    # Odds 3 and 1 for the identities, e^(0 + log 2) = 2 for nobody.
    shares = MODEL.shares(ranking(0.75, 0.5), samples=1, likeness=0)

    assert shares == pytest.approx([3 / 6, 1 / 6, 2 / 6])


def test_more_samples_sharpen_and_likeness_to_strangers_speaks_for_nobody():
    # e² samples double the slope: odds 9 and 1; a likeness of log 2 makes nobody weigh 4.
    shares = MODEL.shares(ranking(0.75, 0.5), samples=np.exp(2), likeness=np.log(2))

    assert shares == pytest.approx([9 / 14, 1 / 14, 4 / 14])


def test_likeness_is_the_mean_log_odds_with_the_three_most_alike_strangers():
    probe, strangers = np.array([[1, 0]]), np.array([[1, 0], [0, 1], [0, 1], [-1, 0]])

    def score(distances: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(4 * distances))  # log odds of -4 times the distance

    assert likeness(probe, strangers, score, "cosine") == pytest.approx([-8 / 3])
    assert likeness(probe, strangers[:1], score, "cosine") == pytest.approx([0])


def test_a_prior_shifts_the_odds_of_nobody_by_its_own():
    # At a prior of .8 nobody weighs 2 / 4.
    shares = MODEL.shares(ranking(0.75, 0.5), samples=1, likeness=0, prior_known=0.8)

    assert shares == pytest.approx([3 / 4.5, 1 / 4.5, 0.5 / 4.5])


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    prior=st.floats(0.01, 0.99),
)
def test_the_shares_of_everybody_and_nobody_sum_to_one(scores, prior):
    shares = MODEL.shares(ranking(*scores), samples=2, likeness=-1, prior_known=prior)

    assert len(shares) == len(scores) + 1
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)


def test_it_covers_only_the_rule_and_the_sizes_it_was_fitted_on():
    assert MODEL.covers("max", 100, 3.0)
    assert not MODEL.covers("mean", 10, 2.0)
    assert not MODEL.covers("max", 101, 2.0)
    assert not MODEL.covers("max", 10, 3.1)


def test_what_is_said_to_be_ninety_per_cent_sure_is_so_in_ninety_per_cent():
    # Logits: N(2, 2) for the right identity, N(-4, 2) for wrong ones, known in half the trials.
    def galleries(seed: int, sizes: list[int]) -> list[Trials]:
        rng = np.random.default_rng(seed)
        made = []
        for size in sizes:
            truth = np.where(np.arange(400) < 200, rng.integers(size, size=400), -1)
            logits = rng.normal(-4, 2, (400, size))
            logits[np.arange(200), truth[:200]] = rng.normal(2, 2, 200)
            made.append(Trials(1 / (1 + np.exp(-logits)), np.zeros(400), truth, 1.0))
        return made

    model = fit_posterior(galleries(0, [2, 5, 10, 20, 40]), "max")

    stated, right = [], []
    for trials in galleries(1, [3, 7, 30]):
        for scores, truth in zip(trials.scores, trials.truth, strict=True):
            shares = model.shares(ranking(*scores.tolist()), samples=1, likeness=0)
            stated.append(max(shares))
            right.append(int(np.argmax(shares)) == (truth if truth >= 0 else len(scores)))
    stated, right = np.array(stated), np.array(right)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        here = (stated >= low) & (stated < high)
        assert right[here].mean() == pytest.approx(stated[here].mean(), abs=0.06)
    assert (model.identities, model.samples) == ((2, 40), (1.0, 1.0))
