"""Whom a threshold divides by the least: found as identifying each of them says."""

import numpy as np
import pytest

from index import Identifier, NumpyGallery, Reference, TargetUnresolvable
from tests.index.test_operating_curve import around, score

TARGET = 0.05


class Setting:
    """A gallery of identities with two samples, its strangers, and what both are made of."""

    def __init__(self, identities=40, strangers=60, **options):
        rng = np.random.default_rng(3)
        self.cohort = around(rng, strangers, 1)[:, 0]
        self.samples = around(rng, identities, 2, noise=0.7)
        self.options = options

    def without(self, *left_out):
        """Return the gallery without these samples, by identity and place."""
        index = Identifier(lambda: NumpyGallery(16, "cosine"), score, self.cohort, **self.options)
        kept = [
            (Reference(2 * i + j, f"c{i}"), sample)
            for i, pair in enumerate(self.samples)
            for j, sample in enumerate(pair)
            if (i, j) not in left_out
        ]
        if kept:
            index.enroll([each for each, _ in kept], np.array([sample for _, sample in kept]))
        return index

    def place(self, trial):
        """Return identity and place of a trial's sample."""
        return trial.key // 2, trial.key % 2


def firsts(sides):
    return [*sides.above, *sides.below]


@pytest.mark.parametrize("rule", ["max", "mean", "centroid"])
def test_an_enrolled_trial_is_what_identifying_says_once_its_sample_is_left_out(rule):
    setting = Setting(rule=rule)
    found = setting.without().boundary(0.2, 40)
    assert {each.outcome for each in firsts(found.enrolled)} == {"own", "another", "unknown"}
    assert len(firsts(found.enrolled)) == found.enrolled.tried == 40

    for trial in firsts(found.enrolled):
        i, j = setting.place(trial)
        probe = setting.samples[i, j][None]
        [told] = setting.without((i, j)).identify(probe, threshold=found.threshold, top=50)
        scores = {each.identity: each.score for each in told.candidates}
        assert scores[trial.identity] == pytest.approx(trial.score, abs=1e-12)
        others = {name: value for name, value in scores.items() if name != trial.identity}
        assert max(others.values()) == pytest.approx(trial.rival_score, abs=1e-12)
        assert others[trial.rival] == max(others.values())
        named = {None: "unknown", trial.identity: "own"}.get(told.identity, "another")
        assert trial.outcome == named


def test_a_stranger_is_what_identifying_them_says():
    setting = Setting()
    index = setting.without()
    found = index.boundary(TARGET, 30)
    strangers = firsts(found.strangers)
    assert {each.row is None for each in strangers} == {True, False}

    for trial in strangers:
        if trial.row is not None:
            assert (trial.identity, trial.key) == (None, None)
            judge, probe = index, setting.cohort[trial.row]
        else:
            i, j = setting.place(trial)
            assert trial.identity == f"c{i}"
            judge, probe = setting.without((i, 0), (i, 1)), setting.samples[i, j]
        [told] = judge.identify(probe[None], threshold=found.threshold)
        assert told.candidates[0].identity == trial.nearest
        assert told.score == pytest.approx(trial.score, abs=1e-12)
        assert (told.outcome == "match") == trial.named


def test_both_sides_are_the_nearest_of_all_and_of_no_more_than_asked_for():
    index = Setting().without()
    all_of_them = index.boundary(TARGET, 10_000)
    few = index.boundary(TARGET, 3)
    at = few.threshold

    for whole, some in (
        (all_of_them.enrolled, few.enrolled),
        (all_of_them.strangers, few.strangers),
    ):
        assert len(whole.above) + len(whole.below) == whole.tried == some.tried
        assert some.above == whole.above[:3]
        assert some.below == whole.below[:3]
        assert [each.score for each in whole.above] == sorted(each.score for each in whole.above)
        assert all(each.score >= at for each in whole.above)
        assert all(each.score < at for each in whole.below)
        assert whole.below[0].score == max(each.score for each in whole.below)


def test_where_the_gallery_is_not_tried_against_itself_only_strangers_are_shown():
    found = Setting(own_trials=False).without().boundary(TARGET, 100)

    assert found.enrolled.tried == 0
    assert {each.row for each in firsts(found.strangers)} == set(range(60))


def test_the_gallerys_own_cohort_stands_alone():
    setting = Setting()
    index = setting.without()
    index.replace_cohort(setting.cohort[:30], "gallery")

    found = index.boundary(TARGET, 100)

    assert found.source == "gallery"
    assert {each.row for each in firsts(found.strangers)} == set(range(30))
    assert found.enrolled.tried == 40


def test_nobody_is_near_where_nobody_is_enrolled_and_a_target_may_be_unresolvable():
    empty = Setting(identities=0).without().boundary(TARGET, 5)

    assert (empty.threshold, empty.enrolled.tried, empty.strangers.tried) == (None, 0, 0)
    with pytest.raises(TargetUnresolvable):
        Setting().without().boundary(0.001, 5)
