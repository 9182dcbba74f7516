"""Why a Redis Cluster is refused: while a slot moves key by key, a script does half of a write.

Six real nodes, and the store's own scripts on them; a gallery's slot moves while it is written to.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import count, cycle, pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
from redis import Redis
from redis.crc import key_slot

from service.store.durable_redis import DurableRedis
from service.store.errors import StoreError
from service.store.kept import Enrollment, GallerySettings, NewSample
from service.store.redis_store import GALLERIES, RedisIdentityStore, root
from tests.bundles import make_bundle
from tests.servers import Server, StartServer, free_port
from tests.torture.audit import audit, draw_samples
from tests.torture.checker import Violation, check
from tests.torture.history import History, Operation
from tests.torture.launcher import Launched

pytestmark = pytest.mark.slow

PRIMARIES, SLOTS = 3, 16384
WRITERS, MOVES, REST = 4, 6, 0.3  # seconds between two moves
DIGEST = "a" * 64


def third(key: str) -> int:
    """Which of the primaries has a key at first."""
    return int(key_slot(key.encode())) * PRIMARIES // SLOTS


# To make a gallery is to write to the list of galleries too: both are on one node here.
GALLERY = next(g for g in map("g{}".format, count()) if third(root(g)) == third(GALLERIES))
SLOT = key_slot(root(GALLERY).encode())


@dataclass(frozen=True)
class Node:
    """A node of a cluster, and how the others know it."""

    server: Server
    port: int
    id: str

    def ask(self, line: str) -> str:
        """Return the answer to a line, which must be no error."""
        said = self.server.command(line)
        assert said[:1] not in ("", "-"), f"{line}: {said}"
        return said


@pytest.fixture
def nodes(start_server: StartServer) -> list[Node]:
    """Three primaries, each with a third of the slots, and a replica of each."""
    made, buses = [], []
    for _ in range(2 * PRIMARIES):
        port, bus = free_port(), free_port()
        ports = {"port": port, "cluster_port": bus}
        server = start_server(cluster_enabled="yes", cluster_node_timeout=5000, **ports)
        made.append(Node(server, port, server.command("CLUSTER MYID").split("\r\n")[1]))
        buses.append(bus)
    bounds = [-(-SLOTS * i // PRIMARIES) for i in range(PRIMARIES + 1)]
    for node, (first, end) in zip(made[:PRIMARIES], pairwise(bounds), strict=True):
        node.ask(f"CLUSTER ADDSLOTSRANGE {first} {end - 1}")
    for epoch, (node, bus) in enumerate(zip(made, buses, strict=True), 1):
        node.ask(f"CLUSTER SET-CONFIG-EPOCH {epoch}")
        made[0].ask(f"CLUSTER MEET 127.0.0.1 {node.port} {bus}")
    for node in made:
        node.server.wait("CLUSTER INFO", f"cluster_known_nodes:{len(made)}", 60)
    for replica, primary in zip(made[PRIMARIES:], made[:PRIMARIES], strict=True):
        replica.server.wait("CLUSTER NODES", primary.id, 60)
        replica.ask(f"CLUSTER REPLICATE {primary.id}")
        replica.server.wait("INFO replication", "master_link_status:up", 60)
    for node in made:
        node.server.wait("CLUSTER INFO", "cluster_state:ok", 60)
    return made


def key_by_key(here: Node, there: Node) -> None:
    """Move the slot as `redis-cli --cluster reshard` does, ten keys at a time."""
    there.ask(f"CLUSTER SETSLOT {SLOT} IMPORTING {here.id}")
    here.ask(f"CLUSTER SETSLOT {SLOT} MIGRATING {there.id}")
    with Redis.from_url(here.server.url) as redis:
        while keys := redis.execute_command("CLUSTER GETKEYSINSLOT", SLOT, 10):
            words = ("127.0.0.1", there.port, "", 0, 5000, "KEYS", *keys)
            redis.execute_command("MIGRATE", *words)
    for node in (there, here):
        node.ask(f"CLUSTER SETSLOT {SLOT} NODE {there.id}")


def as_a_whole(here: Node, there: Node) -> None:
    """Move the slot as Valkey does since 9.0: it changes hands at one moment."""
    here.ask(f"CLUSTER MIGRATESLOTS SLOTSRANGE {SLOT} {SLOT} NODE {there.id}")
    for node, answer in ((there, "$-1"), (here, "MOVED")):
        node.server.wait(f"GET {{{GALLERY}}}", answer)


async def write(
    stores: list[RedisIdentityStore], name: str, history: History, stop: asyncio.Event
) -> None:
    """Enroll one after the other, each until the outcome is known, at whichever node takes it."""
    rng = np.random.default_rng(len(name) + ord(name))
    primaries = cycle(stores)
    store = next(primaries)
    for number in count():
        [sample] = draw_samples(rng, 1, 8)
        who = f"{name}{number}"
        new = NewSample(sample.fingerprint, sample.values)
        enrollment = Enrollment(GALLERY, DIGEST, who, [new])
        asked = Operation(name, "enroll", GALLERY, sample.fingerprint, who)
        while not stop.is_set():
            call = history.invoke(asked)
            try:
                done = await store.enroll(enrollment)
            except StoreError:  # moved, or on the move
                history.end(call, "unknown", status=503)
                asked, store = replace(asked, retried=True), next(primaries)
            else:
                history.end(call, "ok", status=201, version=done.version)
                break
        if stop.is_set():
            return


async def moved_under_load(
    nodes: list[Node], move: Callable[[Node, Node], None]
) -> tuple[int, list[Violation]]:
    """Let clients write while the slot moves; return how many writes count, and what is broken."""
    history, stop = History(), asyncio.Event()
    owners = cycle([nodes[third(root(GALLERY))], nodes[(third(root(GALLERY)) + 1) % PRIMARIES]])
    here = next(owners)
    async with AsyncExitStack() as stack:
        stores = []
        for node in nodes[:PRIMARIES]:
            redis = DurableRedis(node.server.url)
            stack.push_async_callback(redis.close)
            stores.append(RedisIdentityStore(redis))
        await stores[nodes.index(here)].create_gallery(
            GallerySettings(GALLERY, "drawings@1", DIGEST, rule="max", keep_samples=False)
        )
        async with asyncio.TaskGroup() as writers:
            for name in "abcdefgh"[:WRITERS]:
                writers.create_task(write(stores, name, history, stop))
            for _ in range(MOVES):
                await asyncio.sleep(REST)
                there = next(owners)
                await asyncio.to_thread(move, here, there)
                here = there
            await asyncio.sleep(REST)
            stop.set()
    with Redis.from_url(here.server.url, protocol=2) as redis:
        kept = audit(redis, GALLERY).kept
    acknowledged = sum(operation.acknowledged for operation in history.operations)
    return acknowledged, check(history.operations, kept)


def test_a_slot_that_moves_key_by_key_leaves_half_of_a_write(nodes: list[Node]) -> None:
    acknowledged, violations = asyncio.run(moved_under_load(nodes, key_by_key))

    assert acknowledged > 100
    assert {violation.rule for violation in violations} & {3, 4}


def test_a_slot_that_moves_as_a_whole_leaves_every_write_whole(nodes: list[Node]) -> None:
    acknowledged, violations = asyncio.run(moved_under_load(nodes, as_a_whole))

    assert acknowledged > 100
    assert violations == []


def test_a_service_takes_no_write_to_any_node_of_a_cluster(
    nodes: list[Node], tmp_path: Path
) -> None:
    bundles = tmp_path / "bundles"
    make_bundle(bundles, dimension=8, cohort=20)
    url = f"redis://127.0.0.1:{nodes[0].port}"
    service = Launched(tmp_path / "service", bundles, free_port(), redis_url=url).start()
    try:
        until = time.monotonic() + 60
        while "node of a cluster" not in (reasons := said(service)):
            assert time.monotonic() < until, reasons
            time.sleep(0.1)
        answer = httpx.post(f"{service.url}/galleries", json={"name": GALLERY}, timeout=30)
    finally:
        service.kill9()

    assert (answer.status_code, answer.json()["type"].rpartition("#")[2]) == (503, "not-ready")
    assert all(node.server.command("DBSIZE") == ":0\r\n" for node in nodes)


def said(service: Launched) -> str:
    """Return what a service says of whether it is ready; empty before it says so."""
    try:
        return httpx.get(f"{service.url}/health/ready", timeout=5).text
    except httpx.TransportError:
        return ""
