"""What is believed of a server, tried on real ones that misbehave."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from service.durable_redis import DurableRedis, Script
from service.identities import (
    NotDurable,
    StoreFull,
    StoreNotReady,
    StoreReadOnly,
    StoreUnavailable,
)
from tests.servers import REDIS, VALKEY, StartServer, free_port

pytestmark = pytest.mark.anyio

PROGRAMS = [
    pytest.param(VALKEY, id="valkey"),
    pytest.param(
        REDIS,
        id="redis-server",
        marks=pytest.mark.skipif(REDIS is None, reason="no redis-server on this machine"),
    ),
]
COUNT = Script("", "return redis.call('INCR', KEYS[1])")
FORGET = Script("allow-oom", "return redis.call('UNLINK', KEYS[1])")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


# Writes


async def test_a_paused_server_is_unavailable_in_time_and_nothing_is_written_twice(
    start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    redis = DurableRedis(server.url, timeout=0.3)
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
    await redis.close()


async def test_a_call_after_a_restart_of_the_server_succeeds_at_once(
    start_server: StartServer, program: str
) -> None:
    server = start_server(program)
    redis = DurableRedis(server.url)
    await asyncio.gather(*(redis.run(COUNT, ["n"]) for _ in range(8)))

    server.kill9()
    with pytest.raises(StoreUnavailable):
        await redis.run(COUNT, ["n"])
    server.start()

    after = await asyncio.gather(*(redis.run(COUNT, ["n"]) for _ in range(8)))
    assert sorted(after) == list(range(9, 17))
    await redis.close()


async def test_a_pause_does_not_pile_up_connections(start_server: StartServer) -> None:
    server = start_server()
    redis = DurableRedis(server.url, timeout=0.3, connections=4)

    server.stop()
    calls = [redis.run(COUNT, ["n"]) for _ in range(40)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    server.cont()

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert server.command("INFO clients").count("connected_clients:") == 1
    assert int(server.command("INFO clients").split("connected_clients:")[1].split()[0]) <= 5
    await redis.close()


async def test_a_write_that_a_replica_lacks_is_not_durable_however_often_it_is_asked(
    start_server: StartServer, program: str
) -> None:
    port = free_port()
    primary = start_server(program, port=port)
    replica = start_server(program, replicaof=f"127.0.0.1 {port}")
    replica.wait("ROLE", "connected")
    redis = DurableRedis(primary.url, timeout=0.6, replicas=1)
    await redis.run(COUNT, ["n"])

    replica.stop()
    for _ in range(2):
        with pytest.raises(NotDurable) as caught:
            await redis.run(COUNT, ["n"])
        assert caught.value.outcome == "unknown"
    replica.cont()

    assert await redis.run(COUNT, ["n"]) == 4
    await redis.close()


async def test_a_server_without_an_append_only_file_confirms_nothing(
    start_server: StartServer,
) -> None:
    redis = DurableRedis(start_server(appendonly="no").url)

    with pytest.raises(NotDurable):
        await redis.run(COUNT, ["n"])

    await redis.close()


async def test_a_full_server_refuses_whole_writes_and_still_forgets(
    start_server: StartServer, program: str
) -> None:
    server = start_server(program, maxmemory="1mb")
    redis = DurableRedis(server.url)

    with pytest.raises(StoreFull) as caught:
        await redis.run(Script("", "redis.call('DEL', KEYS[1]) redis.call('INCR', 'n')"), ["x"])

    assert caught.value.outcome == "absent"
    assert await redis.run(FORGET, ["n"]) == 0
    await redis.close()


async def test_a_replica_is_read_only(start_server: StartServer, program: str) -> None:
    port = free_port()
    start_server(program, port=port)
    replica = start_server(program, replicaof=f"127.0.0.1 {port}").wait("ROLE", "connected")
    redis = DurableRedis(replica.url)

    with pytest.raises(StoreReadOnly):
        await redis.run(COUNT, ["n"])

    assert "it is a slave, not a master" in await redis.check()
    await redis.close()


async def test_a_primary_that_misses_its_replicas_is_read_only(
    start_server: StartServer, program: str
) -> None:
    redis = DurableRedis(start_server(program, min_replicas_to_write=1).url)

    with pytest.raises(StoreReadOnly):
        await redis.run(COUNT, ["n"])

    await redis.close()


async def test_a_server_whose_background_save_failed_is_read_only(
    start_server: StartServer, program: str
) -> None:
    server = start_server(program, appendonly="no", save="3600 1", dbfilename="here")
    server.command("SET a 1")
    (server.folder / "here").mkdir()
    server.command("BGSAVE")
    server.wait("INFO persistence", "rdb_last_bgsave_status:err")
    redis = DurableRedis(server.url)

    with pytest.raises(StoreReadOnly):
        await redis.run(COUNT, ["n"])

    await redis.close()


async def test_a_server_that_reads_its_data_is_not_ready(
    start_server: StartServer, program: str
) -> None:
    server = start_server(program, key_load_delay=20000, loading_process_events_interval_bytes=1)
    for number in range(2):
        server.command(f"DEBUG POPULATE 300 {number}")
    server.command("BGREWRITEAOF")
    server.wait("INFO persistence", "aof_rewrite_in_progress:0")
    server.kill9()
    server.process = server._spawn()
    server.wait(answer="-LOADING")
    redis = DurableRedis(server.url)

    with pytest.raises(StoreNotReady):
        await redis.run(COUNT, ["n"])

    await redis.close()


async def test_a_refusing_server_is_unavailable(start_server: StartServer, program: str) -> None:
    locked = start_server(program, requirepass="secret")
    denying = start_server(program, user="default on nopass ~* +@all -evalsha -eval")
    crowded = start_server(program, maxclients=1)
    held = DurableRedis(crowded.url)
    await held.read("PING")

    for server in (locked, denying, crowded):
        redis = DurableRedis(server.url)
        with pytest.raises(StoreUnavailable):
            await redis.run(COUNT, ["n"])
        assert await redis.check() != [] or server is denying
        await redis.close()

    await held.close()


async def test_a_server_that_is_not_there_is_unavailable(tmp_path_factory: object) -> None:
    redis = DurableRedis(f"redis://127.0.0.1:{free_port()}")

    with pytest.raises(StoreUnavailable):
        await redis.read("PING")

    assert len(await redis.check()) == 1
    await redis.close()


# The check


async def test_a_durable_server_passes(start_server: StartServer, program: str) -> None:
    redis = DurableRedis(start_server(program).url)

    assert await redis.check() == []

    await redis.close()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "evict"),
        ({"maxmemory_policy": "volatile-ttl"}, "evict"),
        ({"maxmemory_policy": "allkeys-random", "maxmemory": "100mb"}, "evict"),
        ({"appendonly": "no"}, "append-only"),
        ({"appendonly": "no", "save": "1 1"}, "append-only"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec"),
        ({"appendfsync": "no"}, "appendfsync is no"),
        ({"no_appendfsync_on_rewrite": "yes"}, "no-appendfsync-on-rewrite"),
        ({"min_replicas_to_write": 1}, "replicas"),
        ({"rename_command": 'CONFIG ""'}, "assert"),
    ],
)
async def test_a_server_that_may_lose_writes_does_not_pass(
    start_server: StartServer, program: str, options: dict[str, str], reason: str
) -> None:
    redis = DurableRedis(start_server(program, **options).url)

    reasons = await redis.check()

    assert any(reason in said for said in reasons), reasons
    await redis.close()


async def test_a_policy_that_is_changed_while_it_runs_is_noticed(
    start_server: StartServer,
) -> None:
    server = start_server()
    redis = DurableRedis(server.url)
    before = await redis.check()

    server.command("CONFIG SET maxmemory-policy allkeys-lru")

    assert before == []
    assert await redis.check() == ["it may evict keys (allkeys-lru)"]
    await redis.close()


async def test_a_second_of_loss_must_be_asked_for(start_server: StartServer, program: str) -> None:
    server = start_server(program, appendfsync="everysec")
    careless = DurableRedis(server.url, fsync="everysec")
    hidden = DurableRedis(
        start_server(program, rename_command='CONFIG ""').url, assert_durable=True
    )

    assert await careless.check() == []
    assert await careless.run(COUNT, ["n"]) == 1
    assert await hidden.check() == []
    await careless.close()
    await hidden.close()
