"""What both clients share: where the service is, and how a call becomes a method."""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, get_args

import httpx

from kindred.calls import Call
from kindred.exchange import Exchange, Versions, unreachable

T = TypeVar("T")
MethodT = TypeVar("MethodT", bound=Callable[..., Any])

TIMEOUT = 60.0  # seconds without a byte
PATIENCE = 10.0  # seconds
PAGE = 1000  # identities
SENDABLE = re.compile(r"[\x21-\x7e]+( +[\x21-\x7e]+)*")  # in a header

Told = Callable[[int], None]


def untold(_count: int) -> None:
    """Tell nobody how many bytes came."""


class Connection:
    """Where the service is, how long to wait for it, and what was written to its galleries.

    `url` and `api_key` are those of KINDRED_URL and KINDRED_API_KEY where they are not given.
    `timeout` is how many seconds may pass without a byte, `patience` how many a call may wait
    between tries, all together, when the service is away or asks to come back. `options` are
    those of `httpx.Client`. Raises ValueError if the URL is none, or the key cannot be sent.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        **options: Any,
    ) -> None:
        self.url = url or default_url()
        if not _is_address(self.url):
            raise ValueError(f"expected a URL such as http://127.0.0.1:8000, got {self.url!r}")
        key = os.environ.get("KINDRED_API_KEY", "") if api_key is None else api_key
        if key and not SENDABLE.fullmatch(key):
            raise ValueError("expected an API key of visible ASCII characters, without line ends")
        headers = {"user-agent": "kindred-python"}
        headers |= {"authorization": f"Bearer {key}"} if key else {}
        self.has_key = bool(key)
        headers |= dict(options.pop("headers", {}))
        self._options: dict[str, Any] = {
            "base_url": self.url,
            "timeout": timeout,
            "headers": headers,
        } | options
        self._patience = patience
        self._versions = Versions()

    def _exchange(self, call: Call[T]) -> Exchange[T]:
        return Exchange(call, self._versions, self._patience)


def default_url() -> str:
    """Return KINDRED_URL, or where `make serve` serves on this machine."""
    port = os.environ.get("KINDRED_PORT") or "8000"
    return os.environ.get("KINDRED_URL") or f"http://127.0.0.1:{port}"


def _is_address(url: str) -> bool:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    usual = found.port is None or 0 < found.port < 2**16
    return found.scheme in ("http", "https") and found.host != "" and usual


def as_method(call: Callable[..., Any], method: MethodT) -> MethodT:
    """Return a method that says of itself what the call that it makes does."""
    wraps(call)(method)
    signature = inspect.signature(call)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    (answer,) = get_args(signature.return_annotation)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *signature.parameters.values()], return_annotation=answer
    )
    return method


@contextmanager
def reached() -> Iterator[None]:
    """Raise Unreachable where httpx says so in its own words."""
    try:
        yield
    except httpx.RequestError as error:
        raise unreachable(error) from error
