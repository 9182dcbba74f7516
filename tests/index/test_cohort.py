"""Strangers' best scores: followed change by change, and what is read off them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from index.cohort import Cohort, TargetUnresolvable
from index.gallery import Metric, Reference
from index.numpy_gallery import NumpyGallery
from index.roster import Roster, Rule

RULES: tuple[Rule, ...] = ("max", "mean", "centroid")


def head(distances: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(10 * (distances - 0.5)))


def _no_search(members: np.ndarray):
    raise AssertionError("nobody's best identity fell")


def cohort_with(*best: float) -> Cohort:
    cohort = Cohort(np.zeros((len(best), 2), np.float32), "bundle")
    cohort.follow(["anybody"], np.array(best)[:, None], search=_no_search)
    return cohort


def test_the_p_value_counts_the_probe_among_the_strangers():
    cohort = cohort_with(0.1, 0.2, 0.3, 0.4)

    assert cohort.p_value(0.5) == 1 / 5
    assert cohort.p_value(0.3) == 3 / 5  # a stranger just as high counts against the probe
    assert cohort.p_value(0.0) == 5 / 5


def test_the_threshold_lies_just_above_the_score_that_strangers_may_reach():
    cohort = cohort_with(*np.arange(1, 20) / 20)  # M = 19: a twentieth is resolved by one

    threshold = cohort.threshold(0.05)

    assert threshold == np.nextafter(19 / 20, 1)
    assert cohort.threshold(0.10) == np.nextafter(18 / 20, 1)


@given(
    best=st.lists(st.sampled_from(np.linspace(0, 1, 11).tolist()), min_size=1, max_size=60),
    score=st.sampled_from(np.linspace(0, 1, 11).tolist()),
    target=st.floats(0.001, 0.999),
)
def test_reaching_the_threshold_and_a_small_enough_p_value_are_one_decision(best, score, target):
    cohort = cohort_with(*best)
    if target < 1 / (len(best) + 1):
        with pytest.raises(TargetUnresolvable, match=str(len(best))):
            cohort.threshold(target)
        return

    assert (score >= cohort.threshold(target)) == (cohort.p_value(score) <= target)


@given(best=st.lists(st.floats(0, 1), min_size=1, max_size=99), data=st.data())
def test_a_target_written_as_a_fraction_of_the_cohort_is_met_exactly(best, data):
    # .29 · 100 is 28.999… in floating point: counting must not lose a stranger to that.
    of = len(best) + 1
    count = data.draw(st.integers(1, of - 1))

    threshold = cohort_with(*best).threshold(count / of)

    assert threshold == np.nextafter(sorted(best)[-count], np.inf)


@pytest.mark.parametrize("target", [0, 1, -0.1, 2, np.nan])
def test_a_target_that_is_no_rate_is_refused(target):
    with pytest.raises(ValueError, match="between 0 and 1"):
        cohort_with(0.5).threshold(target)


def test_the_refusal_names_the_cohort_and_the_smallest_target_it_resolves():
    with pytest.raises(TargetUnresolvable, match=r"^9 strangers resolve a target FPIR of 0.1 "):
        cohort_with(*[0.5] * 9).threshold(0.05)


def test_nobody_to_count_resolves_nothing():
    with pytest.raises(TargetUnresolvable):
        Cohort(np.empty((0, 2), np.float32), "bundle").threshold(0.5)


def test_intervals_are_those_of_the_beta_distribution():
    cohort = cohort_with(*np.linspace(0, 1, 399))

    assert cohort.fpir_interval(0.05) == pytest.approx(beta.ppf([0.025, 0.975], 20, 380))
    low, high = cohort.fpir_interval_at(0.5)
    assert low == pytest.approx(beta.ppf(0.025, 200, 200))
    assert high == pytest.approx(beta.ppf(0.975, 201, 199))
    assert cohort.fpir_interval_at(2.0)[0] == 0
    assert cohort.fpir_interval_at(-1.0)[1] == 1


def test_only_the_members_whose_best_identity_fell_are_searched_anew():
    cohort = Cohort(np.arange(3, dtype=np.float32)[:, None], "bundle")
    searched = []

    def search(members):
        searched.extend(members[:, 0].tolist())
        return np.array([0.3] * len(members)), ["ada"] * len(members)

    cohort.follow(["ada", "bob"], np.array([[0.3, 0.9], [0.5, 0.2], [0.3, 0.6]]), search)
    cohort.follow(["bob"], np.array([[-np.inf], [-np.inf], [0.7]]), search)

    assert searched == [0.0]
    assert cohort.best.tolist() == [0.3, 0.5, 0.7]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rule=st.sampled_from(RULES),
    metric=st.sampled_from(("cosine", "l2", "l1")),
)
def test_after_any_history_the_cohort_is_as_if_searched_afresh(data, rule: Rule, metric: Metric):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    points = rng.standard_normal((60, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    members = points[:8]
    roster = Roster(lambda: NumpyGallery(3, metric), head)
    roster.keep_centroids()
    followed = Cohort(members, "bundle")

    def search(some):
        firsts = [ranking[:1] for ranking in roster.rank(some, rule, 1)]
        best = np.array([first[0].score if first else -np.inf for first in firsts])
        return best, [first[0].identity if first else None for first in firsts]

    def scores(identities):
        columns = np.full((len(members), len(identities)), -np.inf)
        for j, identity in enumerate(identities):
            if identity in roster:
                columns[:, j] = roster.scores(members, [identity], rule)[:, 0]
        return columns

    held: set[int] = set()
    key = 0
    for _ in range(data.draw(st.integers(1, 8))):
        if held and data.draw(st.booleans()):
            gone = data.draw(st.lists(st.sampled_from(sorted(held)), min_size=1, unique=True))
            held -= set(gone)
            changed = roster.forget(gone)
        else:
            owners = data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=5))
            keys = list(range(key, key + len(owners)))
            key += len(owners)
            held |= set(keys)
            rows = points[8 + np.array(keys) % 52]
            changed = roster.enroll(list(map(Reference, keys, owners)), rows)
        followed.follow(changed, scores(changed), search)

        afresh = scores(roster.identities).max(axis=1, initial=-np.inf)
        np.testing.assert_allclose(followed.best, afresh, rtol=0, atol=1e-12)
