"""Who may call: API keys, and no browser in the hands of another site."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from service.settings import LOOPBACK_NAMES

OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_SITE = frozenset({"same-origin", "none"})


class Unauthenticated(Exception):
    """The request carries no key that is known here."""


class Forbidden(Exception):
    """The request comes from a page of another site, or was sent to a name that is not ours."""


@dataclass(frozen=True, slots=True)
class Door:
    """Decides on a request's head, before its body is read.

    Only digests of the keys are kept. Without keys, a request must name a loopback or allowed
    host, so that a page that rebinds its own name to this address is not let in; with or without
    them, no page of another origin may write.
    """

    digests: tuple[bytes, ...] = ()
    hosts: frozenset[str] = frozenset(LOOPBACK_NAMES)
    any_host: bool = False

    @classmethod
    def with_keys(
        cls, keys: Iterable[str], hosts: Iterable[str] = (), *, any_host: bool = False
    ) -> "Door":
        """Return a door that these keys open; with none of them it is open to this machine."""
        digests = tuple(_digest(key) for key in keys)
        return cls(digests, frozenset(LOOPBACK_NAMES) | frozenset(hosts), any_host)

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Let a request through, or raise Unauthenticated or Forbidden."""
        if path in OPEN_PATHS:
            return
        if self.digests:
            self._check_key(headers)
        elif not self.any_host:
            self._check_host(headers.get("host", ""))
        if method not in SAFE_METHODS:
            _check_origin(headers)

    def _check_key(self, headers: Headers) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(key.strip())
        matches = [hmac.compare_digest(digest, known) for known in self.digests]
        if not any(matches):
            raise Unauthenticated("expected Authorization: Bearer KEY, or X-API-Key: KEY")

    def _check_host(self, host: str) -> None:
        name = urlsplit(f"//{host}").hostname or ""
        if name not in self.hosts and not _is_loopback_address(name):
            raise Forbidden("expected a loopback Host while no API keys are set")


def _check_origin(headers: Headers) -> None:
    site = headers.get("sec-fetch-site")
    if site is not None and site not in SAME_SITE:
        raise Forbidden("expected a write that does not come from a page of another site")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise Forbidden("expected a write whose Origin is this service")


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
