"""JSON of any size is read while others go on."""

import threading
import time

import pytest

from service.parameters import InvalidParameter
from service.requests.strict_json import LONGEST_NUMBER, MOST_MEMBERS, parse_json
from service.requests.upload import TooLarge


def turns_meanwhile(body):
    """Return how often another thread has its turn while a body is read."""
    reading = threading.Thread(target=parse_json, args=(body,))
    reading.start()
    turns = 0
    while reading.is_alive():
        time.sleep(0.001)
        turns += 1
    return turns


@pytest.mark.parametrize(
    "number", [b"0." + b"123456789" * 6, b"9" * LONGEST_NUMBER], ids=["reals", "wholes"]
)
def test_others_have_their_turn_while_many_long_numbers_are_read(number):
    body = b"[" + b",".join([number] * (28_000_000 // len(number))) + b"]"

    assert turns_meanwhile(body) > 10


@pytest.mark.parametrize("number", ["9" * 513, "0." + "3" * 511, "1e" + "0" * 511])
def test_a_number_is_not_longer_than_any_program_writes(number):
    assert len(number) == LONGEST_NUMBER + 1

    with pytest.raises(InvalidParameter, match="512 characters"):
        parse_json(f'{{"a": {number}}}'.encode())


@pytest.mark.parametrize("between", [b":", b" :", b"\n \t: "])
def test_the_members_of_objects_are_counted_in_every_spelling(between):
    member = b'"a"' + between + b"1"
    body = b"[" + b",".join([b"{" + member + b"}"] * 65_536) + b",{" + member + b"}]"

    parse_json(body, members=65_537)
    with pytest.raises(TooLarge, match="65536 members"):
        parse_json(body, members=65_536)


def test_colons_in_a_text_are_no_members():
    body = b'["' + b": " * (MOST_MEMBERS + 1) + b'"]'

    assert parse_json(body) == [": " * (MOST_MEMBERS + 1)]
