"""What every gallery engine promises."""

import threading
from collections.abc import Callable

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from index.approximate_gallery import ApproximateGallery
from index.device_gallery import DeviceGallery, gpus
from index.faiss_gallery import FaissGallery
from index.gallery import (
    DimensionMismatch,
    DuplicateKey,
    Gallery,
    Metric,
    NotFinite,
    NotUnit,
    Reference,
    UnknownKey,
)
from index.numpy_gallery import NumpyGallery

METRICS: tuple[Metric, ...] = ("cosine", "l2", "l1")
Engine = Callable[[int, Metric], Gallery]


class Listed(ApproximateGallery):
    """Has done what is done in the background before it answers.

    Of so few references all lists are looked into: then what is found is exact. By `l1` too few
    may be found even so, as lists go by l2: then it stays exact.
    """

    def __init__(self, dimension: int, metric: Metric) -> None:
        super().__init__(dimension, metric, above=8)

    def search(self, probes, k, *, exact=False):
        self.settle()
        return super().search(probes, k, exact=exact)


def on_device(dimension: int, metric: Metric) -> DeviceGallery:
    """Return a gallery searched by a copy, on the GPU if there is one."""
    return DeviceGallery(dimension, metric, new_index=None if gpus() else faiss.IndexFlat)


ENGINES = {"numpy": NumpyGallery, "faiss": FaissGallery, "lists": Listed, "device": on_device}


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys())
def engine(request) -> Engine:
    return request.param


@pytest.fixture(params=METRICS)
def metric(request) -> Metric:
    return request.param


def test_the_contract_is_tried_on_lists():
    gallery = Listed(8, "cosine")
    gallery.add(references(*range(40)), unit_vectors(40, 8))
    gallery.settle()

    assert gallery.approximate


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def references(*keys: int) -> list[Reference]:
    return [Reference(key, f"identity {key}") for key in keys]


def unit_vectors(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("cosine", [0, 0.5, 1]), ("l2", [0, 1, 2**0.5]), ("l1", [0, 0.5 + 0.75**0.5, 2])],
)
def test_distances_on_a_circle_are_those_worked_out_by_hand(engine, metric, expected):
    gallery = engine(2, metric)
    gallery.add(references(7, 8, 9), on_circle(90, 0, 60))

    found = gallery.search(on_circle(0), k=3)

    assert found.keys.tolist() == [[8, 9, 7]]
    np.testing.assert_allclose(found.distances, [expected], atol=1e-6)


def test_distances_are_those_of_scipy(engine, metric):
    stored, probes = unit_vectors(60, 16), unit_vectors(30, 16, seed=1)
    gallery = engine(16, metric)
    gallery.add(references(*range(60)), stored)

    found = gallery.search(probes, k=4)

    named = {"cosine": "cosine", "l2": "euclidean", "l1": "cityblock"}[metric]
    expected = np.sort(cdist(probes, stored, named), axis=1)[:, :4]
    np.testing.assert_allclose(found.distances, expected, atol=1e-6)


def test_an_empty_gallery_finds_nothing_and_pads_nothing(engine, metric):
    found = engine(2, metric).search(on_circle(0, 10), k=5)

    assert found.keys.shape == found.distances.shape == (2, 0)


def test_k_beyond_the_gallery_finds_everything_once(engine, metric):
    gallery = engine(2, metric)
    gallery.add(references(1, 2, 3), on_circle(0, 60, 90))

    found = gallery.search(on_circle(80), k=50)

    assert found.keys.tolist() == [[3, 2, 1]]


def test_no_probes_get_no_answers(engine, metric):
    gallery = engine(2, metric)
    gallery.add(references(*range(30)), on_circle(*range(30)))

    assert gallery.search(np.empty((0, 2), np.float32), k=3).keys.shape == (0, 3)


def test_ties_go_to_the_smaller_key_even_where_k_cuts_between_them(engine, metric):
    gallery = engine(2, metric)
    order = np.random.default_rng(0).permutation(50)
    gallery.add(references(*order.tolist()), on_circle(*[30.0] * 50))

    found = gallery.search(on_circle(0), k=3)

    assert found.keys.tolist() == [[0, 1, 2]]


def test_a_removed_reference_is_never_found_again_and_the_others_stay(engine, metric):
    gallery = engine(2, metric)
    gallery.add(references(*range(40)), on_circle(*range(40)))

    gallery.remove([0, 39, 17])

    found = gallery.search(on_circle(17), k=40).keys[0]
    assert sorted(found.tolist()) == sorted(set(range(40)) - {0, 17, 39})
    assert len(gallery) == 37


def test_stored_embeddings_come_back_bit_for_bit_in_the_order_asked(engine, metric):
    stored = unit_vectors(20, 8)
    gallery = engine(8, metric)
    gallery.add(references(*range(20)), stored)
    gallery.remove([3])

    assert np.array_equal(gallery.embeddings([19, 0, 7, 0]), stored[[19, 0, 7, 0]])
    assert gallery.embeddings([]).shape == (0, 8)


def test_what_the_caller_does_to_its_array_later_changes_nothing(engine, metric):
    mine = on_circle(0, 60)
    gallery = engine(2, metric)
    gallery.add(references(1, 2), mine)

    mine[:] = 0

    assert np.array_equal(gallery.embeddings([1, 2]), on_circle(0, 60))


def test_removing_an_unknown_key_is_refused_and_removes_nothing(engine, metric):
    gallery = engine(2, metric)
    gallery.add(references(1, 2), on_circle(0, 60))

    with pytest.raises(UnknownKey, match="3"):
        gallery.remove([1, 3])

    assert len(gallery) == 2


def test_embeddings_of_an_unknown_key_are_refused(engine, metric):
    with pytest.raises(UnknownKey, match="5"):
        engine(2, metric).embeddings([5])


@pytest.mark.parametrize("keys", [(2, 1), (3, 3)], ids=["held already", "twice in one call"])
def test_adding_a_key_twice_is_refused_and_adds_nothing(engine, metric, keys):
    gallery = engine(2, metric)
    gallery.add(references(1), on_circle(0))

    with pytest.raises(DuplicateKey):
        gallery.add(references(*keys), on_circle(10, 20))

    assert len(gallery) == 1


def test_embeddings_of_another_dimension_are_refused(engine, metric):
    gallery = engine(3, metric)

    with pytest.raises(DimensionMismatch, match=r"\(n, 3\)"):
        gallery.add(references(1), on_circle(0))
    with pytest.raises(DimensionMismatch):
        gallery.search(on_circle(0), k=1)


def test_as_many_references_as_embeddings_are_asked_for(engine, metric):
    with pytest.raises(DimensionMismatch, match="1 references came with 2"):
        engine(2, metric).add(references(1), on_circle(0, 10))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused(engine, metric, bad):
    gallery = engine(2, metric)
    vectors = np.array([[bad, 0]], dtype=np.float32)

    with pytest.raises(NotFinite):
        gallery.add(references(1), vectors)
    with pytest.raises(NotFinite):
        gallery.search(vectors, k=1)

    assert len(gallery) == 0


def test_a_cosine_gallery_refuses_vectors_that_are_not_unit(engine):
    with pytest.raises(NotUnit):
        engine(2, "cosine").add(references(1), 2 * on_circle(0))


def test_a_pair_is_equally_far_whatever_else_is_searched_or_stored(engine, metric):
    stored, probes = unit_vectors(3000, 32), unit_vectors(64, 32, seed=1)
    alone, among = engine(32, metric), engine(32, metric)
    alone.add(references(5), stored[5:6])
    among.add(references(*range(3000)), stored)

    together = among.search(probes, k=2)

    for i, probe in enumerate(probes):
        single = among.search(probe[None], k=2)
        assert np.array_equal(single.keys[0], together.keys[i])
        assert np.array_equal(single.distances[0], together.distances[i])
    pair = alone.search(stored[5:6], k=1).distances[0, 0]
    assert pair == among.search(stored[5:6], k=1).distances[0, 0]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS))
def test_the_engines_agree_after_any_history(data, metric):
    # Few distinct directions, so that ties abound.
    directions = unit_vectors(12, 3)
    engines: list[Gallery] = [engine(3, metric) for engine in ENGINES.values()]
    held: set[int] = set()
    next_key = 0

    for _ in range(data.draw(st.integers(1, 6))):
        if held and data.draw(st.booleans()):
            gone = data.draw(st.lists(st.sampled_from(sorted(held)), unique=True))
            held -= set(gone)
            for gallery in engines:
                gallery.remove(gone)
        else:
            picks = data.draw(st.lists(st.integers(0, 11), max_size=40))
            keys = range(next_key, next_key + len(picks))
            next_key += len(picks)
            held |= set(keys)
            for gallery in engines:
                gallery.add(references(*keys), directions[picks])
        probes = directions[data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=4))]
        k = data.draw(st.integers(1, 8))
        right, *others = (gallery.search(probes, k) for gallery in engines)
        for found in others:
            assert np.array_equal(right.keys, found.keys)
            assert np.array_equal(right.distances, found.distances)


def test_readers_always_see_some_prefix_of_the_writes(engine, metric):
    # Step i adds key i at i degrees from the probe and takes away key i - 20: whatever prefix a
    # reader sees, the keys are consecutive and their embeddings are where they should be.
    steps, window = 400, 20
    degrees = np.linspace(0, 80, steps + window)
    points = on_circle(*degrees)
    gallery = engine(2, metric)
    gallery.add(references(*range(window)), points[:window])
    done = threading.Event()
    wrong: list[object] = []
    answers = [0] * 4

    def read(reader: int) -> None:
        while not done.is_set() or not answers[reader]:
            found = gallery.search(on_circle(0), k=window + 5).keys[0]
            keys = found.tolist()
            if keys != list(range(keys[0], keys[0] + len(keys))) or len(keys) < window:
                wrong.append(keys)
            answers[reader] += 1

    readers = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for reader in readers:
        reader.start()
    for key in range(window, window + steps):
        gallery.add(references(key), points[key : key + 1])
        gallery.remove([key - window])
    done.set()
    for reader in readers:
        reader.join()

    assert not wrong
    assert all(answers)


def test_a_gallery_filled_at_once_answers_as_one_added_to(engine, metric):
    rows, keys = unit_vectors(60, 8), np.arange(60)[::-1] * 7
    filled, added = engine(8, metric), engine(8, metric)

    filled.fill(keys, rows.copy())

    added.add(references(*keys.tolist()), rows)
    for gallery in (filled, added):
        gallery.remove([7, 70])
        gallery.add(references(7), rows[:1])
    found, right = (gallery.search(rows[:20], 5, exact=True) for gallery in (filled, added))
    np.testing.assert_equal(found.keys, right.keys)
    np.testing.assert_equal(found.distances, right.distances)
    np.testing.assert_equal(filled.embeddings([7, 77]), added.embeddings([7, 77]))
    assert len(filled) == 59


def test_a_fill_that_is_refused_leaves_a_gallery_empty(engine, metric):
    gallery, rows = engine(8, metric), unit_vectors(3, 8)

    with pytest.raises(DuplicateKey):
        gallery.fill(np.array([1, 2, 1]), rows)
    with pytest.raises(DimensionMismatch):
        gallery.fill(np.array([1, 2]), rows)
    with pytest.raises(NotFinite):
        gallery.fill(np.array([1, 2, 3]), np.full_like(rows, np.nan))

    assert len(gallery) == 0


def test_only_what_can_be_written_to_is_taken_over(engine, metric):
    given = unit_vectors(8, 8)
    before = given.copy()
    given.flags.writeable = False
    gallery = engine(8, metric)

    gallery.fill(np.arange(8), given)
    gallery.remove([0, 3])

    np.testing.assert_equal(given, before)
