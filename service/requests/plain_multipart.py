"""A short multipart body as nearly every client writes it, read at one go."""

import re
from dataclasses import dataclass

SHORT = 2**14
"""Bytes of a body that is read whole before its parts are looked for."""

_BOUNDARY = re.compile(rb"[\w'-]{1,100}")
_HEAD = re.compile(
    rb"\r\n(?i:Content-Disposition): form-data; "
    rb'name="([\w.-]*)"(?:; filename="([\w. -]*)")?\r\n'
    rb"(?:(?i:Content-Type): (?i:(?! *multipart/))[\x20-\x7e]{0,200}\r\n)?\r\n"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body; a file if it has a file name."""

    name: str
    filename: str | None
    content: bytes


def plain_parts(body: bytes, boundary: bytes) -> list[Part] | None:
    """Return the parts of a whole body, or None: then it takes a parser to tell what it is.

    That is where anything of the grammar (RFC 7578) is used but the headers that everybody
    writes, in their usual spelling and order. What is read here is read as a parser reads it.
    """
    if not _BOUNDARY.fullmatch(boundary):
        return None
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 3 or pieces[0] or pieces[-1] not in (b"--", b"--\r\n"):
        return None
    parts = []
    for piece in pieces[1:-1]:
        if not (head := _HEAD.match(piece)):
            return None
        name, filename = head.groups()
        called = None if filename is None else filename.decode("ascii")
        parts.append(Part(name.decode("ascii"), called, piece[head.end() :]))
    return parts
