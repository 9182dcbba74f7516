"""Bytes in any pieces become the same lines."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.requests.ndjson import split_lines
from service.requests.upload import TooLarge

LONGEST = 5


async def in_pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def split(pieces: Sequence[bytes]) -> tuple[list[bytes], bool]:
    """Return the lines, and whether all were short enough."""

    async def collect() -> tuple[list[bytes], bool]:
        lines = []
        try:
            async for line in split_lines(in_pieces(pieces), LONGEST):
                lines.append(line)
        except TooLarge:
            return lines, False
        return lines, True

    return asyncio.run(collect())


@given(
    st.lists(st.text("ab\n", max_size=8).map(str.encode), max_size=6).filter(lambda p: b"".join(p))
)
def test_lines_are_those_of_the_whole_up_to_the_first_that_is_too_long(pieces):
    whole = b"".join(pieces)
    expected = whole.removesuffix(b"\n").split(b"\n")
    short = next((i for i, line in enumerate(expected) if len(line) > LONGEST), None)

    lines, all_short = split(pieces)

    assert all_short == (short is None)
    assert lines == expected[:short]


def test_no_bytes_are_no_lines():
    assert split([b"", b""]) == ([], True)


@pytest.mark.parametrize("pieces", [[b"a\n" + b"b" * 6 + b"\nc"], [b"a\nbbb", b"bbb\nc"]])
def test_a_long_line_is_found_however_it_comes(pieces):
    assert split(pieces) == ([b"a"], False)
