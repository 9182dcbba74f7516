"""What was found by searching is what a new search would find, once it has caught up."""

import numpy as np
import pytest

from index.gallery import Reference
from index.numpy_gallery import NumpyGallery
from index.roster import Roster, Rule
from index.searches import Searches
from tests.index.circle import by_degrees, on_circle

STRANGERS = on_circle(100, 200, 300)


def enrolled(identities: int) -> Roster:
    """So many identities with one sample each, evenly around the circle."""
    roster = Roster(lambda: NumpyGallery(2, "cosine"), by_degrees)
    places = np.linspace(0, 360, identities, endpoint=False).tolist()
    references = [Reference(key, f"id {key}") for key in range(identities)]
    roster.enroll(references, on_circle(*places))
    return roster


def more(roster: Roster, first: int, last: int) -> list[str]:
    references = [Reference(key, f"id {key}") for key in range(first, last)]
    return roster.enroll(references, on_circle(*[100.0] * len(references)))


def found(searches: Searches, rule: Rule) -> list[list[float]]:
    strangers, own = searches.by(rule)
    return [strangers.values.tolist(), sorted(own.strangers.tolist())]  # tried in any order


@pytest.mark.parametrize("rule", ["max", "mean", "centroid"])
def test_what_it_finds_once_it_has_caught_up_is_what_a_new_search_finds(rule):
    roster = enrolled(40)
    searches = Searches(roster, STRANGERS, trials=400)
    searches.search(rule)

    searches.note(more(roster, 40, 45))
    searches.note(roster.forget([0, 1, 41]))
    searches.catch_up()

    anew = Searches(roster, STRANGERS, trials=400)
    anew.search(rule)
    assert found(searches, rule) == found(anew, rule)


def test_few_changes_are_to_be_followed_at_once_and_a_crowd_only_when_it_is_large():
    roster = enrolled(1000)
    searches = Searches(roster, STRANGERS, trials=400)
    searches.search("max")

    assert searches.note(more(roster, 1000, 1064))
    searches.catch_up()
    assert not searches.note(more(roster, 1064, 1164))
    assert searches.behind
    assert searches.note(more(roster, 1164, 1264))  # two hundred of a thousand, and not one in 8


def test_before_the_first_search_nobody_is_waited_for():
    roster = enrolled(3)
    searches = Searches(roster, STRANGERS, trials=400)

    assert not searches.note(["id 0"])

    assert not searches.behind


def test_knn_is_told_by_the_search_of_mean():
    roster = enrolled(12)
    searches = Searches(roster, STRANGERS, trials=400)

    searches.search("mean")

    assert "knn" in searches
    assert "max" not in searches
    assert searches.by("knn") is searches.by("mean")
