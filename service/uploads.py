"""A multipart part or JSON sample becomes a Sample, within limits."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from models_store import Given, ReadyEmbedding, Sample
from models_store.comparator import Array
from service.parameters import InvalidParameter, field_name
from service.plain_multipart import SHORT, Part, plain_parts

MOST_PARTS_BESIDE_SAMPLES = 16
MOST_PARTS_A_SAMPLE = 3  # the file, whose it is, and which group they belong to
LONG_BODY = 2**18  # bytes of JSON from which parsing it would keep everybody else waiting
MOST_VALUES = 2**19
MOST_CONTAINERS = 2**17
LONGEST_FIELD = 2**16  # bytes of a part that is no sample
MOST_BESIDE = 2**14  # bytes around a part: boundaries, headers, and what stands between
PLAIN = (b"7bit", b"8bit", b"binary")  # transfer encodings that change nothing
MULTIPART, JSON = b"multipart/form-data", b"application/json"


class TooLarge(Exception):
    """The request holds more than the limits allow; the message says which limit."""


class UnsupportedMedia(Exception):
    """The body is of a kind that is not read here."""


class MalformedBody(Exception):
    """The body breaks the grammar of its media type."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one request may hold; bytes and counts. `archive` is of the part of that name.

    `numbers` are those of all embeddings together, where that is more than any other JSON has.
    """

    body: int
    file: int
    files: int
    embeddings: int
    archive: int = 0
    numbers: int = 0

    def longest(self, name: str) -> int:
        """Return how many bytes a part of this name may have."""
        return max(self.archive, self.file) if name == "archive" else self.file


@dataclass(frozen=True, slots=True)
class Upload:
    """A request's body, whichever way it came: samples by field name, and the other fields.

    `textual` tells that all fields are strings, as multipart has them. `filenames` are what the
    client calls its files, by field name, and None where it does not say.
    """

    samples: dict[str, list[Given]] = field(default_factory=dict)
    filenames: dict[str, list[str | None]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    textual: bool = False

    def one(self, name: str) -> Given:
        """Return the only sample under a name; raise InvalidParameter if there is not just one."""
        samples = self.samples.get(name, [])
        if len(samples) != 1:
            raise InvalidParameter(name, f"expected one sample, got {len(samples)}")
        return samples[0]

    def many(self, name: str) -> list[Given]:
        """Return the samples under a name; raise InvalidParameter if there is none."""
        if not self.samples.get(name):
            raise InvalidParameter(name, "expected at least one sample")
        return self.samples[name]


async def read_upload(
    request: Request, limits: UploadLimits, sample_fields: tuple[str, ...]
) -> Upload:
    """Return the body of a request, read and parsed within limits.

    Raises TooLarge, UnsupportedMedia, MalformedBody or InvalidParameter.
    """
    media_type, options = read_media_type(request, MULTIPART, JSON)
    if media_type == MULTIPART:
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise MalformedBody("expected a multipart boundary of 1 to 200 bytes")
        reader = _PartReader(limits, sample_fields)
        upload = _from_parts(await _read_parts(request, boundary, reader), sample_fields)
    else:
        body = await read_body(request, limits.body)
        most = max(MOST_VALUES, limits.numbers)
        if len(body) < LONG_BODY:
            upload = _from_json(parse_json(body, most), sample_fields)
        else:
            upload = await asyncio.to_thread(
                lambda: _from_json(parse_json(body, most), sample_fields)
            )
    _check_counts(upload, limits)
    return upload


def read_media_type(request: Request, *accepted: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the media type of a body and its options, or raise UnsupportedMedia if not accepted.

    A charset may be named, if it is UTF-8.
    """
    media_type, options = media_type_of(request)
    if media_type not in accepted or options.get(b"charset", b"utf-8").lower() != b"utf-8":
        kinds = " or ".join(kind.decode() for kind in accepted)
        raise UnsupportedMedia(f"expected a body of {kinds}, in UTF-8")
    return media_type, options


def media_type_of(request: Request) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the media type that a body is said to be of, and its options."""
    return _media_type(request.headers.get("content-type"))


_media_type = lru_cache(maxsize=64)(parse_options_header)


async def read_json(request: Request, limit: int) -> Any:
    """Return the JSON document of a body of at most `limit` bytes."""
    read_media_type(request, JSON)
    return parse_json(await read_body(request, limit))


async def read_body(request: Request, limit: int) -> bytearray:
    """Return the whole body; raise TooLarge as soon as it is more than `limit` bytes."""
    body = bytearray()  # which grows in place: a long body is in memory once
    async for chunk in bounded(request, limit):
        body += chunk
    return body


def bounded(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Return the chunks of a body; they end in TooLarge once they are more than `limit` bytes.

    Raises TooLarge at once if it is announced to be longer, or UnsupportedMedia if compressed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("expected a body without Content-Encoding")
    if (_announced(request) or 0) > limit:
        raise TooLarge(f"expected a body of at most {limit} bytes")
    return _bounded(request, limit)


def _announced(request: Request) -> int | None:
    """Return how many bytes the body is said to have, None where that is not said."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else None


async def _bounded(request: Request, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"expected a body of at most {limit} bytes")
        yield chunk


def parse_json(body: bytes | bytearray, most: int = MOST_VALUES) -> Any:
    """Return a strict JSON document: UTF-8, no NaN or Infinity, no duplicate keys.

    Raises MalformedBody, or TooLarge if it may hold more than `most` values, which are counted
    before any is made: in Python each takes ten times the memory that it does here.
    """
    if body.count(b",") > most:
        raise TooLarge(f"expected JSON of at most {most} values")
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        raise TooLarge(f"expected JSON of at most {MOST_CONTAINERS} lists and objects")
    try:
        return json.loads(
            body.decode("utf-8"),
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


@dataclass(slots=True)
class _Part:
    """A part that is being read."""

    name: str = ""
    filename: str | None = None
    content: bytearray = field(default_factory=bytearray)


class _PartReader:
    """Collects the parts that python-multipart finds, and stops at the first limit passed."""

    def __init__(self, limits: UploadLimits, sample_fields: tuple[str, ...]) -> None:
        self.limits = limits
        self.ended = False
        self._parts: list[_Part] = []
        self._most = MOST_PARTS_A_SAMPLE * limits.files + MOST_PARTS_BESIDE_SAMPLES
        self._sample_fields = sample_fields
        self._beside = 0  # bytes that are no part's content
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, i, j: self._header.extend(data[i:j]),
            "on_header_value": lambda data, i, j: self._value.extend(data[i:j]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_end": self._end,
        }

    def admits(self, parts: list[Part]) -> bool:
        """Say whether these are all within the limits."""
        return len(parts) <= self._most and all(
            len(part.content) <= self._longest(part.name) for part in parts
        )

    def parts(self) -> Iterator[Part]:
        """Yield what was collected, each part once."""
        for part in self._parts:
            content = bytes(part.content)
            part.content.clear()
            yield Part(part.name, part.filename, content)

    def received(self, count: int) -> None:
        """Tell how many bytes come next; raise TooLarge if too many before were of no use."""
        if self._beside > MOST_BESIDE * (len(self._parts) + 1):
            raise TooLarge(f"expected at most {MOST_BESIDE} bytes beside each part")
        self._beside += count

    def _begin(self) -> None:
        if len(self._parts) >= self._most:
            raise TooLarge(f"expected at most {self.limits.files} files")
        self._parts.append(_Part())
        self._disposition = b""

    def _end_header(self) -> None:
        value = bytes(self._value)
        match bytes(self._header).lower():
            case b"content-disposition":
                self._disposition = value
            case b"content-transfer-encoding" if value.lower() not in PLAIN:
                raise UnsupportedMedia("expected parts without Content-Transfer-Encoding")
            case b"content-type" if value.lower().startswith(b"multipart/"):
                raise UnsupportedMedia("expected parts that are not multipart themselves")
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MalformedBody("expected every part to have a name")
        part = self._parts[-1]
        part.name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            part.filename = options[b"filename"].decode("utf-8", "surrogateescape")

    def _add(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        part.content.extend(data[start:end])
        self._beside -= end - start
        longest = self._longest(part.name)
        if len(part.content) > longest:
            what = "files" if part.name in self._sample_fields else "plain fields"
            raise TooLarge(f"expected {what} of at most {longest} bytes")

    def _longest(self, name: str) -> int:
        return self.limits.longest(name) if name in self._sample_fields else LONGEST_FIELD

    def _end(self) -> None:
        self.ended = True


async def _read_parts(request: Request, boundary: bytes, reader: _PartReader) -> Iterable[Part]:
    """Return the parts of a body: a short one is read whole, others are parsed as they come."""
    chunks = bounded(request, reader.limits.body)
    length = _announced(request)
    if length is not None and length <= SHORT:
        body = b"".join([chunk async for chunk in chunks])
        parts = plain_parts(body, boundary)
        if parts is not None and reader.admits(parts):
            return parts
        chunks = _again(body)
    await _parse(chunks, boundary, reader)
    return reader.parts()


async def _again(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _parse(chunks: AsyncIterator[bytes], boundary: bytes, reader: _PartReader) -> None:
    """Have a reader collect the parts of a body, which is never held twice."""
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in chunks:
            reader.received(len(chunk))
            parser.write(chunk)
        reader.received(0)
        parser.finalize()
    except FormParserError as error:
        raise MalformedBody("expected a multipart body that follows its boundary") from error
    if not reader.ended:
        raise MalformedBody("the multipart body ends before its closing boundary")


def _from_parts(parts: Iterable[Part], sample_fields: tuple[str, ...]) -> Upload:
    upload = Upload(textual=True)
    for part in parts:
        if part.name in sample_fields:
            sample = Sample(part.content, "text" if part.filename is None else None)
            upload.samples.setdefault(part.name, []).append(sample)
            upload.filenames.setdefault(part.name, []).append(part.filename)
            continue
        try:
            text = part.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedBody(f"{field_name(part.name)}: expected UTF-8") from error
        if part.filename is not None:
            raise InvalidParameter(field_name(part.name), "expected a plain field, got a file")
        upload.fields.setdefault(part.name, []).append(text)
    return upload


def _from_json(document: Any, sample_fields: tuple[str, ...]) -> Upload:
    if not isinstance(document, dict):
        raise InvalidParameter("body", "expected a JSON object")
    upload = Upload()
    for name, value in document.items():
        if name not in sample_fields:
            upload.fields[name] = value
        elif isinstance(value, list):
            upload.samples[name] = [read_sample(v, f"{name}[{i}]") for i, v in enumerate(value)]
        else:
            upload.samples[name] = [read_sample(value, name)]
    return upload


def _check_counts(upload: Upload, limits: UploadLimits) -> None:
    samples = [sample for group in upload.samples.values() for sample in group]
    for name, group in upload.samples.items():
        longest = limits.longest(name)
        for sample in group:
            if isinstance(sample, Sample) and len(sample.content) > longest:
                raise TooLarge(f"expected files of at most {longest} bytes")
    embeddings = sum(isinstance(sample, ReadyEmbedding) for sample in samples)
    if len(samples) - embeddings > limits.files:
        raise TooLarge(f"expected at most {limits.files} files")
    if embeddings > limits.embeddings:
        raise TooLarge(f"expected at most {limits.embeddings} embeddings")


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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("duplicate keys")
    return document
