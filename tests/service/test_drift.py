"""What the last probes of a comparator tell of a shift, on a real bundle."""

import gc

import numpy as np
import pytest

from index import drift
from models_store import open_bundle
from service.watching.drift import WINDOW, Drift
from tests.bundles import make_bundle
from tests.replicas import replica

DIMENSION = 8


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return open_bundle(make_bundle(tmp_path_factory.mktemp("bundles"), cohort=200), threads=1)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def strangers(comparator, rng, count):
    """Embeddings (n, d) of scribbles that nobody saw, drawn as the bundle's strangers were."""
    scribbles = (rng.random((count, 1, 12, 12)) < 0.5).astype(np.float32)
    return comparator.embed([(scribble,) for scribble in scribbles])


def washed_out(comparator, rng, count, much=1.0):
    """The same where less tells them apart: each drawn towards something well known."""
    known = comparator.cohort[rng.integers(len(comparator.cohort), size=count)]
    return unit(strangers(comparator, rng, count) + much * known)


def shift_of(watched: Drift):
    [shift] = watched.shifts()
    return shift


@pytest.mark.parametrize("enrolled", [0, 9, 40])
def test_twenty_clean_windows_never_pass_the_limit_and_a_washed_out_one_does(tiny, enrolled):
    rng = np.random.default_rng(enrolled)
    gallery = replica(tiny, enrolled=strangers(tiny, rng, enrolled) if enrolled else ())
    watched, clean = Drift([tiny]), []

    for _ in range(20):
        watched.watch(gallery, strangers(tiny, rng, WINDOW))
        clean.append(shift_of(watched))
    watched.watch(gallery, washed_out(tiny, rng, WINDOW, much=3.0))
    washed = shift_of(watched)

    assert [shift for shift in clean if shift.index > shift.limit] == []
    assert {shift.probes for shift in clean} == {WINDOW}
    assert washed.index > washed.limit


def test_a_gallery_of_another_kind_than_the_bundles_strangers_is_its_own_measure(tiny):
    """Otherwise every deployment that differs from where the bundle was made drifts for good."""
    rng, watched = np.random.default_rng(1), Drift([tiny])

    watched.watch(replica(tiny), washed_out(tiny, rng, WINDOW, 3))
    by_bundle = shift_of(watched)
    alike = replica(tiny, enrolled=washed_out(tiny, rng, 150, 3))
    watched.watch(alike, washed_out(tiny, rng, WINDOW, 3))
    by_gallery = shift_of(watched)

    assert by_bundle.index > by_bundle.limit
    assert by_gallery.index < by_gallery.limit


@pytest.mark.parametrize("enrolled", [0, 5, 20])
def test_the_first_probes_of_a_gallery_are_the_measure_of_later_ones(tiny, enrolled):
    rng, watched = np.random.default_rng(4), Drift([tiny])
    gallery = replica(tiny, enrolled=washed_out(tiny, rng, enrolled, 3) if enrolled else ())

    def window(much):
        watched.watch(gallery, washed_out(tiny, rng, WINDOW, much))
        return shift_of(watched)

    window(3)
    usual = [window(3) for _ in range(20)]
    other = window(1)

    assert [shift for shift in usual if shift.index > shift.limit] == []
    assert max(shift.limit for shift in usual) < drift.no_drift_limit(20, WINDOW)
    assert other.index > other.limit


def test_first_probes_that_have_shifted_from_who_is_enrolled_are_not_the_measure(tiny):
    rng, watched = np.random.default_rng(5), Drift([tiny])
    gallery = replica(tiny, enrolled=strangers(tiny, rng, 60))

    for _ in range(4):
        watched.watch(gallery, washed_out(tiny, rng, WINDOW, 3))
        shifted = shift_of(watched)
        assert shifted.index > shifted.limit


def test_one_person_over_and_over_is_not_many_probes(tiny):
    rng, watched = np.random.default_rng(6), Drift([tiny])
    gallery = replica(tiny, enrolled=strangers(tiny, rng, 30))

    def window(people):
        probes = strangers(tiny, rng, people).repeat(WINDOW // people, axis=0)
        watched.watch(gallery, unit(probes + 0.01 * rng.standard_normal(probes.shape)))
        return shift_of(watched)

    window(20)
    later = [window(20) for _ in range(10)]

    assert [shift for shift in later if shift.index > shift.limit] == []


def test_nothing_is_said_before_there_are_enough_probes(tiny):
    gallery, watched = replica(tiny), Drift([tiny])
    probes = washed_out(tiny, np.random.default_rng(2), drift.FEWEST, much=3.0)

    watched.watch(gallery, probes[1:])
    few = shift_of(watched)
    watched.watch(gallery, probes[:1])
    enough = shift_of(watched)

    assert (few.index, few.probes) == (0, drift.FEWEST - 1)
    assert few.limit == drift.no_drift_limit(200, drift.FEWEST)
    assert enough.index > enough.limit


def test_galleries_of_one_comparator_share_a_window_and_small_ones_are_trusted_less(tiny):
    rng, watched = np.random.default_rng(3), Drift([tiny])
    few = replica(tiny, "few", strangers(tiny, rng, 20))
    many = replica(tiny, "many", strangers(tiny, rng, 200))

    watched.watch(many, strangers(tiny, rng, WINDOW))
    by_many = shift_of(watched)
    watched.watch(few, strangers(tiny, rng, WINDOW // 2))
    by_both = shift_of(watched)

    assert by_both.probes == WINDOW
    assert by_many.limit == drift.no_drift_limit(200, WINDOW)
    assert by_both.limit == drift.no_drift_limit(1 / (0.25 / 200 + 0.25 / 20), WINDOW)


def test_a_gallery_that_is_gone_is_not_held_on_to(tiny):
    gallery, watched = replica(tiny, enrolled=tiny.cohort[:20]), Drift([tiny])
    watched.watch(gallery, tiny.cohort[:5])
    shift_of(watched)
    assert len(watched._enrolled) == len(watched._first) == 1

    del gallery
    gc.collect()

    assert len(watched._enrolled) == len(watched._first) == 0
