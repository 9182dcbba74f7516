"""The Redis store when its server is killed, or its own process is."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.store.durable_redis import DurableRedis, Script
from service.store.embedded_redis import EmbeddedRedis
from service.store.errors import OutOfStep, StoreError, UnknownGallery
from service.store.kept import Change, Enrollment, GallerySettings, NewSample, Position
from service.store.redis_store import RedisIdentityStore
from tests.servers import Server

pytestmark = pytest.mark.anyio

MODEL = "a" * 64
SETTINGS = GallerySettings("staff", "drawings@1", MODEL)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with EmbeddedRedis(tmp_path) as embedded:
        yield embedded


def sample(content: str) -> NewSample:
    digest = hashlib.sha256(content.encode()).digest()
    return NewSample(digest.hex(), np.frombuffer(digest, np.uint8).astype(np.float32))


def enrollment(identity: str, content: str) -> Enrollment:
    return Enrollment(
        "staff", MODEL, identity, [sample(content)], idempotency_key=f"key of {content}"
    )


async def whole_log(store: RedisIdentityStore, lineage: str) -> list[Change]:
    return await store.changes("staff", Position(lineage, 0, lineage), limit=1_000_000)


async def test_twelve_kills_of_the_store_lose_no_acknowledged_enrollment_and_double_none(
    embedded: EmbeddedRedis,
) -> None:
    redis = DurableRedis(embedded.url, timeout=1.0)
    store = RedisIdentityStore(redis)
    lineage = (await store.create_gallery(SETTINGS)).position.lineage
    rng = random.Random(0)
    acknowledged: dict[str, int] = {}  # content -> sample id
    kills = 12
    done = asyncio.Event()

    async def client(number: int) -> None:
        content = 0
        while not done.is_set():
            asked = f"{number}/{content}"
            try:
                enrolled = await store.enroll(enrollment(f"identity {number}", asked))
            except StoreError:
                await asyncio.sleep(0.01)  # unknown outcome: the same again, with the same key
                continue
            assert asked not in acknowledged
            acknowledged[asked] = enrolled.samples[0].id
            content += 1

    async def killer() -> None:
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.02, 0.2))
            embedded_process(embedded).kill()
            embedded_process(embedded).wait()
            assert await embedded.ensure_running()
        done.set()

    await asyncio.gather(killer(), *map(client, range(8)))

    present: dict[str, int] = {}  # fingerprint -> sample id
    for identity in await store.identities("staff"):
        key = f"kindred:{{staff}}:{lineage}:identity:{identity.number}"
        fields = await redis.read("HGETALL", key)
        present |= {k.decode(): int(v) for k, v in fields.items() if len(k) == 64}
    logged = [sample for change in await whole_log(store, lineage) for sample in change.samples]
    assert len(acknowledged) > 10 * kills
    assert acknowledged == {
        content: present.get(sample(content).fingerprint) for content in acknowledged
    }
    assert sorted(present.values()) == sorted(logged)  # no half of a write without the other
    assert len(present) - len(acknowledged) <= 8  # at most what each client still waited for
    assert (await store.gallery("staff")).samples == len(present)
    await store.close()


def embedded_process(embedded: EmbeddedRedis) -> Any:
    return embedded._process


async def test_a_forgotten_identity_leaves_no_byte_after_a_rewrite(
    embedded: EmbeddedRedis, tmp_path: Path
) -> None:
    redis = DurableRedis(embedded.url)
    store = RedisIdentityStore(redis)
    await store.create_gallery(SETTINGS)
    await store.enroll(enrollment("Ada Lovelace", "a drawing"))
    await store.enroll(enrollment("Grace Hopper", "another"))
    traces = [b"Ada Lovelace", sample("a drawing").embedding.tobytes()]
    traces += [sample("a drawing").fingerprint.encode()]

    def kept() -> bytes:
        found = b""
        for file in (tmp_path / "store" / "appendonlydir").iterdir():
            with suppress(FileNotFoundError):  # what the server renamed meanwhile
                found += file.read_bytes()
        return found

    assert all(trace in kept() for trace in traces)
    await store.forget_identity("staff", "Ada Lovelace")
    await redis.read("BGREWRITEAOF")
    for _ in range(200):
        if b"Ada Lovelace" not in kept():
            break
        await asyncio.sleep(0.05)

    assert [trace for trace in traces if trace in kept()] == []
    assert b"Grace Hopper" in kept()
    await store.close()


async def test_a_log_that_somebody_rewrote_is_not_followed(embedded: EmbeddedRedis) -> None:
    redis = DurableRedis(embedded.url)
    store = RedisIdentityStore(redis)
    start = (await store.create_gallery(SETTINGS)).position
    for content in "abc":
        await store.enroll(enrollment("Ada", content))
    log = f"kindred:{{staff}}:{start.lineage}:log"
    entries = await redis.read("XRANGE", log, "-", "+")

    await redis.write("UNLINK", log)
    for entry, fields in entries:
        forged = {**fields, b"samples": b"7"} if entry == b"2-0" else fields
        await redis.write("XADD", log, entry, *(word for pair in forged.items() for word in pair))

    with pytest.raises(OutOfStep, match="version 1"):
        await store.changes("staff", start)
    await store.close()


async def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(
    embedded: EmbeddedRedis,
) -> None:
    class CutShort(DurableRedis):
        async def run(self, script: Script, keys: Any, *arguments: Any) -> Any:
            if "ZPOPMIN" in script.body:
                raise asyncio.CancelledError
            return await super().run(script, keys, *arguments)

    redis, cut = DurableRedis(embedded.url), CutShort(embedded.url)
    store = RedisIdentityStore(redis)
    await store.create_gallery(SETTINGS)
    await store.enroll(enrollment("Ada", "a drawing"))

    with pytest.raises(asyncio.CancelledError):
        await RedisIdentityStore(cut).delete_gallery("staff")
    again = await store.create_gallery(SETTINGS)
    await store.enroll(enrollment("Bea", "a drawing"))
    with_old = await redis.read("KEYS", "*")
    await store.sweep()
    await store.rewrite()

    assert [state.settings.name for state in await store.galleries()] == ["staff"]
    assert [one.name for one in await store.identities("staff")] == ["Bea"]
    left = await redis.read("KEYS", "*")
    assert len(left) < len(with_old)
    below = f"kindred:{{staff}}:{again.position.lineage}:".encode()
    assert sorted(key for key in left if not key.startswith(below)) == [
        b"kindred:galleries",
        b"kindred:{staff}:gallery",
    ]
    await store.close()
    await cut.close()


async def test_a_large_gallery_is_deleted_and_read_in_steps(embedded: EmbeddedRedis) -> None:
    redis = DurableRedis(embedded.url)
    store = RedisIdentityStore(redis)
    position = (await store.create_gallery(SETTINGS)).position
    many = [sample(str(number)) for number in range(300)]
    for number in range(15):
        await store.enroll(Enrollment("staff", MODEL, f"{number}", many))

    read = [len(chunk.samples) async for chunk in store.load("staff", position)]
    await store.delete_gallery("staff")
    await store.rewrite()

    assert sum(read) == 4500
    assert len(read) == 4
    assert await redis.read("KEYS", "*") == []
    with pytest.raises(UnknownGallery):
        await store.gallery("staff")
    await store.close()


async def test_a_paused_store_writes_an_enrollment_once_although_it_is_asked_twice(
    embedded: EmbeddedRedis, start_server: Any
) -> None:
    server: Server = start_server()
    redis = DurableRedis(server.url, timeout=0.3)
    store = RedisIdentityStore(redis)
    await store.create_gallery(SETTINGS)
    await store.enroll(enrollment("Ada", "first"))

    server.stop()
    with pytest.raises(StoreError):
        await store.enroll(enrollment("Ada", "second"))
    server.cont()
    settled = await store.enroll(enrollment("Ada", "second"))

    assert settled.version == 2
    assert len((await store.identity("staff", "Ada")).samples) == 2
    assert (await store.gallery("staff")).version == 2
    await store.close()
