"""Bytes that are nearly right: flipped, cut, doubled, moved, and numbers at their edges."""

import re

import numpy as np

EDGES = [bytes([byte]) * size for byte in (0x00, 0x7F, 0x80, 0xFF) for size in (1, 2, 4, 8)] + [
    b"-1",
    b"NaN",
    b"1e999",
    b"null",
    b"[" * 500,
    b'"',
    b"\r\n",
    b"\\ud800",
    "\u202e".encode(),
]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes changed in one to four places, mostly one."""
    out = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        at, end = sorted(rng.integers(0, len(out) + 1, 2).tolist())
        end = min(end, at + int(rng.integers(1, 65)))
        match int(rng.integers(7)):
            case 0 | 1 if len(out):
                out[min(at, len(out) - 1)] ^= 1 << int(rng.integers(8))
            case 2:
                del out[at:end]
            case 3:
                out[at:at] = out[at:end] * int(rng.integers(1, 4))
            case 4:
                edge = EDGES[int(rng.integers(len(EDGES)))]
                out[at : at + len(edge) * int(rng.integers(2))] = edge
            case 5:
                out[at:end] = rng.bytes(end - at)
            case _ if rng.random() < 0.1:
                del out[at:]
    return bytes(out)


TOKENS = re.compile(rb'"[^"\r\n]{0,64}"|-?[0-9][0-9.eE+-]{0,20}|\b[a-z_]{2,24}\b')
INSTEAD = [
    *[b"0", b"-1", b"1e999", b"-0.0", b"1e-320", b"18446744073709551616", b"0.1", b"1", b"2"],
    *[b"true", b"null", b"[]", b"{}", b"[[[]]]", b'""', b'"\\ud800"', b'"\\u0000"', b'"a"'],
    *[
        "\u202e".encode(),
        "é".encode() * 40,
        b"ada",
        b"default",
        b"..",
        b"%00",
        b"%2e%2e%2f",
        b"tiny",
    ],
]


def swapped(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes in which one to three words, numbers or strings are others."""
    for _ in range(int(rng.integers(1, 4))):
        if not (found := list(TOKENS.finditer(content[:4096]))):
            return content
        here = found[int(rng.integers(len(found)))]
        other = INSTEAD[int(rng.integers(len(INSTEAD)))]
        if rng.random() < 0.3:
            other = found[int(rng.integers(len(found)))].group()
        content = content[: here.start()] + other + content[here.end() :]
    return content
