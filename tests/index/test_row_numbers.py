"""Rows by key, in pages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.row_numbers import RowNumbers

KEYS = st.one_of(st.integers(-300, 300), st.integers(-(2**62), 2**62))


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=60))
def test_it_knows_what_a_dict_knows(history):
    rows, right = RowNumbers(), {}
    for row, (coming, key) in enumerate(history):
        if coming and key not in right:
            rows.put([key], row)
            right[key] = row
        elif key in right:
            rows.move(key, row)
            assert rows.pop(key) == row
            del right[key]

        assert len(rows) == len(right)
        assert all((each in rows) == (each in right) for _, each in history)
        assert rows.of(list(right)) == list(right.values())


@given(st.lists(KEYS, max_size=200, unique=True))
def test_rows_filled_at_once_are_those_put_one_by_one(keys):
    filled, put = RowNumbers(), RowNumbers()

    filled.fill(np.array(keys, np.int64))

    put.put(keys, 0)
    assert len(filled) == len(keys)
    assert filled.of(keys) == put.of(keys) == list(range(len(keys)))
    assert [key for key in keys if filled.pop(key) != put.pop(key)] == []
    assert len(filled) == 0
    assert not filled._pages


def test_a_key_that_comes_twice_fills_nothing():
    rows = RowNumbers()

    with pytest.raises(ValueError, match="twice"):
        rows.fill(np.array([5, 7, 5]))

    assert len(rows) == 0


@pytest.mark.parametrize("key", [5, 700, -1])
def test_a_key_that_is_not_there_is_named(key):
    rows = RowNumbers()
    rows.put([1, 2], 0)

    with pytest.raises(KeyError, match=str(key)):
        rows.of([1, key])


def test_pages_that_are_empty_are_dropped():
    rows = RowNumbers()
    rows.put(range(10_000), 0)

    for key in range(10_000):
        rows.pop(key)

    assert not rows._pages


def test_many_keys_are_looked_up_as_one_by_one():
    keys = np.random.default_rng(0).permutation(20_000)[:5000]
    rows = RowNumbers()
    rows.fill(keys)

    assert rows.of(keys[::-1].tolist()) == list(range(4999, -1, -1))
    absent = next(key for key in range(20_000) if key not in rows)
    with pytest.raises(KeyError, match=str(absent)):
        rows.of([*keys.tolist(), absent])
