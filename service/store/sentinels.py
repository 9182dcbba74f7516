"""Redis Sentinel: who is the primary now, as the Sentinels say."""

import asyncio
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from weakref import WeakSet

from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

SCHEME: Final = "redis+sentinel"
PORT: Final = 26379
_SOON: Final = 0.25  # seconds for the others, once one Sentinel has answered

Address = tuple[str, int]


class Sentinels:
    """The Sentinels of one primary.

    `url` is `redis+sentinel://[user:password@]host:port,host:port,…/name[/database]`. User and
    password are the server's; `?sentinel_username=…&sentinel_password=…` are the Sentinels' own.
    Raises ValueError for any other.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        self._name, _, database = parts.path.strip("/").partition("/")
        if parts.scheme != SCHEME or not self._name or not hosts:
            raise ValueError(f"expected {SCHEME}://host:port,host:port/name")
        own = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._asked = [
            Redis(
                host=host,
                port=port,
                username=own.get("sentinel_username"),
                password=own.get("sentinel_password"),
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), retries=0),
                protocol=2,
            )
            for host, port in map(_address, hosts.split(","))
        ]
        username, _, password = credentials.partition(":")
        self.server: dict[str, Any] = {
            "username": unquote(username) or None,
            "password": unquote(password) or None,
            "db": int(database or 0),
        }
        self.connections: WeakSet[ToPrimary] = WeakSet()

    async def primary(self) -> Address:
        """Return where the primary is, or raise the library's ConnectionError.

        Sentinels that are cut off from the others still name the old one: the answer of the
        highest epoch counts, among those that come soon.
        """
        tasks = [asyncio.create_task(self._ask(sentinel)) for sentinel in self._asked]
        try:
            for next_ in asyncio.as_completed(tasks):
                if await next_ is not None:
                    break
            await asyncio.wait(tasks, timeout=_SOON)
        finally:
            for task in tasks:
                task.cancel()
        told = [t.result() for t in tasks if t.done() and not t.cancelled() and t.result()]
        if not told:
            raise RedisConnectionError(f"no Sentinel knows a primary called {self._name}")
        _, address = max(filter(None, told))
        return address

    async def leave_others(self, primary: Address) -> None:
        """End the connections to another server, also those that wait for its answer.

        A server that was cut off answers when it is back, as if it were the primary still.
        """
        others = [c for c in self.connections if c.is_connected and (c.host, c.port) != primary]
        await asyncio.gather(*(connection.disconnect(nowait=True) for connection in others))

    async def close(self) -> None:
        """Give back every connection."""
        await asyncio.gather(*(sentinel.aclose() for sentinel in self._asked))

    async def _ask(self, sentinel: "Redis") -> tuple[int, Address] | None:
        """Return the epoch and the address of which one Sentinel knows; None if of none."""
        try:
            said = await sentinel.execute_command("SENTINEL MASTER", self._name)  # type: ignore[no-untyped-call]  # redis-py gives it no types
        except (RedisError, OSError, RuntimeError):
            return None
        return int(said["config-epoch"]), (str(said["ip"]), int(said["port"]))


class ToPrimary(Connection):
    """A connection to whoever is the primary when it is made; `address` is where that was."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels
        sentinels.connections.add(self)

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.primary()
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py gives it no types


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    return (host or text).strip("[]"), int(port) if host else PORT
