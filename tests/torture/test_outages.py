"""What a store may do to a service, each with real servers: never a 500, and never for good."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis

from tests.servers import Server, free_port
from tests.torture.audit import draw_samples
from tests.torture.disks import NoDisk, OnSmallDisk, fsync_takes
from tests.torture.failpoints import STRACE
from tests.torture.scene import DIMENSION, Scene

Break = Callable[["Redis[bytes]", Server], None]


def _set(name: str, value: object) -> Break:
    return lambda redis, _: redis.config_set(name, value)


def _each(*breaks: Break) -> Break:
    def all_of_them(redis: "Redis[bytes]", server: Server) -> None:
        for one in breaks:
            one(redis, server)

    return all_of_them


def _ask(*words: Any) -> Break:
    return lambda redis, _: redis.execute_command(*words)


def _hang_up(redis: "Redis[bytes]", _: Server) -> None:
    redis.execute_command("CLIENT KILL TYPE normal SKIPME yes")


def _keep_busy(_: "Redis[bytes]", server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(f"{server.folder}/s")
        channel.sendall(b'EVAL "while true do end" 0\r\n')
        server.wait(answer="-BUSY")


OUTAGES: dict[str, tuple[Break, Break, str]] = {
    "READONLY": (
        _ask("REPLICAOF", "127.0.0.1", "1"),
        _ask("REPLICAOF", "NO", "ONE"),
        "store-read-only",
    ),
    "MASTERDOWN": (
        _each(_set("replica-serve-stale-data", "no"), _ask("REPLICAOF", "127.0.0.1", "1")),
        _each(_ask("REPLICAOF", "NO", "ONE"), _set("replica-serve-stale-data", "yes")),
        "store-read-only",  # a write; reads are told MASTERDOWN
    ),
    "NOREPLICAS": (
        _set("min-replicas-to-write", 1),
        _set("min-replicas-to-write", 0),
        "store-read-only",
    ),
    "NOAUTH": (
        _each(_set("requirepass", "secret"), _hang_up),
        _set("requirepass", ""),
        "store-unavailable",
    ),
    "NOPERM": (
        _ask("ACL", "SETUSER", "default", "-@write"),
        _ask("ACL", "SETUSER", "default", "+@all"),
        "store-unavailable",
    ),
    "max clients": (
        _each(_set("maxclients", 1), _hang_up),
        _set("maxclients", 1000),
        "store-unavailable",
    ),
    "OOM": (_set("maxmemory", 1), _set("maxmemory", 0), "store-full"),
    "BUSY": (_keep_busy, _ask("SCRIPT", "KILL"), "not-ready"),
    "paused": (
        lambda _, server: server.stop(),
        lambda _, server: server.cont(),
        "store-unavailable",
    ),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("outages") / "scene"
    with Scene(folder, store_timeout=2) as scene:
        scene.store.command("CONFIG SET busy-reply-threshold 50")
        yield scene


def enroll(scene: Scene, identity: str, key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key.replace(" ", "-")} if key else {}
    body = {"identity": identity, "files": [{"embedding": _embedding(identity)}]}
    url = f"{scene.services[0].url}/enroll"
    return httpx.post(url, json=body, headers=headers, timeout=30)


def identify(scene: Scene, identity: str) -> httpx.Response:
    body = {"files": [{"embedding": _embedding(identity)}]}
    return httpx.post(f"{scene.services[0].url}/identify", json=body, timeout=30)


def forget(scene: Scene, identity: str) -> httpx.Response:
    url = f"{scene.services[0].url}/galleries/default/identities/{identity}"
    return httpx.delete(url, timeout=30)


def _embedding(identity: str) -> list[float]:
    rng = np.random.default_rng(list(identity.encode()))
    return draw_samples(rng, 1, DIMENSION)[0].values.tolist()


def recover(scene: Scene, identity: str) -> None:
    until = time.monotonic() + 30
    while (answer := enroll(scene, identity, key=identity)).status_code != 201:
        assert answer.status_code == 503, answer.text
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    scene.services[0].wait_ready()


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_is_a_503_that_tells_the_outcome_and_passes_by_itself(
    scene: Scene, outage: str
) -> None:
    breaks, mends, slug = OUTAGES[outage]
    recover(scene, f"before {outage}")
    with Redis.from_url(scene.store.url, protocol=2) as control:
        control.ping()  # it is connected before others are refused

        breaks(control, scene.store)
        refused = enroll(scene, f"during {outage}")
        answered = identify(scene, f"before {outage}")
        alive = httpx.get(f"{scene.services[0].url}/health/live")
        gone = forget(scene, f"before {outage}") if outage == "OOM" else None
        mends(control, scene.store)

    # Whichever came first: the outage itself, or the check that had seen it already.
    slugs = {slug, "not-ready"} if gone is None else {slug}
    assert refused.status_code == 503
    assert refused.json()["type"].rpartition("#")[2] in slugs
    assert "retry-after" in refused.headers
    assert answered.json()["results"][0]["identity"] == f"before {outage}"
    assert alive.status_code == 200
    assert gone is None or gone.status_code == 200
    recover(scene, f"after {outage}")


def test_scripts_that_the_store_has_lost_are_sent_again(scene: Scene) -> None:
    recover(scene, "scripted")
    scene.store.command("SCRIPT FLUSH")

    assert enroll(scene, "scripted again").status_code == 201


@pytest.mark.slow
@pytest.mark.skipif(STRACE is None, reason="no strace on this machine")
def test_a_slow_fsync_is_waited_for_or_told_and_then_settled(scene: Scene) -> None:
    recover(scene, "fast")

    with fsync_takes(scene.store, 0.3):
        slow = enroll(scene, "slow", key="slow")
    with fsync_takes(scene.store, 3):
        too_slow = enroll(scene, "too slow", key="too slow")

    assert slow.status_code == 201, slow.text
    assert too_slow.status_code == 503, too_slow.text
    assert too_slow.json()["outcome"] == "unknown"
    recover(scene, "too slow")
    identities = httpx.get(f"{scene.services[0].url}/galleries/default/identities?limit=1000")
    names = [one["identity"] for one in identities.json()["items"]]
    assert names.count("too slow") == 1


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_room_is_all_it_takes(tmp_path: Path) -> None:
    try:
        scene = OnSmallDisk(tmp_path / "scene", seed=5, store_timeout=1)
    except NoDisk as reason:
        pytest.skip(str(reason))
    with scene:
        recover(scene, "n0")
        acknowledged = ["n0"]
        scene.fill()
        while (answer := enroll(scene, f"n{len(acknowledged)}")).status_code == 201:
            acknowledged.append(f"n{len(acknowledged)}")
            scene.fill()
        full = answer
        found = identify(scene, "n0")
        scene.filler.unlink()
        if scene.store.process.poll() is not None:
            scene.store.start()
        recover(scene, "again")
        listed = httpx.get(f"{scene.services[0].url}/galleries/default/identities?limit=1000")

    assert full.status_code == 503
    assert found.json()["results"][0]["identity"] == "n0"
    assert set(acknowledged) <= {one["identity"] for one in listed.json()["items"]}


class Swallow:
    """A port that passes all on, until it swallows: sockets stay open, and nothing comes."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.swallows = threading.Event()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._sockets += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                if not self.swallows.is_set():
                    sink.sendall(content)
        except OSError:
            return

    def close(self) -> None:
        for one in self._sockets:
            one.close()


class _Through(Scene):
    """A scene with a port between service and store."""

    def store_url(self) -> str:
        self.between = Swallow(self.store.folder / "s")
        return f"redis://127.0.0.1:{self.between.port}"


def test_a_connection_that_swallows_all_is_noticed_in_time_and_left(tmp_path: Path) -> None:
    with _Through(tmp_path / "scene", seed=6, store_timeout=1) as scene:
        recover(scene, "before")
        scene.between.swallows.set()
        begun = time.monotonic()
        refused = enroll(scene, "during", key="during")
        told = time.monotonic() - begun
        scene.wait_until(lambda: not scene.services[0].is_ready())
        noticed = time.monotonic() - begun
        scene.between.swallows.clear()

        recover(scene, "during")
        scene.between.close()

    assert refused.status_code == 503
    assert refused.json()["outcome"] == "unknown"
    assert told < 10  # of a busy machine: the timeout is 1 s
    assert noticed < 15


def test_a_node_of_a_cluster_is_not_written_to_and_says_why(tmp_path: Path) -> None:
    class Node(Scene):
        def make_store(self, name: str, **options: Any) -> Server:
            ports = {"port": free_port(), "cluster-port": free_port()}
            return super().make_store(name, **{"cluster-enabled": "yes", **ports})

        def __enter__(self) -> Scene:
            return self

    with Node(tmp_path / "scene", seed=7, store_timeout=1) as scene:
        url = scene.services[0].url

        def reasons() -> list[str]:
            try:
                return list(httpx.get(f"{url}/health/ready").json()["details"])
            except httpx.TransportError:
                return []

        scene.wait_until(lambda: any("cluster" in reason for reason in reasons()))
        refused = enroll(scene, "nobody")

    assert refused.status_code == 503
