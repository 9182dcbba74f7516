"""A body that is one sample itself, as its media type says; its fields stand in the query."""

import re
from urllib.parse import parse_qsl

from starlette.requests import Request

from models_store import Sample
from service.parameters import InvalidParameter
from service.requests.bodies import (
    JSON,
    MULTIPART,
    media_type_of,
    read_body,
    read_media_type,
    read_upload,
)
from service.requests.upload import UnsupportedMedia, Upload, UploadLimits

TEXT = b"text/plain"
RAW = re.compile(rb"(image|audio)/[!#-'*+.0-9^-z|~-]{1,64}|" + TEXT)  # a token of RFC 9110
MOST_FIELDS = 16


def is_raw(request: Request) -> bool:
    """Say whether a body is a sample itself, by its Content-Type."""
    media_type, _ = media_type_of(request)
    return RAW.fullmatch(media_type) is not None


async def read_samples(request: Request, limits: UploadLimits) -> Upload:
    """Return a request's samples as `files`, whether it is made of them or one is its body.

    A picture or clip is then read as a file of a multipart body is, and plain text as a part that
    is no file. Raises TooLarge, UnsupportedMedia, MalformedBody or InvalidParameter.
    """
    media_type, _ = media_type_of(request)
    if media_type in (MULTIPART, JSON):
        return await read_upload(request, limits, ("files",))
    if not RAW.fullmatch(media_type):
        raise UnsupportedMedia(
            "expected a body of multipart/form-data or application/json, or a sample itself: "
            "image/*, audio/* or text/plain"
        )
    if media_type == TEXT:
        read_media_type(request, TEXT)  # in UTF-8
    fields = _fields(request.scope["query_string"])
    content = bytes(await read_body(request, min(limits.body, limits.file)))
    sample = Sample(content, "text" if media_type == TEXT else None)
    return Upload({"files": [sample]}, {"files": [None]}, fields, textual=True)


def _fields(query: bytes) -> dict[str, list[str]]:
    """Return the values of each parameter of a query."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise InvalidParameter(
            "query", f"expected at most {MOST_FIELDS} parameters, in percent-encoded UTF-8"
        ) from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields
