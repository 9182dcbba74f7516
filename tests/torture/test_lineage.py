"""A log that was cut, a store that went back or was emptied: a follower always notices."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from models_store import open_shelf
from service.app import new_index
from service.replicas.galleries import Galleries
from service.replicas.snapshots import Snapshots
from service.store import redis_store
from service.store.durable_redis import DurableRedis
from service.store.kept import Enrollment, GallerySettings, NewSample, Position, References
from service.store.redis_store import RedisIdentityStore
from tests.bundles import make_bundle
from tests.servers import StartServer
from tests.torture.audit import audit, draw_samples

pytestmark = pytest.mark.anyio

GALLERY = "staff"
DIMENSION = 8
SCHEDULES = 50


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class World:
    """A store that is tampered with, and one process that follows it."""

    store: RedisIdentityStore
    redis: "Redis[bytes]"
    galleries: Galleries
    settings: GallerySettings
    backup: dict[bytes, bytes] = field(default_factory=dict)
    made: int = 0

    async def write(self, rng: np.random.Generator) -> None:
        """Change something behind the follower's back."""
        for _ in range(int(rng.integers(1, 6))):
            [sample] = draw_samples(rng, 1, DIMENSION)
            self.made += 1
            await self.store.enroll(
                Enrollment(
                    GALLERY,
                    self.settings.digest,
                    f"id {self.made}",
                    [NewSample(sample.fingerprint, sample.values)],
                )
            )
            if rng.random() < 0.2:
                await self.store.forget_identity(GALLERY, f"id {self.made}")

    async def follow(self, _: np.random.Generator) -> None:
        """Let the follower look."""
        await self.galleries.refresh()

    async def make_follow_anew(self) -> None:
        """Let the follower forget the gallery and read all of it again."""
        self.galleries._replicas.clear()
        await self.galleries.refresh()

    async def trim(self, rng: np.random.Generator) -> None:
        """Cut the log, of which the follower may not have read all."""
        lineage = (await self.store.gallery(GALLERY)).position.lineage
        self.redis.xtrim(
            f"kindred:{{{GALLERY}}}:{lineage}:log",
            maxlen=int(rng.integers(0, 3)),
            approximate=False,
        )

    async def back_up(self, _: np.random.Generator) -> None:
        """Keep a copy of all keys."""
        self.backup = {key: self.redis.dump(key) for key in self.redis.scan_iter()}

    async def restore(self, _: np.random.Generator) -> None:
        """Put the copy back: the store is as it was, and the follower may be ahead of it."""
        if self.backup:
            self.redis.flushall()
            for key, value in self.backup.items():
                self.redis.restore(key, 0, value)

    async def make_anew(self, _: np.random.Generator) -> None:
        """Delete the gallery and make one of that name."""
        await self.store.delete_gallery(GALLERY)
        await self.store.create_gallery(self.settings)

    async def flush(self, rng: np.random.Generator) -> None:
        """Empty the store; it is never taken for a store of empty galleries."""
        await self.back_up(rng)
        await self.follow(rng)
        before = [replica.index.samples for replica in self.galleries.replicas]
        self.redis.flushall()
        await self.galleries.refresh()
        assert "gallery-vanished" in self.galleries.reasons
        assert [replica.index.samples for replica in self.galleries.replicas] == before
        await self.restore(rng)

    def agrees(self) -> bool:
        """Whether the follower holds what the store holds, and knows where it stands."""
        found = audit(self.redis, GALLERY)
        replica = self.galleries.get(GALLERY)
        references, embeddings = replica.index.enrolled()
        own = {r.key: row for r, row in zip(references, embeddings, strict=True)}
        return (
            replica.version == found.kept.version
            and sorted(own) == found.ids.tolist()
            and np.array_equal(np.array([own[id_] for id_ in sorted(own)]), found.embeddings)
        )


TAMPERING = (World.trim, World.back_up, World.restore, World.restore, World.make_anew, World.flush)


@pytest.fixture
async def world(start_server: StartServer, tmp_path: Path) -> AsyncIterator[World]:
    make_bundle(tmp_path / "bundles", dimension=DIMENSION, cohort=20)
    comparator = open_shelf(tmp_path / "bundles").comparators["tiny@1"]
    server = start_server()
    durable = DurableRedis(server.url)
    store = RedisIdentityStore(durable)
    settings = GallerySettings(GALLERY, comparator.title, comparator.digest)
    with ThreadPoolExecutor() as executor, Redis.from_url(server.url, protocol=2) as redis:
        galleries = Galleries(
            store,
            {comparator.title: comparator},
            comparator,
            new_index,
            executor,
            Snapshots(tmp_path / "snapshots"),
        )
        await store.create_gallery(settings)
        await galleries.refresh()
        yield World(store, redis, galleries, settings)
    await durable.close()


async def test_50_random_schedules_of_tampering_are_all_noticed(world: World) -> None:
    unnoticed = []
    for seed in range(SCHEDULES):
        rng = np.random.default_rng(seed)
        steps = [World.back_up, World.write, World.follow]
        for _ in range(4):
            steps += [
                TAMPERING[rng.integers(len(TAMPERING))],
                *([World.write] * int(rng.integers(0, 2))),
                *([World.follow] * int(rng.integers(0, 2))),
            ]
        for step in steps:
            await step(world, rng)
        await world.galleries.refresh()
        if not world.agrees():
            unnoticed.append((seed, [step.__name__ for step in steps]))

    assert unnoticed == []


async def test_a_store_that_went_back_and_was_given_as_much_again_is_not_taken_for_what_it_was(
    world: World,
) -> None:
    async def enroll(seed: int) -> None:
        [sample] = draw_samples(np.random.default_rng(seed), 1, DIMENSION)
        new = NewSample(sample.fingerprint, sample.values)
        await world.store.enroll(Enrollment(GALLERY, world.settings.digest, "a", [new]))

    rng = np.random.default_rng()
    await world.back_up(rng)
    await enroll(1)
    await world.follow(rng)

    await world.restore(rng)
    await enroll(2)
    await world.follow(rng)

    assert world.agrees()


@pytest.mark.parametrize("meanwhile", ["anew", "more", "gone"])
async def test_who_changes_while_all_is_read_is_there_as_the_store_has_him(
    world: World, meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one read of the store for each identity, and a change behind the first of them."""

    async def enroll(name: str, seed: int) -> None:
        [sample] = draw_samples(np.random.default_rng(seed), 1, DIMENSION)
        new = NewSample(sample.fingerprint, sample.values)
        await world.store.enroll(Enrollment(GALLERY, world.settings.digest, name, [new]))

    for seed, name in enumerate("abcd"):
        await enroll(name, seed)
    monkeypatch.setattr(redis_store, "_CHUNK", 1)
    load, read = world.store.load, []

    async def load_and_change(gallery: str, at: Position) -> AsyncIterator[References]:
        async for references in load(gallery, at):
            read.extend(references.names.values())
            yield references
            if len(read) == 1:
                if meanwhile != "more":
                    await world.store.forget_identity(GALLERY, "a")
                if meanwhile != "gone":
                    await enroll("a", 9)

    monkeypatch.setattr(world.store, "load", load_and_change)
    await world.make_follow_anew()

    assert read == ["a", "b", "c", "d", *(["a"] if meanwhile == "anew" else [])]
    assert world.agrees()
