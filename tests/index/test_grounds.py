"""What answers rest on follows the roster, the strangers and the rule."""

import numpy as np

from index.gallery import Reference
from index.grounds import Grounds
from index.numpy_gallery import NumpyGallery
from index.roster import Roster
from tests.index.circle import by_degrees, on_circle

STRANGERS = on_circle(*np.linspace(90, 270, 19).tolist())


def grounded() -> tuple[Roster, Grounds]:
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)
    roster.enroll([Reference(1, "ada"), Reference(2, "bob")], on_circle(0, 60))
    grounds = Grounds(
        roster, STRANGERS, "bundle", None, {}, "max", choosing=False, own_trials=True
    )
    return roster, grounds


def test_it_is_level_once_searched_until_somebody_asks_by_another_rule():
    _, grounds = grounded()
    assert not grounds.level(None)

    grounds.make_level(None)

    assert grounds.level(None)
    assert grounds.level("max")
    assert not grounds.level("centroid")


def test_terms_are_the_same_until_somebody_changes():
    roster, grounds = grounded()
    grounds.make_level(None)
    before = grounds.terms("max", 0.1, None)
    assert grounds.terms("max", 0.1, None) is before

    grounds.follow(roster.enroll([Reference(3, "cyd")], on_circle(90)))

    after = grounds.terms("max", 0.1, None)
    assert after.threshold != before.threshold


def test_in_an_empty_gallery_no_sample_is_taken_for_anothers():
    roster, grounds = grounded()
    grounds.make_level(None)
    assert grounds.taking() is not None

    grounds.follow(roster.forget([1, 2]), [1, 2])

    assert grounds.taking() is None
