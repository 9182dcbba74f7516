"""The client of a long request: whether it is still there, and what it would rather read."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


class ReceiveTimeout(Exception):
    """The client took too long to send its request."""


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work comes to, or cancel it and raise ClientDisconnect if nobody waits.

    The body must have been read. Whichever way this ends, the work has ended before.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        leaving.cancel()
        doing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await doing


def prefers_html(accept: str) -> bool:
    """Say whether a client would rather have a page than JSON, by its Accept header (RFC 9110)."""
    weights = [_weight(part) for part in accept.lower().split(",")]
    html = max((q for name, q in weights if name == "text/html"), default=0.0)
    json = max((q for name, q in weights if name == "application/json"), default=0.0)
    return html > json


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _weight(part: str) -> tuple[str, float]:
    """Return the media type of one part of an Accept header, and how much it is liked."""
    name, *parameters = (word.strip() for word in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            with suppress(ValueError):
                return name, min(max(float(value), 0.0), 1.0)
            return name, 0.0
    return name, 1.0
