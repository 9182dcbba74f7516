"""Who goes by two names is found, and who is only like somebody else is not."""

import numpy as np
import pytest

from tests.index.test_health import DIMENSION, check, unit, world


def test_an_identity_under_two_names_is_found():
    names, rows = world(3)
    for identity in range(10):  # every other sample goes by another name
        for i in range(8 * identity, 8 * identity + 8, 2):
            names[i] = f"{identity:03d} again"

    found = check(names, rows)

    told = {each.identities for each in found.duplicates}
    split = {(f"{identity:03d}", f"{identity:03d} again") for identity in range(10)}
    assert len(told & split) >= 8
    assert len(told & split) >= 0.8 * len(told)
    for each in found.duplicates:
        assert {names[key] for key in each.nearest} == set(each.identities)
        assert 0 < each.p_value <= 1
        assert 0.5 <= each.probability <= 1
    surest = [each.probability for each in found.duplicates]
    assert surest == sorted(surest, reverse=True)


def test_somebody_enrolled_twice_with_one_sample_each_is_found():
    names, rows = world(4)
    names[0] = "one"
    names[1:8] = ["zero"] * 7
    names[8], rows = "another", np.delete(rows, range(9, 16), axis=0)
    del names[9:16]

    found = check(names, rows)

    assert ("one", "zero") in {each.identities for each in found.duplicates}
    assert "another" not in {name for each in found.duplicates for name in each.identities}


@pytest.mark.parametrize("twice", [1, 12, 24])
def test_the_same_samples_under_two_names_are_one_identity(twice):
    names, rows = world(7, identities=24, samples=5)
    again = [f"again {name}" for name in names[: 5 * twice]]

    found = check(names + again, np.concatenate([rows, rows[: 5 * twice]]), limit=300)

    told = {each.identities for each in found.duplicates}
    assert told == {(f"{i:03d}", f"again {i:03d}") for i in range(twice)}


def test_look_alikes_that_are_nearly_one_are_not_taken_for_one():
    rng = np.random.default_rng(8)
    centres = unit(rng.standard_normal((60, 1, DIMENSION)))
    centres[30:] = unit(centres[:30] + 0.18 * rng.standard_normal((30, 1, DIMENSION)))  # thirty
    rows = unit(centres + 0.08 * rng.standard_normal((60, 10, DIMENSION))).reshape(-1, DIMENSION)
    names = [f"{identity:03d}" for identity in range(60) for _ in range(10)]
    for identity in range(0, 50, 5):  # ten of sixty go by two names
        for i in range(10 * identity, 10 * identity + 10, 2):
            names[i] = f"{identity:03d} again"

    told = {each.identities for each in check(names, rows).duplicates}

    split = {(f"{identity:03d}", f"{identity:03d} again") for identity in range(0, 50, 5)}
    assert len(told & split) >= 8
    assert len(told & split) >= 0.8 * len(told)
