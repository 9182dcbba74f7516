"""An identifier that is taken up from plain arrays is the one that was put down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from index import FaissGallery, Identifier, Reference

D = 6


def score(distances):
    return expit(3 - 6 * np.asarray(distances, np.float64))


def points(rng, n):
    rows = rng.normal(size=(n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def empty(strangers, *, choosing=True, rule="max", own_trials=True):
    return Identifier(
        lambda: FaissGallery(D, "cosine"),
        score,
        strangers,
        rule=rule,
        choosing=choosing,
        own_trials=own_trials,
    )


def changed(identifier, rng, key, count):
    """Enroll and forget at random; return the next key."""
    for _ in range(count):
        if rng.random() < 0.25 and identifier.samples:
            references, _ = identifier.enrolled()
            gone = rng.choice(len(references), size=min(3, len(references)), replace=False)
            identifier.forget([references[i].key for i in gone])
        else:
            names = rng.integers(60, size=4)
            identifier.enroll(
                [Reference(key + i, f"id-{name}") for i, name in enumerate(names)], points(rng, 4)
            )
            key += 4
    return key


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.sampled_from([0, 3, 60]),
    rule=st.sampled_from(["max", "mean", "centroid", "knn"]),
    searched=st.booleans(),
    choosing=st.booleans(),
    own_trials=st.booleans(),
)
def test_it_answers_to_the_last_bit_as_the_one_put_down_now_and_after_every_change(
    seed, count, rule, searched, choosing, own_trials
):
    rng = np.random.default_rng(seed)
    strangers = points(rng, 40)
    how = {"choosing": choosing, "rule": rule, "own_trials": own_trials}
    first, second = empty(strangers, **how), empty(strangers, **how)
    key = changed(first, rng, 1, count)
    first.prepare()

    second.thaw(first.freeze(), searched=searched)

    for more in (0, 5):
        changed(first, np.random.default_rng(seed), key, more)
        changed(second, np.random.default_rng(seed), key, more)
        probes = points(np.random.default_rng(1), 5)
        assert second.identify(probes) == first.identify(probes)
        assert (second.identities, second.samples) == (first.identities, first.samples)


def test_what_was_put_down_does_not_change_with_the_one_it_came_from():
    rng = np.random.default_rng(3)
    strangers = points(rng, 40)
    first = empty(strangers)
    key = changed(first, rng, 1, 50)
    first.prepare()
    probes = points(rng, 5)
    before, frozen = first.identify(probes), first.freeze()

    changed(first, rng, key, 30)
    second = empty(strangers)
    second.thaw(frozen, searched=True)

    assert first.identify(probes) != before
    assert second.identify(probes) == before


def test_nothing_is_searched_again_that_was_found_before():
    rng = np.random.default_rng(4)
    strangers = points(rng, 40)
    first = empty(strangers)
    changed(first, rng, 1, 80)
    first.prepare()

    second = empty(strangers)
    second.thaw(first.freeze(), searched=True)
    second._roster._score = None  # whatever searched would need it

    second.prepare()
    with pytest.raises(TypeError):
        second.identify(points(rng, 1))
