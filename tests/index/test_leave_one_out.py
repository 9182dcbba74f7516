"""What the gallery's own samples say of strangers akin to it, and of misses."""

from zlib import crc32

import pytest

from index.gallery import Reference
from index.leave_one_out import LeaveOneOut
from index.numpy_gallery import NumpyGallery
from index.roster import Roster, Rule
from tests.index.circle import by_degrees, on_circle


def tried(rule: Rule = "max", **options: int) -> LeaveOneOut:
    """Ada at 0°, 10° and 40°; Bob at 50° and 80°; Cid at 90°."""
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)
    names = ["ada", "ada", "ada", "bob", "bob", "cid"]
    references = [Reference(key, name) for key, name in enumerate(names)]
    changed = roster.enroll(references, on_circle(0, 10, 40, 50, 80, 90))
    roster.keep_centroids()
    trials = LeaveOneOut(rule, 2, **({"enough_strangers": 1} | options))
    trials.follow(roster, changed)
    return trials


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # ada 0° to bob 50°, bob 50° to ada 40°, cid 90° to bob 80°
        ("max", [0.5, 0.9, 0.9]),
        # ada to bob (.5, .2); bob to cid (.6) rather than ada (.5, .6, .9: .667); cid to bob
        ("mean", [0.35, 2 / 3, 0.75]),
    ],
)
def test_each_oldest_sample_is_a_stranger_to_everybody_else(rule, expected):
    assert sorted(tried(rule).strangers) == pytest.approx(sorted(expected), abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "threshold", "expected"),
    [
        # Own scores: ada .9 against another's .5, bob .7 against .9 – bob is missed anyhow.
        ("max", 0.8, 1 / 2),
        ("max", 0.95, 1),
        # ada (.9 + .6) / 2 against .35; bob .7 against .667
        ("mean", 0.5, 0),
        ("mean", 0.72, 1 / 2),
        # ada's others have their centre at 25°, bob's at 80°: .75 and .7
        ("centroid", 0.72, 1 / 2),
    ],
)
def test_a_genuine_trial_is_missed_below_the_threshold_or_below_somebody_else(
    rule, threshold, expected
):
    misses = tried(rule).misses(threshold)

    assert misses.share == expected
    assert misses.sizes == {2: 1, 1: 1}  # ada has two samples left, bob one, and cid none


def test_too_few_trials_say_nothing_of_strangers():
    assert len(tried(enough_strangers=4).strangers) == 0


def test_an_identity_with_one_sample_is_no_genuine_trial():
    assert set(tried().missed(0.5)) == {"ada", "bob"}
    assert tried(trials=3).held_out == [0, 3, 5]


def test_who_is_tried_is_drawn_by_name_and_not_by_arrival():
    assert len(tried(trials=2).strangers) == 2


def test_those_with_the_lowest_lots_are_tried():
    names = [f"id-{number}" for number in range(300)]
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)
    references = [Reference(key, name) for key, name in enumerate(names)]
    roster.enroll(references, on_circle(*range(300)))
    trials = LeaveOneOut("max", 2, trials=20)

    trials.follow(roster, roster.identities)

    lowest = sorted(range(300), key=lambda key: crc32(names[key].encode()))[:20]
    assert trials.held_out == sorted(lowest)
