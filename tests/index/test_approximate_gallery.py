"""A large gallery that finds nearly all of the nearest, and what it does when it cannot."""

import threading

import numpy as np
import pytest

from index import approximate_gallery
from index.approximate_gallery import RECALL, ApproximateGallery
from index.gallery import Embeddings, Reference

DIMENSION, ABOVE = 24, 12_000


def unit(rows: np.ndarray) -> Embeddings:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int, seed: int = 0) -> Embeddings:
    """Samples of identities, four each, that fill a third of the dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count // 4, 1, DIMENSION)) * np.exp(-np.arange(DIMENSION) / 4)
    around = 0.1 * rng.standard_normal((count // 4, 4, DIMENSION))
    return unit((centres + around).reshape(-1, DIMENSION))


def references(start: int, stop: int) -> list[Reference]:
    return [Reference(key, f"identity {key // 4}") for key in range(start, stop)]


@pytest.fixture(scope="module")
def rows() -> Embeddings:
    return clustered(20_000)


@pytest.fixture
def gallery(rows) -> ApproximateGallery:
    gallery = ApproximateGallery(DIMENSION, "cosine", above=ABOVE)
    gallery.add(references(0, len(rows)), rows)
    gallery.settle()
    return gallery


def recall(gallery: ApproximateGallery, probes: Embeddings) -> float:
    found = gallery.search(probes, 10).keys
    right = gallery.search(probes, 10, exact=True).keys
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, right, strict=True)]))


def test_probes_that_it_was_not_measured_with_find_nearly_all(gallery, rows):
    probes = unit(rows[1::100] + 0.05 * np.random.default_rng(1).standard_normal((200, DIMENSION)))

    assert gallery.approximate
    assert RECALL <= gallery.recall <= 1
    assert recall(gallery, probes) > RECALL - 0.02


def test_a_few_lists_are_enough(gallery):
    assert gallery._looked_into < len(gallery._lists) / 4


def test_what_is_found_is_as_far_as_by_an_exact_search_to_the_last_bit(gallery, rows):
    found = gallery.search(rows[::50], 10)
    right = gallery.search(rows[::50], 10, exact=True)

    far = {}
    for i, (keys, apart) in enumerate(zip(right.keys, right.distances, strict=True)):
        far.update({(i, key): distance for key, distance in zip(keys, apart, strict=True)})
    both = [
        (distance, far[i, key])
        for i, (keys, apart) in enumerate(zip(found.keys, found.distances, strict=True))
        for key, distance in zip(keys, apart, strict=True)
        if (i, key) in far
    ]
    assert len(both) > RECALL * found.keys.size - 20
    assert all(ours == theirs for ours, theirs in both)


def test_up_to_its_limit_it_is_exact(rows):
    gallery = ApproximateGallery(DIMENSION, "cosine", above=len(rows))
    gallery.add(references(0, len(rows)), rows)
    gallery.settle()

    assert not gallery.approximate
    assert gallery.recall == 1


def test_where_too_many_lists_would_be_needed_it_stays_exact():
    noise = np.random.default_rng(0).standard_normal((13_000, 64))
    gallery = ApproximateGallery(64, "cosine", above=ABOVE)
    gallery.add(references(0, len(noise)), unit(noise))
    gallery.settle()

    assert not gallery.approximate
    assert recall(gallery, unit(noise[:20])) == gallery.recall == 1


def test_what_is_added_later_is_found_at_once_listed_or_not(gallery):
    new = clustered(10_000, seed=2)
    for start in range(0, len(new), 100):
        keys = range(20_000 + start, 20_100 + start)
        gallery.add(references(keys.start, keys.stop), new[start : start + 100])
        assert gallery.search(new[start : start + 100], 1).keys[:, 0].tolist() == list(keys)
    gallery.settle()

    assert gallery._lists.listed > 20_000
    assert gallery.search(new, 1).keys[:, 0].tolist() == list(range(20_000, 30_000))


def test_what_is_removed_is_never_found_and_leaves_no_code_behind(gallery, rows):
    gone = np.random.default_rng(3).permutation(len(rows))[:6000].tolist()
    gallery.remove(gone)
    gallery.settle()

    assert gallery.approximate
    assert not np.isin(gallery.search(rows[gone[:300]], 10).keys, gone).any()
    lists = gallery._lists
    held = np.concatenate([lists._list(number)[0] for number in range(len(lists))])
    assert sorted(held.tolist()) == list(range(len(gallery)))
    assert recall(gallery, rows[::100]) > RECALL - 0.02


def test_a_gallery_that_shrinks_is_exact_again(gallery, rows):
    gallery.remove(list(range(15_000)))
    gallery.settle()

    assert not gallery.approximate
    assert gallery.search(rows[15_000:15_100], 1).keys[:, 0].tolist() == list(
        range(15_000, 15_100)
    )


def test_a_gallery_that_grows_fourfold_gets_new_lists(gallery):
    before = gallery._lists
    more = clustered(64_000, seed=4)
    gallery.add(references(20_000, 84_000), more)
    gallery.settle()

    assert gallery._lists is not before
    assert gallery._lists.trained_for == 84_000
    assert gallery.recall >= RECALL


def test_the_same_contents_are_searched_alike_in_whatever_order_they_came(gallery, rows):
    other = ApproximateGallery(DIMENSION, "cosine", above=ABOVE)
    order = np.random.default_rng(5).permutation(len(rows))
    named = references(0, len(rows))
    other.add([named[row] for row in order], rows[order])
    other.settle()

    probes = clustered(400, seed=6)
    ours, theirs = gallery.search(probes, 10), other.search(probes, 10)

    assert other.approximate
    assert np.array_equal(ours.keys, theirs.keys)
    assert np.array_equal(ours.distances, theirs.distances)


def test_while_it_moves_everybody_is_found_and_may_come_and_go(rows):
    gallery = ApproximateGallery(DIMENSION, "cosine", above=ABOVE)
    gallery.add(references(0, 12_000), rows[:12_000])
    moved, wrong = threading.Event(), []

    def search() -> None:
        while not moved.is_set():
            found = gallery.search(rows[6000:6050], 1).keys[:, 0]
            if found.tolist() != list(range(6000, 6050)):
                wrong.append(found)

    searcher = threading.Thread(target=search)
    searcher.start()
    for start in range(12_000, 20_000, 50):
        gallery.add(references(start, start + 50), rows[start : start + 50])
        gallery.remove(list(range((start - 12_000) // 2, (start - 12_000) // 2 + 25)))
    gallery.settle()
    moved.set()
    searcher.join()

    assert gallery.approximate
    assert not wrong
    assert gallery.search(rows[4000:], 1).keys[:, 0].tolist() == list(range(4000, 20_000))


def test_lists_that_cannot_be_made_leave_it_exact(rows, monkeypatch, caplog):
    def fails(*_: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(approximate_gallery, "InvertedLists", fails)
    gallery = ApproximateGallery(DIMENSION, "cosine", above=ABOVE)
    gallery.add(references(0, len(rows)), rows)
    gallery.settle()

    assert not gallery.approximate
    assert recall(gallery, rows[:20]) == 1
    assert "exact" in caplog.text
