"""A Redis-protocol server that is only believed after its durability barrier."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Final, Literal

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError

from service.store.errors import (
    EditConflict,
    GalleryExists,
    IdempotencyKeyReused,
    IdentityExists,
    ImportBroken,
    MigrationConflict,
    ModelMismatch,
    NotDurable,
    OriginalsFull,
    OriginalsMissing,
    OutOfStep,
    RejectionsFull,
    StoreError,
    StoreFull,
    StoreNotReady,
    StoreReadOnly,
    StoreUnavailable,
    UnknownEdit,
    UnknownGallery,
    UnknownIdentity,
    UnknownMigration,
    UnknownRejection,
    UnknownSample,
)
from service.store.sentinels import SCHEME, Address, Sentinels, ToPrimary

Word = str | bytes | memoryview | int

# What the server, or one of our scripts, answers by its first words, and what that is to us.
# Whatever else it may say, it is of no use, and what became of a write is not known: unavailable.
_REFUSALS: Final[Mapping[str, type[Exception]]] = {
    "UNKNOWNGALLERY": UnknownGallery,
    "UNKNOWNIDENTITY": UnknownIdentity,
    "UNKNOWNSAMPLE": UnknownSample,
    "UNKNOWNEDIT": UnknownEdit,
    "UNKNOWNREJECTION": UnknownRejection,
    "REJECTIONSFULL": RejectionsFull,
    "IDENTITYEXISTS": IdentityExists,
    "EDITCONFLICT": EditConflict,
    "GALLERYEXISTS": GalleryExists,
    "MODELMISMATCH": ModelMismatch,
    "IDEMPOTENCYKEYREUSED": IdempotencyKeyReused,
    "IMPORTBROKEN": ImportBroken,
    "ORIGINALSFULL": OriginalsFull,
    "ORIGINALSMISSING": OriginalsMissing,
    "UNKNOWNMIGRATION": UnknownMigration,
    "MIGRATIONCONFLICT": MigrationConflict,
    "OUTOFSTEP": OutOfStep,
    "BUSY": StoreNotReady,
    "MASTERDOWN": StoreNotReady,
    "READONLY": StoreReadOnly,
    "NOREPLICAS": StoreReadOnly,
    "MISCONF Errors writing to the AOF": StoreFull,
    "MISCONF": StoreReadOnly,
    "OOM": StoreFull,
    "NOAUTH": StoreUnavailable,
    "WRONGPASS": StoreUnavailable,
    "NOPERM": StoreUnavailable,
    "CLUSTERDOWN": StoreUnavailable,
    "MOVED": StoreUnavailable,
    "ASK": StoreUnavailable,
    "CROSSSLOT": StoreUnavailable,
    "max number of clients": StoreUnavailable,
}
_POLL: Final = 0.1  # seconds between two looks at a rewrite
LOOK_EVERY: Final = 1.0  # seconds between two questions to the Sentinels
_OLDEST: Final = (7, 0)  # the first with script flags: a script is refused before its first write


@dataclass(frozen=True)
class Script:
    """A Lua script. `flags` are the server's: no-writes, allow-oom."""

    flags: str
    body: str

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing, and so needs no barrier."""
        return "no-writes" in self.flags

    @cached_property
    def source(self) -> str:
        """What the server runs."""
        return f"#!lua flags={self.flags}\n{self.body}" if self.flags else f"#!lua\n{self.body}"

    @cached_property
    def sha(self) -> str:
        """The name under which the server keeps it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class DurableRedis:
    """Commands and scripts on one server, version 7.0 or newer (Valkey included).

    `url` is what redis-py takes, or names the Sentinels of a primary, see `sentinels`: then the
    server is whom they name, asked once a second, and at least one replica must have a write.
    `timeout` (seconds) bounds each wait: for a connection, for an answer, for the barrier.
    `fsync` is what the server's `appendfsync` must at least be, and `replicas` how many replicas
    must have a write before it counts. `assert_durable` says that the former was seen to by other
    means, for servers that do not let their settings be read. Errors are ours, see `identities`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 2.0,
        fsync: Literal["always", "everysec"] = "always",
        replicas: int = 0,
        assert_durable: bool = False,
        connections: int = 16,
    ) -> None:
        options: dict[str, Any] = {
            "max_connections": connections,
            "timeout": timeout,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            # By default the library sends a write again after a timeout: it is then done twice.
            "retry": Retry(NoBackoff(), retries=0),
            "protocol": 2,
        }
        named = url.startswith(f"{SCHEME}:")
        self._sentinels = Sentinels(url, min(timeout, LOOK_EVERY)) if named else None
        if self._sentinels is None:
            self._pool = BlockingConnectionPool.from_url(url, **options)
        else:
            self._pool = BlockingConnectionPool(
                connection_class=ToPrimary,
                sentinels=self._sentinels,
                **self._sentinels.server,
                **options,
            )
            replicas = max(1, replicas)  # or what an old primary took would be lost with it
        self._primary: Address | None = None  # whom the Sentinels named last
        self._asked = -LOOK_EVERY  # when that was, of `monotonic`
        self._redis: Redis = Redis.from_pool(self._pool)
        # Shorter than we listen, for the server looks at its clock ten times a second only.
        self._barrier_ms = int(1000 * max(timeout / 2, timeout - 0.5))
        self._fsync = fsync
        self._replicas = replicas
        self._assert_durable = assert_durable
        self._barrier: list[tuple[Word, ...]] | None = None  # None: the server was not asked yet

    async def read(self, *command: Word) -> Any:
        """Return the answer to one command that changes nothing."""
        with _our_errors():
            return await self._ask(*command)

    async def read_together(self, *commands: Sequence[Word]) -> list[Any]:
        """Return the answers to commands between which nothing else happens."""
        with _our_errors():
            await self._follow_sentinels()
            async with self._redis.pipeline(transaction=True) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())

    async def write(self, *command: Word) -> Any:
        """Return the answer to one command, once what it wrote is durable."""
        with _our_errors():
            return await self._write(*command)

    async def run(self, script: Script, keys: Sequence[str], *arguments: Word) -> Any:
        """Return a script's answer, once what it wrote is durable."""
        words = (len(keys), *keys, *arguments)
        call = self._ask if script.reads_only else self._write
        with _our_errors():
            try:
                return await call("EVALSHA", script.sha, *words)
            except NoScriptError:  # not run: the server was restarted, or never saw it
                return await call("EVAL", script.source, *words)

    async def check(self) -> list[str]:
        """Return why the server must not be trusted with writes; empty when all is well."""
        try:
            reasons = _reasons(await self.read("INFO")) + await self._settings()
            if not reasons:
                await self.write("SET", "kindred:checked", 1, "EX", 3600)
        except StoreError as error:
            return [str(error)]
        return reasons

    async def rewrite(self) -> None:
        """Write the append-only file anew from what there is now; return when that is done.

        A file that is being written already may have been begun before: then there is a second.
        """
        while not await self._begin_rewrite():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(_POLL)
        while _rewriting(info := await self.read("INFO", "persistence")):  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
        if info["aof_last_bgrewrite_status"] != "ok":
            raise StoreUnavailable("the store could not write its append-only file anew")

    async def _begin_rewrite(self) -> bool:
        """Begin one and return True, unless one goes on or was begun meanwhile by another."""
        if _rewriting(await self.read("INFO", "persistence")):
            return False
        try:
            await self.read("BGREWRITEAOF")
        except StoreUnavailable:
            if _rewriting(await self.read("INFO", "persistence")):
                return False
            raise
        return True

    async def close(self) -> None:
        """Give back every connection."""
        await self._redis.aclose()
        if self._sentinels is not None:
            await self._sentinels.close()

    async def _follow_sentinels(self) -> None:
        """Leave the server that the Sentinels do not name any more, although it still answers."""
        if self._sentinels is None or monotonic() - self._asked < LOOK_EVERY:
            return
        self._asked = monotonic()
        with suppress(RedisError):  # what is written before one answers, the barrier judges
            primary = await self._sentinels.primary()
            if primary != self._primary:
                self._primary, self._barrier = primary, None
            await self._sentinels.leave_others(primary)

    async def _ask(self, *command: Word) -> Any:
        await self._follow_sentinels()
        return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py gives it no types

    async def _write(self, *command: Word) -> Any:
        """Send a command and the barrier in one pipeline, which is one connection.

        The barrier vouches only for what its own connection wrote.
        """
        await self._follow_sentinels()
        barrier = self._barrier
        if barrier is None:
            barrier = self._barrier = await self._choose_barrier()
        async with self._redis.pipeline(transaction=False) as pipe:
            for words in (command, *barrier):
                pipe.execute_command(*words)
            answer, *confirmed = await pipe.execute(raise_on_error=False)
        if isinstance(answer, RedisError):
            raise answer
        for (name, wanted, *_), copies in zip(barrier, confirmed, strict=True):
            self._believe(str(name), int(wanted), copies)
        return answer

    async def _choose_barrier(self) -> list[tuple[Word, ...]]:
        """Return the commands that wait until a write is on disk and on the replicas.

        Without WAITAOF (Redis before 7.2), `appendfsync always` answers only after the fsync.
        WAITAOF could count replicas too, but they tell of their disks once a second only.
        """
        barrier: list[tuple[Word, ...]] = []
        waitaof, *_ = await self._ask("COMMAND INFO", "WAITAOF")
        if self._fsync == "always" and waitaof:
            barrier.append(("WAITAOF", 1, 0, self._barrier_ms))
        if self._replicas:
            barrier.append(("WAIT", self._replicas, self._barrier_ms))
        return barrier

    def _believe(self, command: str, wanted: int, confirmed: Any) -> None:
        """Take how many copies the barrier has counted, or raise `NotDurable`."""
        if isinstance(confirmed, RedisError):
            self._barrier = None  # perhaps another server by now: ask it again
            raise NotDurable(f"the store cannot confirm its writes: {confirmed}")
        copies = confirmed[0] if isinstance(confirmed, list) else confirmed
        if copies < wanted:
            places = {"WAITAOF": "the disk", "WAIT": f"{wanted} replicas, only {copies}"}
            raise NotDurable(f"the write is not known to be on {places[command]}")

    async def _settings(self) -> list[str]:
        """Return what is wrong with the settings that INFO does not show."""
        if self._assert_durable:
            return []
        try:
            seen = await self.read("CONFIG GET", "*append*")
        except StoreUnavailable as error:
            return [f"the store does not let its settings be read, so assert them: {error}"]
        allowed = {"always", self._fsync}
        reasons = []
        if seen.get("appendfsync") not in allowed:
            reasons.append(f"appendfsync is {seen.get('appendfsync')}, not {self._fsync}")
        if seen.get("no-appendfsync-on-rewrite") != "no":
            reasons.append("no-appendfsync-on-rewrite suspends fsync while the file is rewritten")
        return reasons


def _reasons(info: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a server, from what it says about itself."""
    if info["loading"]:
        return ["it is still reading its data"]
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    policy = info["maxmemory_policy"]
    faults = {
        f"its version is {info['redis_version']}, older than 7.0": version < _OLDEST,
        f"it is a {info['role']}, not a master": info["role"] != "master",
        "it is a node of a cluster, whose slots may move; one server or Sentinels are served": (
            info.get("cluster_enabled") == 1
        ),
        "it keeps no append-only file": info["aof_enabled"] != 1,
        "its last write to the append-only file failed": info["aof_last_write_status"] != "ok",
        f"it may evict keys ({policy})": policy != "noeviction",
    }
    return [reason for reason, found in faults.items() if found]


def _rewriting(info: Mapping[str, Any]) -> bool:
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


def refusal(said: str) -> Exception:
    """Return what it is to us that the server, or one of our scripts, refuses in these words."""
    for word, ours in _REFUSALS.items():
        if said.startswith(word):
            return ours(said.removeprefix(word).lstrip())
    return StoreUnavailable(f"the store refused: {said}")


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn the library's errors into ours: none of them leaves this file."""
    try:
        yield
    except ResponseError as error:
        said = f"{error.status_code} {error}" if error.status_code else str(error)
        raise refusal(said) from error
    except RedisError as error:
        if isinstance(error, BusyLoadingError):
            raise StoreNotReady("the store is still reading its data") from error
        raise StoreUnavailable(f"the store does not answer ({type(error).__name__})") from error
    except RuntimeError as error:
        # What uvloop says of a connection that is closed while it is written to; the library lets
        # it through.
        if "is closed" not in str(error):
            raise
        raise StoreUnavailable("the store closed the connection") from error
