"""JSON that can be read in one way only, and the samples in it."""

import base64
import binascii
import json
from typing import Any, NoReturn

import numpy as np

from models_store import Given, ReadyEmbedding, Sample
from models_store.comparator import Array
from service.parameters import InvalidParameter
from service.requests.upload import MalformedBody, TooLarge

MOST_VALUES = 2**19
MOST_CONTAINERS = 2**17
MOST_MEMBERS = 2**17
LONGEST_NUMBER = 512  # characters: no usual program writes more, and they take time


def parse_json(
    body: bytes | bytearray, most: int = MOST_VALUES, members: int = MOST_MEMBERS
) -> Any:
    """Return a strict JSON document: UTF-8, no NaN or Infinity, no duplicate keys.

    Raises MalformedBody, InvalidParameter if a number is too long, or TooLarge if it may hold more
    than `most` values or `members` of objects, which are counted before any is made: in Python
    each takes ten times the memory that it does here.
    """
    if body.count(b",") > most:
        raise TooLarge(f"expected JSON of at most {most} values")
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        raise TooLarge(f"expected JSON of at most {MOST_CONTAINERS} lists and objects")
    if body.count(b":") > members and _members(body) > members:
        raise TooLarge(f"expected JSON of at most {members} members of objects")
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_int=_read_whole,  # a function of ours: others have their turn after each number
            parse_float=_read_real,
            parse_constant=_refuse_constant,
            object_pairs_hook=_refuse_duplicates,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedBody("expected strict JSON in UTF-8, without duplicate keys") from error


def read_sample(value: Any, where: str) -> Given:
    """Return the sample that a JSON value describes.

    One of `{"base64": …, "media_type": …}`, `{"text": …}`, `{"embedding": [float, …]}`.
    """
    match value:
        case {"base64": str(encoded), **rest} if not rest.keys() - {"media_type"}:
            try:
                return Sample(base64.b64decode(encoded, validate=True))
            except (binascii.Error, ValueError) as error:
                raise InvalidParameter(f"{where}.base64", "expected standard base64") from error
        case {"text": str(text), **rest} if not rest:
            return Sample(_encode(text, f"{where}.text"), "text")
        case {"embedding": list(numbers), **rest} if not rest:
            return ReadyEmbedding(_read_numbers(numbers, f"{where}.embedding"))
    raise InvalidParameter(
        where, "expected {base64, media_type}, {text} or {embedding}, and nothing else"
    )


def _read_numbers(numbers: list[Any], where: str) -> Array:
    if not all(type(number) in (float, int) for number in numbers):
        raise InvalidParameter(where, "expected numbers")
    try:
        with np.errstate(over="ignore"):
            vector = np.array(numbers, np.float64).astype(np.float32)
    except OverflowError as error:
        raise InvalidParameter(where, "expected numbers that fit float32") from error
    if not np.isfinite(vector).all():
        raise InvalidParameter(where, "expected numbers that fit float32")
    return vector


def _encode(text: str, where: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidParameter(where, "expected text without lone surrogates") from error


def _members(body: bytes | bytearray) -> int:
    """Return how many members objects have, or more where a text tells of them."""
    return body.translate(None, b" \t\r\n").count(b'":')


def _read_whole(number: str) -> int:
    return int(number) if len(number) <= LONGEST_NUMBER else _refuse_long()


def _read_real(number: str) -> float:
    return float(number) if len(number) <= LONGEST_NUMBER else _refuse_long()


def _refuse_long() -> NoReturn:
    raise InvalidParameter("number", f"expected at most {LONGEST_NUMBER} characters")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("duplicate keys")
    return document
