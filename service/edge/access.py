"""Who may call what: keys and their roles, and no browser in the hands of another site."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers

from service.callers.keys import ANYBODY, KEYLESS, Caller, Keyring, Role
from service.callers.quotas import Quotas
from service.settings import LOOPBACK_NAMES

OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
PAGES = re.compile(r"/docs|/console(/.*)?")  # which hold nothing; a key is typed into them
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_SITE = frozenset({"same-origin", "none"})

ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "live": Role.DECIDE,
        "ready": Role.DECIDE,
        "about": Role.DECIDE,
        "list_comparators": Role.DECIDE,
        "get_comparator": Role.DECIDE,
        "verify": Role.DECIDE,
        "identify": Role.DECIDE,
        "metrics": Role.READ,
        "embed": Role.READ,
        "cluster": Role.READ,
        "evaluate": Role.READ,
        "list_galleries": Role.READ,
        "get_gallery": Role.READ,
        "check_gallery": Role.READ,
        "list_identities": Role.READ,
        "get_identity": Role.READ,
        "get_operating_curve": Role.READ,
        "get_boundary": Role.READ,
        "map_gallery": Role.READ,
        "get_receipt": Role.READ,
        "get_migration": Role.READ,
        "enroll": Role.ENROLL,
        "enroll_bulk": Role.ENROLL,
        "update_identity": Role.ENROLL,
        "merge_identities": Role.ENROLL,
        "split_identity": Role.ENROLL,
        "list_edits": Role.READ,
        "similar_identities": Role.READ,
        "get_decision": Role.DECIDE,
        "give_feedback": Role.ENROLL,
        "list_rejections": Role.READ,
        "take_rejection_back": Role.ENROLL,
        "get_preview": Role.READ,
        "undo_edit": Role.ENROLL,
        "update_gallery": Role.ADMINISTER,
        "forget_identity": Role.ENROLL,
        "forget_sample": Role.ENROLL,
        "create_gallery": Role.ADMINISTER,
        "delete_gallery": Role.ADMINISTER,
        "export_gallery": Role.ADMINISTER,
        "import_gallery": Role.ADMINISTER,
        "put_cohort": Role.ADMINISTER,
        "migrate_gallery": Role.ADMINISTER,
        "switch_comparator": Role.ADMINISTER,
        "roll_back_comparator": Role.ADMINISTER,
        "finish_migration": Role.ADMINISTER,
        "end_migration": Role.ADMINISTER,
    }
)
"""The role that each operation takes at least; what is not listed takes the highest."""

OF_ALL_GALLERIES = frozenset({"metrics"})
"""Operations that tell of every gallery, and so take a key whose scope is every gallery."""


class Unauthenticated(Exception):
    """The request carries no key that holds; `reason` is a word of a closed list."""

    def __init__(self, reason: str) -> None:
        super().__init__("expected Authorization: Bearer KEY, or X-API-Key: KEY")
        self.reason = reason


class Forbidden(Exception):
    """Who asks may not do that, whatever the gallery; `reason` is a word of a closed list."""

    def __init__(self, reason: str, rule: str) -> None:
        super().__init__(rule)
        self.reason = reason


class Door:
    """Decides on a request's head, before its body is read.

    Without keys, a request must name a loopback or allowed host, so that a page that rebinds its
    own name to this address is not let in; with or without them, no page of another origin may
    write.
    """

    def __init__(
        self, keys: Keyring | None = None, hosts: Iterable[str] = (), *, any_host: bool = False
    ) -> None:
        self._keys = keys or Keyring()
        self._hosts = frozenset(LOOPBACK_NAMES) | frozenset(hosts)
        self._any_host = any_host
        self._quotas = Quotas()

    @contextmanager
    def admit(
        self, method: str, path: str, headers: Headers, received: Callable[[], int]
    ) -> Iterator[Caller]:
        """Yield who asks, or raise Unauthenticated, Forbidden or QuotaExceeded.

        The request counts towards its key's quota for as long as the context lasts; `received`
        tells how many bytes of its body came.
        """
        if path in OPEN_PATHS:
            yield ANYBODY
            return
        page = self._keys.needed and PAGES.fullmatch(path)
        caller = ANYBODY if page else self._caller(headers)
        if method not in SAFE_METHODS:
            _check_origin(headers)
        if caller.name is None:
            yield caller
            return
        length = headers.get("content-length", "")
        announced = int(length) if length.isdecimal() and len(length) < 19 else 0
        with self._quotas.spend(caller.name, caller.quota, announced, received):
            yield caller

    def _caller(self, headers: Headers) -> Caller:
        if not self._keys.needed:
            if not self._any_host:
                self._check_host(headers.get("host", ""))
            return KEYLESS
        scheme, _, token = headers.get("authorization", "").partition(" ")
        presented = (token if scheme.lower() == "bearer" else headers.get("x-api-key", "")).strip()
        key = self._keys.find(presented)
        if key is None:
            raise Unauthenticated("unknown-key" if presented else "no-key")
        if key.expires is not None and key.expires <= datetime.now(UTC):
            raise Unauthenticated("expired-key")
        return key.caller

    def _check_host(self, host: str) -> None:
        name = _authority(f"//{host}").hostname or ""
        if name not in self._hosts and not _is_loopback_address(name):
            raise Forbidden("host", "expected a loopback Host while no API keys are set")


def check_role(caller: Caller, operation: str) -> None:
    """Raise Forbidden if a caller's role is below that of an operation."""
    demand(caller, ROLES.get(operation, Role.ADMINISTER))
    if operation in OF_ALL_GALLERIES and not caller.sees_everything:
        raise Forbidden("role", "expected a key whose scope is every gallery")


def demand(caller: Caller, role: Role, what: str = "") -> None:
    """Raise Forbidden if a caller's role is below this one, saying for what it is needed."""
    if caller.role < role:
        rule = f"expected a key of role {role.word} or higher"
        raise Forbidden("role", f"{rule} {what}" if what else rule)


def _check_origin(headers: Headers) -> None:
    site = headers.get("sec-fetch-site")
    if site is not None and site not in SAME_SITE:
        raise Forbidden("origin", "expected a write that no page of another site sends")
    origin = headers.get("origin")
    if origin is not None and _authority(origin).netloc != headers.get("host"):
        raise Forbidden("origin", "expected a write whose Origin is this service")


def _authority(url: str) -> SplitResult:
    """Return the parts of a URL, none of them where it is no URL, as with brackets in its host."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
