"""Strangers who judge are judged as if they did not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.cohort import TargetUnresolvable
from index.gallery import Reference
from index.identification import Identifier
from index.numpy_gallery import NumpyGallery
from index.roster import Rule

RULES: tuple[Rule, ...] = ("max", "mean", "centroid", "knn")


def head(distances: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(6 * (distances - 0.6)))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def gallery(cohort, enrolled, rule="max", groups=None) -> Identifier:
    """Each row of `enrolled` (n, d) is one of two samples of an identity."""
    made = Identifier(
        lambda: NumpyGallery(enrolled.shape[1], "cosine"),
        head,
        cohort,
        rule=rule,
        cohort_groups=groups,
    )
    references = [Reference(row, f"identity-{row // 2}") for row in range(len(enrolled))]
    made.enroll(references, enrolled)
    return made


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    strangers=st.integers(5, 30),
    identities=st.integers(1, 14),  # from 10 on, the gallery is tried against itself
    rule=st.sampled_from(RULES),
    target=st.sampled_from([0.05, 0.2, 0.5]),
    grouped=st.booleans(),
)
def test_each_is_judged_as_by_a_gallery_that_never_knew_it(
    seed, strangers, identities, rule, target, grouped
):
    rng = np.random.default_rng(seed)
    cohort, enrolled = unit(rng.normal(size=(strangers, 6))), unit(rng.normal(size=(28, 6)))
    enrolled = enrolled[: 2 * identities]
    groups = rng.integers(2, size=strangers) if grouped else None
    try:
        found = gallery(cohort, enrolled, rule, groups).judged_apart(cohort, target)
    except TargetUnresolvable:
        assert target < 1 / (strangers + 1)
        return

    for row, outcome in enumerate(found):
        others = np.delete(np.arange(strangers), row)
        without = gallery(
            cohort[others], enrolled, rule, None if groups is None else groups[others]
        )
        try:
            [expected] = without.identify(cohort[row : row + 1], target_fpir=target)
        except TargetUnresolvable:
            assert outcome == "unknown"
        else:
            assert outcome == expected.outcome


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    strangers=st.integers(10, 60),
    identities=st.integers(1, 9),
    rule=st.sampled_from(["max", "mean"]),
    target=st.sampled_from([0.1, 0.3, 0.8]),
)
def test_where_the_evidence_is_as_it_should_be_the_promise_is_kept(
    seed, strangers, identities, rule, target
):
    rng = np.random.default_rng(seed)
    cohort = unit(rng.normal(size=(strangers, 6)))
    judged = gallery(cohort, unit(rng.normal(size=(2 * identities, 6))), rule)

    named = judged.judged_apart(cohort, target).count("match")

    assert named <= target * strangers + 1  # who lies between two may be either


def test_strangers_who_know_nobody_like_those_that_come_do_not_keep_the_promise():
    """A gallery's own cohort that is far from everybody: true strangers are named at once."""
    rng = np.random.default_rng(3)
    here = np.eye(6)[0] * 4
    enrolled = unit(rng.normal(size=(40, 6)) + here)
    strangers = unit(rng.normal(size=(60, 6)) + here)
    judged = gallery(strangers, enrolled)

    before = judged.judged_apart(strangers, 0.05).count("match")
    judged.replace_cohort(unit(rng.normal(size=(60, 6)) - here))
    after = judged.judged_apart(strangers, 0.05).count("match")

    assert before <= 3
    assert after > 50


def test_nobody_is_named_in_an_empty_gallery_and_no_target_is_resolved_by_few():
    cohort = unit(np.random.default_rng(4).normal(size=(19, 6)))

    assert gallery(cohort, np.empty((0, 6))).judged_apart(cohort, 0.05) == ["unknown"] * 19
    with pytest.raises(TargetUnresolvable, match="19 strangers"):
        gallery(cohort, cohort[:2]).judged_apart(cohort, 0.01)


def test_the_samples_tried_are_the_oldest_of_each_identity():
    rng = np.random.default_rng(5)
    enrolled = unit(rng.normal(size=(24, 6)))

    tried = gallery(unit(rng.normal(size=(30, 6))), enrolled).tried()

    assert np.array_equal(np.sort(tried, axis=0), np.sort(enrolled[::2], axis=0))
