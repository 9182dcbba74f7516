"""What is read quickly is read as `parse_json` reads it, or left to that."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.quick_json import read_embedding
from service.requests.strict_json import parse_json

NUMBERS = st.integers() | st.floats() | st.floats(width=32)
WORDS = st.sampled_from(["identity", "metadata", "embedding", "a", "é", "", "\ud800"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def lines(draw):
    """An object, perhaps with a key twice, as any program may write it."""
    fields = draw(st.lists(st.tuples(WORDS, VALUES), max_size=3))
    fields.append(("embedding", draw(st.lists(NUMBERS, max_size=5))))
    fields = draw(st.permutations(fields))
    plain = draw(st.booleans())
    pairs = [f"{as_json(name, plain)}: {as_json(value, plain)}" for name, value in fields]
    return ("{" + ", ".join(pairs) + "}").encode(errors="surrogatepass")


def as_json(value, plain):
    return json.dumps(value, ensure_ascii=not plain)


def is_same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(is_same, a, b))
    return a == b


@given(lines())
@example(b'{"identity": "a", "embedding": [1], "identity": "b"}')
@example(b'{"identity": "a", "embedding": [1], "embedding": [2]}')
@example(b'{"embedding": [1], "metadata": {"a": 1, "a": 2}}')
@example(b'{"embedding": [1], "metadata": {"a": 123456789012345678901234567890}}')
@example(b'{"embedding": [1e999]}')
@example(b'{"embedding": [-0.0, 0.1, 1e-320, 18446744073709551615]}')
@example(b'{"embedding": [NaN]}')
def test_what_is_read_is_what_would_be_read_slowly(line):
    found = read_embedding(line)

    if found is not None:
        fields, numbers = found
        slowly = parse_json(line)
        assert is_same(fields | {"embedding": numbers}, slowly)


def test_a_usual_line_is_read():
    line = '{"identity": "Ada é", "embedding": [0.25, -1e-3, 7], "metadata": {"of": {"x": 1}}}'

    assert read_embedding(line.encode()) == (
        {"identity": "Ada é", "metadata": {"of": {"x": 1}}},
        [0.25, -0.001, 7],
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[1]",
        b'{"embedding": 1}',
        b'{"identity": "a"}',
        b'{"embedding": [1, "2"]}',
        b'{"embedding": [true]}',
        b'{"embedding": [null]}',
        b'{"embedding": [[1]]}',
        b'{"embedding": [1,]}',
        b'{"embedding": [01]}',
        b'{"embedding": [1]} x',
        b'\xef\xbb\xbf{"embedding": [1]}',
        b'{"embedding": [1], "a": "\xff"}',
        b'{"embedding": [1], "a": "\\ud800"}',
        b'{"embedding": [' + b"1," * 40_000 + b"1]}",
        b'{"embedding": [1], "a": ' + b'{"a":' * 50 + b"1" + b"}" * 51,
    ],
)
def test_whatever_is_odd_is_left(line):
    assert read_embedding(line) is None
