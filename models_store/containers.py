"""Which audio files a library gets to open, by our own reading of their headers.

WAV and AIFF can hold anything; of them only plain samples are decoded. Their headers are written
anew, so that the library reads no chunk but that of the samples, and no field but those checked.
"""

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from models_store.sample import Undecodable

_RIFF = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FMT = struct.Struct("<HHIIHH")  # tag, channels, rate, bytes a second, bytes a frame, bits
_EXTENSIBLE = 0xFFFE
_SUBFORMAT = slice(24, 40)  # of such a chunk: a tag, and what makes a GUID of it
_GUID = bytes.fromhex("000000001000800000aa00389b71")
_WAV_BITS: Mapping[int, tuple[int, ...]] = MappingProxyType({1: (16, 24, 32), 3: (32, 64)})

_FORM = struct.Struct(">4sI4s4sIhIh10s4sH4sIII")
_COMM = struct.Struct(">hIh10s")  # channels, frames, bits, rate
_AIFF_BITS: Mapping[bytes, tuple[int, ...]] = MappingProxyType(
    {
        b"NONE": (16, 24, 32),
        b"twos": (16, 24, 32),
        b"sowt": (16, 24, 32),
        b"fl32": (32,),
        b"FL32": (32,),
        b"fl64": (64,),
        b"FL64": (64,),
    }
)

_EXPECTED = "expected WAV or AIFF of plain samples: integers of 16, 24 or 32 bits, or floats"


def openable(content: bytes) -> bytes:
    """Return of an audio file what a library may open; raise Undecodable if that is nothing."""
    start = _tags_end(content)
    head = content[start : start + 12]
    match head[:4], head[8:]:
        case b"RIFF", b"WAVE":
            return _wav(content[start:])
        case b"FORM", b"AIFF" | b"AIFC" as kind:
            return _aiff(content[start:], compressed=kind == b"AIFC")
    is_mpeg = len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0
    if is_mpeg or head[:4] in (b"fLaC", b"OggS"):
        return content[start:]
    raise Undecodable("expected audio (WAV, WAVEX, FLAC, OGG, MP3, AIFF) that decodes")


def _tags_end(content: bytes) -> int:
    """Return where the ID3 tags before a file end: behind them a library looks anew."""
    start = 0
    while content.startswith(b"ID3", start) and start + 10 <= len(content):
        a, b, c, d = (byte & 0x7F for byte in content[start + 6 : start + 10])
        start += 10 + (a << 21 | b << 14 | c << 7 | d)
    return start


def _chunks(content: bytes, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and size of each chunk, the size as it is claimed."""
    header = struct.Struct(f"{order}4sI")
    at = 12
    while at + header.size <= len(content):
        name, size = header.unpack_from(content, at)
        at += header.size
        yield name, at, size
        at += size + size % 2


def _wav(content: bytes) -> bytes:
    about = b""
    for name, start, size in _chunks(content, "<"):
        if name == b"fmt " and not about:
            about = content[start : start + size]
        elif name == b"data" and about:
            # A recorder that was cut off leaves 0.
            return _wav_of(about, memoryview(content)[start : start + size if size else None])
    raise Undecodable(_EXPECTED)


def _wav_of(about: bytes, frames: memoryview) -> bytes:
    if len(about) < _FMT.size:
        raise Undecodable(_EXPECTED)
    tag, channels, rate, _, step, bits = _FMT.unpack_from(about)
    if tag == _EXTENSIBLE:
        guid = about[_SUBFORMAT]
        tag = int.from_bytes(guid[:2], "little") if guid[2:] == _GUID else 0
    if bits not in _WAV_BITS.get(tag, ()) or step != channels * bits // 8:
        raise Undecodable(_EXPECTED)
    second = rate * step % 2**32
    fmt = (b"fmt ", _FMT.size, tag, channels, rate, second, step, bits)
    head = _RIFF.pack(b"RIFF", _RIFF.size - 8 + len(frames), b"WAVE", *fmt, b"data", len(frames))
    return b"".join((head, frames))


def _aiff(content: bytes, *, compressed: bool) -> bytes:
    found: dict[bytes, memoryview] = {}
    for name, start, size in _chunks(content, ">"):
        found.setdefault(name, memoryview(content)[start : start + size])
        if {b"COMM", b"SSND"} <= found.keys():
            return _aiff_of(found[b"COMM"], found[b"SSND"], compressed=compressed)
    raise Undecodable(_EXPECTED)


def _aiff_of(about: memoryview, sound: memoryview, *, compressed: bool) -> bytes:
    if len(about) < _COMM.size + 4 * compressed or len(sound) < 8:
        raise Undecodable(_EXPECTED)
    channels, _, bits, rate = _COMM.unpack_from(about)
    kind = bytes(about[_COMM.size : _COMM.size + 4]) if compressed else b"NONE"
    if bits not in _AIFF_BITS.get(kind, ()) or channels < 1:
        raise Undecodable(_EXPECTED)
    frames = sound[8 + int.from_bytes(sound[:4], "big") :]
    count = len(frames) * 8 // (channels * bits)
    comm = (b"COMM", _COMM.size + 6, channels, count, bits, rate, kind, 0)
    ssnd = (b"SSND", 8 + len(frames), 0, 0)
    head = _FORM.pack(b"FORM", _FORM.size - 8 + len(frames), b"AIFC", *comm, *ssnd)
    return b"".join((head, frames))
