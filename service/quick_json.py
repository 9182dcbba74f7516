"""JSON in a tenth of the time, where there is no other way to read it."""

import re
from typing import Any, Final

import orjson

_LONGEST: Final = 2**16  # bytes of a line, so that it holds no more values than others may
_DEEPEST: Final = 16  # objects in a line
_CONSTANT: Final = re.compile(rb"true|false|null")  # each with a letter that is in no usual key
_OTHERWISE: Final = 2**32  # more quotation marks than any line has


def read_embedding(line: bytes) -> tuple[dict[str, Any], list[Any]] | None:
    """Return an object with an `embedding`, as `parse_json` does: the other fields, and its list.

    None leaves the line to that: where it would be refused, and where that cannot be told here. A
    key that is there twice is told by the quotation marks: a document has more of them than what
    is made of it. What is in the list are numbers or objects without a key; no text, no constant
    and no list.
    """
    start = line.find(b"[")
    end = line.find(b"]", start)
    about = line[:start] + line[end:]
    if len(line) > _LONGEST or b"[" in line[start + 1 :] or about.count(b"{") > _DEEPEST:
        return None
    if b"\\" in line or _CONSTANT.search(about) or b'"' in line[start:end]:
        return None
    if b"u" in line[start:end] or b"l" in line[start:end]:
        return None
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    numbers = fields.pop("embedding", None) if isinstance(fields, dict) else None
    if not isinstance(numbers, list) or about.count(b'"') != 2 * (1 + _texts(fields)):
        return None
    return fields, numbers


def read(document: bytes) -> Any:
    """Return JSON that one of our scripts wrote."""
    return orjson.loads(document)


def write(document: object) -> bytes:
    """Return a document of our own as JSON."""
    return orjson.dumps(document)


def _texts(value: object) -> int:
    """Return how many texts there are in a value, keys among them.

    Numbers besides whole ones of 64 bits may be read otherwise than by `parse_json`.
    """
    if isinstance(value, str):
        return 1
    if isinstance(value, dict):
        return len(value) + sum(map(_texts, value.values()))
    return 0 if isinstance(value, int) else _OTHERWISE
