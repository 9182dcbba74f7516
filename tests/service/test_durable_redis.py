"""What is believed of a server, tried on real ones that misbehave."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from service.store.durable_redis import LOOK_EVERY, DurableRedis, Script
from service.store.errors import (
    NotDurable,
    StoreFull,
    StoreNotReady,
    StoreReadOnly,
    StoreUnavailable,
)
from tests.servers import REDIS, VALKEY, Option, StartServer, free_port
from tests.torture.failover import NAME, start_sentinel

pytestmark = pytest.mark.anyio

PROGRAMS = [
    pytest.param(VALKEY, id="valkey"),
    pytest.param(
        REDIS,
        id="redis-server",
        marks=pytest.mark.skipif(REDIS is None, reason="no redis-server on this machine"),
    ),
]
Connect = Callable[..., DurableRedis]

COUNT = Script("", "return redis.call('INCR', KEYS[1])")
FORGET = Script("allow-oom", "return redis.call('UNLINK', KEYS[1])")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A function that connects to a server; what it made is closed with the test."""
    made: list[DurableRedis] = []

    def connect(url: str, **settings: Any) -> DurableRedis:
        made.append(DurableRedis(url, **settings))
        return made[-1]

    yield connect
    for redis in made:
        await redis.close()


# Writes


async def test_a_paused_server_is_unavailable_in_time_and_nothing_is_written_twice(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    redis = connect(server.url, timeout=0.3)
    await redis.run(COUNT, ["n"])

    server.stop()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await redis.run(COUNT, ["n"])
    waited = time.monotonic() - begun
    server.cont()

    assert caught.value.outcome == "unknown"
    assert waited < 1
    assert await redis.read("GET", "n") in (b"1", b"2")
    await asyncio.sleep(0.2)
    assert await redis.run(COUNT, ["n"]) in (2, 3)


async def test_a_call_after_a_restart_of_the_server_succeeds_at_once(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    redis = connect(server.url)
    await asyncio.gather(*(redis.run(COUNT, ["n"]) for _ in range(8)))

    server.kill9()
    with pytest.raises(StoreUnavailable):
        await redis.run(COUNT, ["n"])
    server.start()

    after = await asyncio.gather(*(redis.run(COUNT, ["n"]) for _ in range(8)))
    assert sorted(after) == list(range(9, 17))


async def test_no_call_gets_the_answer_of_one_that_was_given_up(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    redis = connect(start_server(program).url, connections=3)
    echo = Script("", "redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]")
    rng = random.Random(0)
    wrong = []

    async def call(number: int) -> None:
        answer = await redis.run(echo, ["last"], number)
        if answer != b"%d" % number:
            wrong.append((number, answer))

    for number in range(0, 400, 4):
        calls = [asyncio.create_task(call(number + i)) for i in range(4)]
        await asyncio.sleep(rng.uniform(0, 0.004))
        rng.choice(calls).cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    assert wrong == []


async def test_a_pause_does_not_pile_up_connections(
    connect: Connect, start_server: StartServer
) -> None:
    server = start_server()
    redis = connect(server.url, timeout=0.3, connections=4)

    server.stop()
    calls = [redis.run(COUNT, ["n"]) for _ in range(40)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    server.cont()

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert server.command("INFO clients").count("connected_clients:") == 1
    assert int(server.command("INFO clients").split("connected_clients:")[1].split()[0]) <= 5


async def test_a_write_that_a_replica_lacks_is_not_durable_however_often_it_is_asked(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    port = free_port()
    primary = start_server(program, port=port)
    replica = start_server(program, replicaof=("127.0.0.1", str(port)))
    replica.wait("ROLE", "connected")
    primary.wait("INFO replication", "state=online")
    patient = connect(primary.url, timeout=10, replicas=1)
    hasty = connect(primary.url, timeout=0.4, replicas=1)
    await patient.run(COUNT, ["n"])

    replica.stop()
    for _ in range(2):
        with pytest.raises(NotDurable) as caught:
            await hasty.run(COUNT, ["n"])
        assert caught.value.outcome == "unknown"
    replica.cont()

    assert await patient.run(COUNT, ["n"]) == 4


async def test_a_server_without_an_append_only_file_confirms_nothing(
    connect: Connect,
    start_server: StartServer,
) -> None:
    redis = connect(start_server(appendonly="no").url)

    with pytest.raises(NotDurable):
        await redis.run(COUNT, ["n"])


async def test_a_full_server_refuses_whole_writes_and_still_forgets(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    redis = connect(server.url)
    replace = Script("", "redis.call('DEL', KEYS[1]) return redis.call('INCR', KEYS[1])")
    await redis.run(COUNT, ["n"])

    server.command("CONFIG SET maxmemory 1")
    with pytest.raises(StoreFull) as caught:
        await redis.run(replace, ["n"])

    assert caught.value.outcome == "absent"
    assert await redis.read("GET", "n") == b"1"
    assert await redis.run(FORGET, ["n"]) == 1


async def test_a_replica_is_read_only(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    port = free_port()
    start_server(program, port=port)
    replica = start_server(program, replicaof=("127.0.0.1", str(port))).wait("ROLE", "connected")
    redis = connect(replica.url)

    with pytest.raises(StoreReadOnly):
        await redis.run(COUNT, ["n"])

    assert "it is a slave, not a master" in await redis.check()


async def test_a_read_that_waits_for_a_replaced_primary_gets_nothing_of_it(
    connect: Connect, start_server: StartServer, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    old, new = (start_server(port=port) for port in ports)
    old.command("SET who old")
    new.command("SET who new")
    sentinel = start_sentinel(tmp_path / "sentinel", ports[0])
    redis = connect(f"redis+sentinel://{sentinel.address}/{NAME}", timeout=60)
    assert await redis.read("GET", "who") == b"old"

    old.stop()
    waiting = asyncio.create_task(redis.read("GET", "who"))
    sentinel.command(f"SENTINEL REMOVE {NAME}")
    sentinel.command(f"SENTINEL MONITOR {NAME} 127.0.0.1 {ports[1]} 1")
    await asyncio.sleep(LOOK_EVERY)
    now = await redis.read("GET", "who")
    old.cont()
    sentinel.kill9()

    with pytest.raises(StoreUnavailable):
        await waiting
    assert now == b"new"


async def test_a_primary_that_misses_its_replicas_is_read_only(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    redis = connect(start_server(program, min_replicas_to_write=1).url)

    with pytest.raises(StoreReadOnly):
        await redis.run(COUNT, ["n"])


async def test_a_server_whose_background_save_failed_is_read_only(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program, appendonly="no", save=("3600", "1"), dbfilename="here")
    server.command("SET a 1")
    (server.folder / "here").mkdir()
    server.command("BGSAVE")
    server.wait("INFO persistence", "rdb_last_bgsave_status:err")
    redis = connect(server.url)

    with pytest.raises(StoreReadOnly):
        await redis.run(COUNT, ["n"])


async def test_a_server_that_reads_its_data_is_not_ready(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    slowly = {"key_load_delay": 5_000, "loading_process_events_interval_bytes": 1024}  # µs a key
    server = start_server(program, **slowly, enable_debug_command="yes")
    server.command("DEBUG POPULATE 800 key 2000")
    server.command("BGREWRITEAOF")
    server.wait("INFO persistence", "aof_rewrite_in_progress:0")
    server.kill9()
    server.start(ready=False)
    server.wait(answer="-LOADING")
    redis = connect(server.url)

    with pytest.raises(StoreNotReady):
        await redis.run(COUNT, ["n"])

    assert await redis.check() == ["it is still reading its data"]


async def test_a_server_that_does_not_let_us_in_is_unavailable(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    server.command("CONFIG SET requirepass secret")
    redis = connect(server.url)

    with pytest.raises(StoreUnavailable):
        await redis.run(COUNT, ["n"])

    assert len(await redis.check()) == 1


async def test_a_server_that_does_not_let_us_write_is_unavailable(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    server.command("ACL SETUSER default -@write")
    redis = connect(server.url)

    with pytest.raises(StoreUnavailable):
        await redis.run(COUNT, ["n"])

    assert len(await redis.check()) == 1


async def test_a_server_with_too_many_clients_is_unavailable(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    held, redis = connect(server.url), connect(server.url)
    await held.read("PING")
    server.command("CONFIG SET maxclients 1")

    with pytest.raises(StoreUnavailable):
        await redis.run(COUNT, ["n"])

    assert len(await redis.check()) == 1


async def test_a_server_that_is_not_there_is_unavailable(
    connect: Connect,
) -> None:
    redis = connect(f"redis://127.0.0.1:{free_port()}")

    with pytest.raises(StoreUnavailable):
        await redis.read("PING")

    assert len(await redis.check()) == 1


# The check


async def test_a_durable_server_passes(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    redis = connect(start_server(program).url)

    assert await redis.check() == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "evict"),
        ({"maxmemory_policy": "volatile-ttl"}, "evict"),
        ({"maxmemory_policy": "allkeys-random", "maxmemory": "100mb"}, "evict"),
        ({"appendonly": "no"}, "append-only"),
        ({"appendonly": "no", "save": ("1", "1")}, "append-only"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec"),
        ({"appendfsync": "no"}, "appendfsync is no"),
        ({"no_appendfsync_on_rewrite": "yes"}, "no-appendfsync-on-rewrite"),
        ({"min_replicas_to_write": 1}, "replicas"),
        ({"rename_command": ("CONFIG", "")}, "assert"),
    ],
)
async def test_a_server_that_may_lose_writes_does_not_pass(
    connect: Connect,
    start_server: StartServer,
    program: str,
    options: dict[str, Option],
    reason: str,
) -> None:
    redis = connect(start_server(program, **options).url)

    reasons = await redis.check()

    assert any(reason in said for said in reasons), reasons


async def test_a_policy_that_is_changed_while_it_runs_is_noticed(
    connect: Connect,
    start_server: StartServer,
) -> None:
    server = start_server()
    redis = connect(server.url)
    before = await redis.check()

    server.command("CONFIG SET maxmemory-policy allkeys-lru")

    assert before == []
    assert await redis.check() == ["it may evict keys (allkeys-lru)"]


async def test_a_second_of_loss_must_be_asked_for(
    connect: Connect, start_server: StartServer, program: str
) -> None:
    server = start_server(program, appendfsync="everysec")
    careless = connect(server.url, fsync="everysec")
    hidden = connect(start_server(program, rename_command=("CONFIG", "")).url, assert_durable=True)

    assert await careless.check() == []
    assert await careless.run(COUNT, ["n"]) == 1
    assert await hidden.check() == []
