"""Whose a request is: keys by their digests, what each may do, and where."""

import asyncio
import hashlib
import hmac
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.callers.quotas import UNBOUNDED, Quota
from service.store.errors import UnknownGallery

EVERYTHING = "*"
READ_EVERY = 1.0  # seconds between two looks at the files
NAMED_BY_NOBODY = "api-keys"  # the caller, as the log has it, of a key that has no name

_USUAL = re.compile(r"[a-z_]{1,32}")

log = structlog.get_logger("kindred.keys")


class Role(IntEnum):
    """What a key may do; each may all that the one before it may."""

    DECIDE = 1
    READ = 2
    ENROLL = 3
    ADMINISTER = 4

    @property
    def word(self) -> str:
        """As files and problems have it."""
        return self.name.lower()


class KeysBroken(Exception):
    """The keys cannot be read; the message says why, and nothing of any key."""


class OutOfScope(UnknownGallery):
    """A gallery that the caller's key does not reach: for this caller there is none."""

    reason = "scope"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `galleries` are names, or prefixes that end in `*`."""

    name: str | None
    role: Role
    galleries: tuple[str, ...] = (EVERYTHING,)
    quota: Quota = UNBOUNDED

    @property
    def sees_everything(self) -> bool:
        """Whether no gallery is out of scope."""
        return EVERYTHING in self.galleries

    @property
    def sees_figures(self) -> bool:
        """Whether scores are told, not decisions only."""
        return self.role >= Role.READ

    def sees(self, gallery: str) -> bool:
        """Whether a gallery of this name is, or would be, in scope."""
        return any(
            gallery.startswith(scope[:-1]) if scope.endswith("*") else gallery == scope
            for scope in self.galleries
        )


KEYLESS = Caller(None, Role.ADMINISTER)
"""Who asks where no keys are set: whoever can connect may do everything."""
ANYBODY = Caller(None, Role.DECIDE, ())
"""Who asks what needs no key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: by its SHA-256."""

    digest: bytes
    caller: Caller
    expires: datetime | None = None


class _Entry(BaseModel):
    """A `[[key]]` of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    role: Literal["decide", "read", "enroll", "administer"]
    galleries: Annotated[
        list[
            Annotated[str, Field(pattern=r"^([A-Za-z0-9._~-]{1,128}|[A-Za-z0-9._~-]{0,127}\*)$")]
        ],
        Field(min_length=1),
    ]
    expires: datetime | date | None = None
    requests_per_second: float | None = Field(None, gt=0, allow_inf_nan=False)
    burst: int | None = Field(None, gt=0)
    concurrent_requests: int | None = Field(None, gt=0)
    bytes_per_day: int | None = Field(None, gt=0)
    samples_per_gallery: int | None = Field(None, gt=0)
    probes_per_identity: int | None = Field(None, ge=0)

    def key(self, probes_per_identity: int) -> Key:
        """Return the key; `probes_per_identity` is that of a `decide` key that names none."""
        role, probes = Role[self.role.upper()], self.probes_per_identity
        if probes is None and role is Role.DECIDE:
            probes = probes_per_identity
        quota = Quota(
            self.requests_per_second,
            self.burst,
            self.concurrent_requests,
            self.bytes_per_day,
            self.samples_per_gallery,
            probes or None,
        )
        caller = Caller(self.name, role, tuple(self.galleries), quota)
        return Key(bytes.fromhex(self.sha256), caller, _moment(self.expires))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    key: list[_Entry] = []


class Keyring:
    """The keys in force: those of `plain`, which may do everything, and those of a file.

    Both are read again by `refresh`. Once there were keys, or a file for them is named, a key is
    needed, even if there are none.
    """

    def __init__(
        self,
        plain: Callable[[], Sequence[str]] = tuple,
        file: Path | None = None,
        *,
        probes_per_identity: int = 0,
    ) -> None:
        self._plain = plain
        self._file = file
        self._probes_per_identity = probes_per_identity
        self._keys: tuple[Key, ...] = ()
        self.needed = file is not None
        self.refresh()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, presented: str) -> Key | None:
        """Return the key that was presented, expired or not; all are compared, in equal time."""
        digest = hashlib.sha256(presented.encode()).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def refresh(self) -> bool:
        """Read the keys again and return whether they changed; raise KeysBroken, and keep them."""
        plain, named = self._unnamed(), self._named()
        keys = (*plain, *named)
        if len({key.caller.name for key in named}) < len(named):
            raise KeysBroken("expected keys of different names")
        if len({key.digest for key in keys}) < len(keys):
            raise KeysBroken("expected each key once")
        changed, self._keys = keys != self._keys, keys
        self.needed = self.needed or bool(keys)
        return changed

    async def follow(
        self, every: float = READ_EVERY, on_read: Callable[[int, bool], None] = lambda *_: None
    ) -> None:
        """Refresh until cancelled; seconds. `on_read` is told how many, and whether it broke."""
        told = ""
        while True:
            broken = ""
            try:
                if await asyncio.to_thread(self.refresh):
                    log.info("keys read", keys=len(self))
            except KeysBroken as error:
                broken = str(error)
                if broken != told:
                    log.error("keys broken: those read before hold", reason=broken)  # noqa: TRY400
            except Exception:
                log.exception("reading the keys failed; it is tried again")
            told = broken
            on_read(len(self), bool(broken))
            await asyncio.sleep(every)

    def _unnamed(self) -> list[Key]:
        caller = Caller(NAMED_BY_NOBODY, Role.ADMINISTER)
        try:
            plain = dict.fromkeys(self._plain())
        except (OSError, UnicodeDecodeError) as error:
            raise KeysBroken(f"the plain keys cannot be read ({type(error).__name__})") from error
        return [Key(hashlib.sha256(key.encode()).digest(), caller) for key in plain]

    def _named(self) -> list[Key]:
        if self._file is None:
            return []
        try:
            document = tomllib.loads(self._file.read_text("utf-8"))
            entries = _File.model_validate(document).key
        except OSError as error:
            raise KeysBroken(f"the file cannot be read ({type(error).__name__})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise KeysBroken("expected a file of TOML in UTF-8") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(_told, first["loc"]))
            raise KeysBroken(f"{where}: {first['msg']}") from None
        return [entry.key(self._probes_per_identity) for entry in entries]


def _told(name: object) -> str:
    """Return an entry's name as the log may have it: what looks like none may be a key."""
    return str(name) if isinstance(name, int) or _USUAL.fullmatch(str(name)) else "(unknown)"


def _moment(told: datetime | date | None) -> datetime | None:
    """Return when a key stops to hold: of a day its end, and UTC unless said otherwise."""
    if told is None:
        return None
    if not isinstance(told, datetime):
        return datetime(told.year, told.month, told.day, tzinfo=UTC) + timedelta(days=1)
    return told if told.tzinfo else told.replace(tzinfo=UTC)
