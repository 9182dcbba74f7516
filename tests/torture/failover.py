"""A primary, two replicas and three Sentinels, as real processes on loopback."""

import time
from collections.abc import Sequence
from pathlib import Path

from redis import Redis

from service.store.sentinels import Address
from tests.servers import DURABLE, VALKEY, Option, Server, free_port
from tests.torture.clients import Client, Mix
from tests.torture.scene import Scene

MIX = Mix(forgets=0.05, finds=0.05)
NAME = "kindred"
QUICK: dict[str, Option] = {
    "repl-timeout": 5,
    "replica-priority": 100,
    "repl-diskless-sync-delay": 0,
}
DOWN_AFTER = 1000  # ms without an answer after which a Sentinel takes the primary for down


class Failover(Scene):
    """A scene whose store is a primary with replicas, and whoever Sentinel makes the next."""

    failed_over = 0.0  # when all was well again, of `monotonic`

    def make_store(self, name: str, **options: Option) -> Server:
        """Start primary, replicas and Sentinels; return the primary."""
        ports = [free_port() for _ in range(3)]
        self.servers = [Server(VALKEY, self.folder / name, {**DURABLE, **QUICK, "port": ports[0]})]
        for i, port in enumerate(ports[1:]):
            of = ("127.0.0.1", str(ports[0]))
            settings = {**DURABLE, **QUICK, "port": port, "replicaof": of}
            self.servers.append(Server(VALKEY, self.folder / f"replica{i}", settings))
        self.ports = ports
        self.sentinels = [start_sentinel(self.folder / f"sentinel{i}", ports[0]) for i in range(3)]
        self.await_all()
        return self.servers[0]

    def await_all(self) -> None:
        """Wait until servers and Sentinels know each other."""
        for server in self.servers:
            server.wait()
        self.servers[0].wait("INFO replication", "connected_slaves:2", 60)
        for sentinel in self.sentinels:
            sentinel.wait(f"SENTINEL MASTER {NAME}", "num-other-sentinels\r\n$1\r\n2", 60)
            sentinel.wait(f"SENTINEL MASTER {NAME}", "num-slaves\r\n$1\r\n2", 60)

    def store_url(self) -> str:
        """Where services find the store."""
        return f"redis+sentinel://{','.join(s.address for s in self.sentinels)}/{NAME}"

    def primary(self) -> Server:
        """Return whom the Sentinels name."""
        said = self.sentinels[0].command(f"SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}").split("\r\n")
        return self.servers[self.ports.index(int(said[4]))]

    def await_failover(self, old: Server) -> float:
        """Wait until all Sentinels name another primary; return the seconds that took."""
        begun = time.monotonic()
        self.wait_until(lambda: self.primary() is not old)
        self.store = self.primary()
        return time.monotonic() - begun

    def fail_over(self, gallery: str, how: str) -> Sequence[Client]:
        """Let clients write while the primary is killed or cut off, and judge; return them."""
        self.make_gallery(gallery)
        with self.clients(gallery, 4, MIX) as clients:
            time.sleep(1)
            old = self.store
            self.take_away(how)
            self.await_failover(old)
            self.await_service()
            self.failed_over = time.monotonic()
            time.sleep(0.5)
            self.give_back(how, old)
            time.sleep(2)
        self.judge(gallery, clients)
        return clients

    def take_away(self, how: str) -> None:
        """Kill the primary, or stop it: then it holds its sockets, and what it has not read."""
        if how == "killed":
            self.store.kill9()
        else:
            self.store.stop()

    def await_service(self) -> None:
        """Wait until there is a primary again for whoever can reach it."""
        for service in self.services:
            service.wait_ready()

    def give_back(self, how: str, old: Server) -> None:
        """Let the old primary go on, which takes itself for one until it is told."""
        if how == "cut off":
            old.cont()

    def redis(self) -> "Redis[bytes]":
        """Connect to the primary."""
        return Redis.from_url(self.primary().url, protocol=2)

    def close(self) -> None:
        """End everything."""
        for service in self.services:
            service.kill9()
        for server in (*self.sentinels, *self.servers):
            server.kill9()


class Sentinel(Server):
    """A Sentinel; it writes its own configuration."""

    address = ""


def start_sentinel(
    folder: Path,
    primary: int,
    epoch: int = 0,
    *,
    at: Address = ("127.0.0.1", 0),
    primary_host: str = "127.0.0.1",
    inside: Sequence[str] = (),
) -> Sentinel:
    """Start a Sentinel that knows the primary by that port, since that epoch.

    `inside` are words before the command, of one that runs it elsewhere.
    """
    host, port = at[0], at[1] or free_port()
    folder.mkdir()
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind {host}\ndir {folder}\nunixsocket {folder}/s\nprotected-mode no\n"
        f"sentinel monitor {NAME} {primary_host} {primary} 2\n"
        f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER}\n"
        f"sentinel failover-timeout {NAME} 5000\nsentinel parallel-syncs {NAME} 2\n"
        f"sentinel config-epoch {NAME} {epoch}\n"
    )
    sentinel = Sentinel.__new__(Sentinel)
    sentinel.folder = folder
    sentinel.url = f"unix://{folder}/s"
    sentinel.address = f"{host}:{port}"
    command = [VALKEY, str(configuration), "--sentinel", "--logfile", f"{folder}/log"]
    sentinel._words = [*inside, *command]
    sentinel.process = sentinel._spawn()
    sentinel.wait()
    return sentinel
