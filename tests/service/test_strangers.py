import numpy as np
import pytest
from scipy.special import expit

from index import FaissGallery, Identifier, Reference
from models_store import open_bundle
from service.requests.labelled import Label
from service.use_cases.strangers import choose_strangers, seen_in

D = 16
RNG = np.random.default_rng(0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def takes(centre, n, spread=0.15):
    return unit(centre + spread * RNG.normal(size=(n, D)) / np.sqrt(D))


PEOPLE = unit(RNG.normal(size=(400, D)))


@pytest.fixture(scope="module")
def comparator(bundles):
    return open_bundle(bundles / "tiny" / "1")


@pytest.fixture
def index():
    """A gallery of 20 people, two samples each, judged by 199 others."""
    index = Identifier(
        lambda: FaissGallery(D, "cosine"), lambda far: expit(4 - 8 * far), PEOPLE[100:299]
    )
    for person in range(20):
        rows = takes(PEOPLE[person], 2)
        references = [Reference(2 * person + i, f"p{person}") for i in range(2)]
        index.enroll(references, rows)
    return index


def labelled(*people):
    """Three takes of each of these people, called q<n>, or by the name given."""
    named = [person if isinstance(person, tuple) else (person, f"q{person}") for person in people]
    rows = np.concatenate([takes(PEOPLE[person], 3) for person, _ in named])
    return rows, [Label("", name, name, None) for _, name in named for _ in range(3)]


def test_strangers_are_one_row_each(index):
    rows, labels = labelled(*range(300, 330))

    found = choose_strangers(index, rows, labels, [], 0.05)

    assert found.rows == list(range(0, 90, 3))
    assert found.left_out == []


def test_who_is_enrolled_by_name_is_left_out_whatever_the_samples_say(index):
    rows, labels = labelled((300, "p3"), (301, "someone else"))

    found = choose_strangers(index, rows, labels, [], 0.05)

    assert [(k.identity, k.sign) for k in found.left_out] == [("p3", "enrolled-under-that-name")]
    assert found.rows == [3]


def test_a_group_does_not_hide_a_name(index):
    rows, _ = labelled(300)
    labels = [Label("", "team/p3", "p3", "team")] * 3

    (known,) = choose_strangers(index, rows, labels, [], 0.05).left_out

    assert (known.identity, known.enrolled_as) == ("team/p3", "p3")


def test_who_is_enrolled_under_another_name_is_left_out(index):
    rows, labels = labelled(5, 300, 301)

    found = choose_strangers(index, rows, labels, [], 0.05)

    assert [(k.identity, k.sign, k.enrolled_as) for k in found.left_out] == [
        ("q5", "nearer-than-any-stranger", "p5")
    ]


def test_of_several_who_come_nearer_than_any_stranger_to_one_enrolled_the_nearest_is_left_out(
    index,
):
    rows, labels = labelled((5, "herself"), 300, 301)
    twin = takes(unit(PEOPLE[5] + 0.5 * PEOPLE[350]), 3)
    rows, labels = np.concatenate([twin, rows]), [Label("", "twin", "twin", None)] * 3 + labels

    found = choose_strangers(index, rows, labels, [], 0.05)

    assert [(k.identity, k.enrolled_as) for k in found.left_out] == [("herself", "p5")]
    assert [(k.identity, k.enrolled_as) for k in found.look_alikes] == [("twin", "p5")]


def test_a_few_people_of_a_kind_of_their_own_let_all_strangers_of_that_kind_stay():
    """The bundle's strangers are far from them, so that whoever is of their kind is nearer."""
    kind = unit(PEOPLE[0] + 0.4 * PEOPLE[300:400])
    index = Identifier(
        lambda: FaissGallery(D, "cosine"), lambda far: expit(4 - 8 * far), PEOPLE[100:299]
    )
    index.enroll([Reference(i, f"p{i}") for i in range(5)], kind[:5])
    strangers = kind[10:90]
    labels = [Label("", f"q{i}", f"q{i}", None) for i in range(80)]

    found = choose_strangers(index, strangers, labels, [], 0.05)

    assert found.left_out == []
    assert len(found.rows) == 80
    assert len(found.look_alikes) > 40
    assert found.chance < 1e-6


def test_strangers_who_are_matched_stay_so_that_the_tail_is_whole(index):
    """Left out, they would let the next threshold name about twice as many as asked."""
    rows, labels = labelled(*range(300, 400))

    found = choose_strangers(index, rows, labels, [], 0.2)

    matched = index.threshold(0.2)
    best = np.array([each.score for each in index.identify(rows[found.rows], top=1)])
    assert len(found.rows) >= 98
    assert (best >= matched).sum() >= 8
    assert {k.identity for k in found.look_alikes} <= {f"q{i}" for i in range(300, 400)}
    assert found.look_alikes
    assert found.chance > 1e-3


def test_everybody_is_a_stranger_to_an_empty_gallery(index):
    index.forget(list(range(40)))
    rows, labels = labelled(1, 2)

    assert choose_strangers(index, rows, labels, [], 0.05).rows == [0, 3]


def test_a_sample_that_is_enrolled_is_found_again_and_its_next_take_is_not(comparator):
    index = Identifier(
        lambda: FaissGallery(32, "cosine"), comparator.score, comparator.cohort[:100]
    )
    enrolled = comparator.cohort[100:200]
    index.enroll([Reference(i, f"p{i}") for i in range(100)], enrolled)
    noise = np.random.default_rng(1).normal(size=(100, 32)) / np.sqrt(32)

    same = unit(enrolled + 1e-5 * noise)
    another = unit(enrolled + 0.2 * noise)

    seen = seen_in(index, comparator, np.concatenate([same, another]))
    assert [(each.row, each.enrolled_as) for each in seen] == [(i, f"p{i}") for i in range(100)]
    assert max(each.distance for each in seen) < 1e-6
