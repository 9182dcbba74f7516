"""A request's body is read, within limits, as the samples and fields in it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from models_store import ReadyEmbedding, Sample
from service.parameters import InvalidParameter
from service.requests.fields import field_name
from service.requests.multipart import PartReader, collect
from service.requests.plain_multipart import SHORT, Part, plain_parts
from service.requests.strict_json import MOST_VALUES, parse_json, read_sample
from service.requests.upload import (
    MalformedBody,
    TooLarge,
    UnsupportedMedia,
    Upload,
    UploadLimits,
)

LONG_BODY = 2**18  # bytes of JSON from which parsing it would keep everybody else waiting
MULTIPART, JSON = b"multipart/form-data", b"application/json"
LINES = (
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/octet-stream",
)


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
        reader = PartReader(limits, sample_fields)
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
    if set(request.headers.getlist("content-encoding")) - {"identity"}:
        raise UnsupportedMedia("expected a body without Content-Encoding")
    if (_announced(request) or 0) > limit:
        raise TooLarge(f"expected a body of at most {limit} bytes")
    return _bounded(request, limit)


def bounded_lines(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Return the same of lines of JSON; raise UnsupportedMedia if the body is said to be no lines.

    One that is not said to be anything is taken for them: nothing else is read here.
    """
    chunks = bounded(request, limit)
    if "content-type" in request.headers:
        read_media_type(request, *LINES)
    return chunks


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


async def _read_parts(request: Request, boundary: bytes, reader: PartReader) -> Iterable[Part]:
    """Return the parts of a body: a short one is read whole, others are parsed as they come."""
    chunks = bounded(request, reader.limits.body)
    length = _announced(request)
    if length is not None and length <= SHORT:
        body = b"".join([chunk async for chunk in chunks])
        parts = plain_parts(body, boundary)
        if parts is not None and reader.admits(parts):
            return parts
        chunks = _again(body)
    await collect(chunks, boundary, reader)
    return reader.parts()


async def _again(body: bytes) -> AsyncIterator[bytes]:
    yield body


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
