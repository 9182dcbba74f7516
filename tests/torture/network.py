"""A primary whose network is cut, while it goes on for whoever is on its side of the cut.

Three nodes, each a network namespace with a server, a Sentinel and perhaps a service, meet at a
bridge; by a second link each, clients reach services whatever is cut. No packet gets through a
cut, and no socket is closed by it. All is in namespaces of its own that `partition` begins, as
root: no process and no link outlives it.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.servers import DURABLE, VALKEY, Option, Server
from tests.torture.checker import Violation
from tests.torture.failover import NAME, QUICK, Failover, Sentinel, start_sentinel
from tests.torture.launcher import Launched
from tests.torture.scene import Tally

OWN = ["unshare", "--net", "--mount-proc", "--pid", "--fork", "--kill-child", "--"]
CUT = 8.0  # seconds, at least
PORT, SENTINEL, HTTP = 6379, 26379, 8000
_CLONE_NEWNET = 0x40000000


def why_not() -> str | None:
    """Say why this machine or user makes no namespaces; None if it does."""
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing:
        return f"no {' and no '.join(missing)} on this machine"
    tried = subprocess.run(
        [*OWN, sys.executable, "-m", "tests.torture.network"], capture_output=True, check=False
    )
    return "this user may make no network namespaces" if tried.returncode else None


def partition(folder: Path, seed: int) -> Tally:
    """Cut the primary off once, under clients on both sides, and judge."""
    words = [*OWN, sys.executable, "-m", "tests.torture.network", str(folder), str(seed)]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = json.loads(said)
    return Tally(**found | {"violations": [Violation(**one) for one in found["violations"]]})


class Network:
    """Three nodes at a bridge, in the namespace that this process has for itself."""

    def __init__(self, nodes: int = 3) -> None:
        _run("mount", "-t", "tmpfs", "none", "/run")  # where ip keeps names; ours alone
        _ip("link set lo up")
        _ip("link add bridge type bridge")
        _ip("addr add 10.77.0.254/24 dev bridge")
        _ip("link set bridge up")
        for node in range(nodes):
            self._add(node)

    def _add(self, node: int) -> None:
        name = self.namespace(node)
        _ip(f"netns add {name}")
        _ip(f"-n {name} link set lo up")
        for link, address in (("port", f"{self.address(node)}/24"), ("way", f"10.78.{node}.2/30")):
            _ip(f"link add {link}{node} type veth peer name {link} netns {name}")
            _ip(f"link set {link}{node} up")
            _ip(f"-n {name} addr add {address} dev {link}")
            _ip(f"-n {name} link set {link} up")
        _ip(f"link set port{node} master bridge")
        _ip(f"addr add 10.78.{node}.1/30 dev way{node}")

    @staticmethod
    def namespace(node: int) -> str:
        """Return what a node is called."""
        return f"node{node}"

    @staticmethod
    def address(node: int) -> str:
        """Return where its server and Sentinel are."""
        return f"10.77.0.{node + 1}"

    @staticmethod
    def cut(node: int) -> None:
        """Let no packet through between a node and the others."""
        _ip(f"link set port{node} nomaster")

    @staticmethod
    def mend(node: int) -> None:
        """Let all through again."""
        _ip(f"link set port{node} master bridge")


class Placed(Server):
    """A server on a node."""

    def __init__(self, node: int, folder: Path, options: dict[str, Option]) -> None:
        self._inside = ["ip", "netns", "exec", Network.namespace(node)]
        here = {"port": PORT, "bind": Network.address(node), "protected-mode": "no"}
        super().__init__(VALKEY, folder, {**DURABLE, **QUICK, **here, **options})
        self.url = f"redis://{Network.address(node)}:{PORT}"

    def _spawn(self) -> "subprocess.Popen[bytes]":
        (self.folder / "s").unlink(missing_ok=True)
        return subprocess.Popen([*self._inside, *self._words], stdout=subprocess.DEVNULL)


class Partitioned(Failover):
    """A scene whose first node has the primary and a service, and is cut off."""

    def make_store(self, name: str, **options: Option) -> Server:
        """Start a server and a Sentinel on each node; return the primary."""
        self.network = Network()
        first = Network.address(0)
        self.servers: list[Server] = [Placed(0, self.folder / name, dict(options))]
        for node in (1, 2):
            of: dict[str, Option] = {"replicaof": (first, str(PORT))}
            self.servers.append(Placed(node, self.folder / f"replica{node}", of | options))
        self.sentinels = [self._start_sentinel(node) for node in range(3)]
        self.await_all()
        return self.servers[0]

    def _start_sentinel(self, node: int) -> Sentinel:
        return start_sentinel(
            self.folder / f"sentinel{node}",
            PORT,
            at=(Network.address(node), SENTINEL),
            primary_host=Network.address(0),
            inside=["ip", "netns", "exec", Network.namespace(node)],
        )

    def launch(self, name: str) -> Launched:
        """Start a service: the first beside the primary, others on the other side."""
        node = {"service0": 0, "service1": 1}.get(name, 2)
        settings = {"redis_url": self.store_url(), "store_timeout": 2, **self.settings}
        service = Launched(
            self.folder / name,
            self.bundles,
            HTTP,
            host=f"10.78.{node}.2",
            before=partial(enter, Network.namespace(node)),
            allow_keyless="true",
            **settings,
        )
        return service.start()

    def primary(self) -> Server:
        """Return whom the Sentinel of the last node names, which is never cut off."""
        said = self.sentinels[-1].command(f"SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}").split()
        return next(s for i, s in enumerate(self.servers) if Network.address(i) == said[2])

    def take_away(self, how: str) -> None:
        """Cut the first node off."""
        self.cut_at = time.monotonic()
        self.network.cut(0)

    def await_service(self) -> None:
        """Wait for the service on the side that has a primary."""
        self.services[1].wait_ready()

    def give_back(self, how: str, old: Server) -> None:
        """Mend the cut, and wait until all know."""
        time.sleep(max(0.0, self.cut_at + CUT - time.monotonic()))
        self.network.mend(0)
        self.wait_until(lambda: "role:slave" in old.command("INFO replication"))


def enter(namespace: str) -> None:
    """Put this thread, and all that it begins, on a node."""
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(file, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(file)


def _ip(words: str) -> None:
    _run("ip", *words.split())


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main(*words: str) -> None:
    """Do what `partition` asks; without words, only try whether it can be done."""
    if not words:
        Network()
        return
    folder, seed = words
    with Partitioned(Path(folder), seed=int(seed), services=2) as scene:
        scene.fail_over("g", "partitioned")
    print(json.dumps(asdict(scene.tally)))


if __name__ == "__main__":
    main(*sys.argv[1:])
