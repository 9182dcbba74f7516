"""A replica follows edits to where the store is, in steps of any size, and loses nobody on it."""

import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from index import Identifier, NumpyGallery
from models_store import Comparator, open_shelf
from service.replicas.replica import Replica
from service.replicas.snapshots import Snapshots
from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from service.store.errors import (
    EditConflict,
    IdentityExists,
    StoreUnavailable,
    UnknownEdit,
    UnknownIdentity,
)
from service.store.intake import Intake
from service.store.kept import Change, Enrollment, GallerySettings, NewSample, Position, Rejection
from service.store.redis_edits import RedisEdits
from service.store.redis_store import RedisIdentityStore

pytestmark = pytest.mark.anyio


class NoMoreThreads(ThreadPoolExecutor):
    """Takes work on, and says that no thread starts for it, as the library does."""

    def submit(self, *work: Any, **words: Any) -> Any:
        super().submit(*work, **words)
        raise RuntimeError("can't start new thread")


NAMES = ["Ada", "Bea", "Cleo", "Dot", "Eve"]


class StepByStep(RedisIdentityStore):
    """Tells one change at a time, while references are always those of now."""

    async def changes(self, gallery: str, since: Position, limit: int = 1000) -> list[Change]:
        return await super().changes(gallery, since, min(limit, 1))


class Lost(RedisIdentityStore):
    """Is gone once it has told so many changes, and whenever rejections are read."""

    def __init__(self, redis: DurableRedis, changes: int) -> None:
        super().__init__(redis)
        self._left = changes

    async def changes(self, gallery: str, since: Position, limit: int = 1000) -> list[Change]:
        if not self._left:
            raise StoreUnavailable("it is gone")
        told = await super().changes(gallery, since, self._left)
        self._left -= len(told)
        return told

    async def rejections(self, gallery: str, at: Position) -> list[Rejection]:
        raise StoreUnavailable("it is gone")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[DurableRedis]:
    async with EmbeddedRedis(tmp_path / "store") as embedded:
        redis = DurableRedis(embedded.url)
        yield redis
        await redis.close()


@pytest.fixture(scope="module")
def model(bundles: Path) -> Comparator:
    return open_shelf(bundles, "cpu").comparators["tiny@1"]


def sample(seed: int) -> NewSample:
    row = np.random.default_rng(seed).normal(size=32)
    return NewSample(f"{seed:064x}", (row / np.linalg.norm(row)).astype(np.float32))


async def load(store: RedisIdentityStore, model: Comparator, folder: Path) -> Replica:
    def empty(*_: object) -> Identifier:
        return Identifier(lambda: NumpyGallery(32, "cosine"), model.score, model.cohort)

    return await Replica.load(
        store,
        await store.gallery("staff"),
        model,
        empty,
        ThreadPoolExecutor(1),
        Snapshots(folder, lambda _: None),
    )


def held(replica: Replica) -> dict[int, tuple[str, bytes]]:
    references, embeddings = replica.index.enrolled()
    rows = zip(references, embeddings, strict=True)
    return {each.key: (each.identity, row.tobytes()) for each, row in rows}


async def edit(store: RedisIdentityStore, edits: RedisEdits, rng: random.Random) -> None:
    a, b = rng.choices(NAMES, k=2)
    match rng.choice(["enroll", "rename", "merge", "split", "undo", "forget", "reject"]):
        case "enroll":
            digest = (await store.gallery("staff")).settings.digest
            new = [sample(rng.randrange(12)) for _ in range(2)]
            await store.enroll(Enrollment("staff", digest, a, new))
        case "rename":
            await edits.rename("staff", a, b)
        case "merge":
            await edits.merge("staff", a, b)
        case "split":
            ids = [each.id for each in (await store.identity("staff", a)).samples]
            await edits.split("staff", a, rng.sample(ids, (len(ids) + 1) // 2), b)
        case "undo":
            await edits.undo("staff", None, settings=True)
        case "forget":
            await store.forget_identity("staff", a)
        case "reject":
            digest = (await store.gallery("staff")).settings.digest
            await edits.reject("staff", digest, a, sample(99).embedding)


@pytest.mark.parametrize("kind", [RedisIdentityStore, StepByStep])
@pytest.mark.parametrize("seed", range(3))
async def test_whoever_follows_edits_has_what_whoever_reads_everything_has(
    redis: DurableRedis, model: Comparator, tmp_path: Path, seed: int, kind: type
) -> None:
    store, edits = kind(redis), RedisEdits(redis)
    await store.create_gallery(GallerySettings("staff", model.title, model.digest, rule="max"))
    follower = await load(store, model, tmp_path)
    rng = random.Random(seed)

    for step in range(80):
        try:
            await edit(store, edits, rng)
        except (UnknownIdentity, IdentityExists, EditConflict, UnknownEdit):
            continue
        if step % 9 == 0:
            await follower.catch_up(store)
    await follower.catch_up(store)
    reader = await load(store, model, tmp_path)

    assert follower.position == reader.position
    assert held(follower) == held(reader)
    assert follower.names == reader.names
    probes = np.stack([sample(seed).embedding for seed in range(12)])
    assert follower.index.identify(probes) == reader.index.identify(probes)


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_takes_in_own_writes_has_what_whoever_reads_everything_has(
    redis: DurableRedis, model: Comparator, tmp_path: Path, seed: int
) -> None:
    store, edits = RedisIdentityStore(redis), RedisEdits(redis)
    state = await store.create_gallery(
        GallerySettings("staff", model.title, model.digest, rule="max")
    )
    writer = await load(store, model, tmp_path)
    rng = random.Random(seed)
    steps = []

    for _ in range(60):
        if rng.random() < 0.3:  # somebody else comes between
            try:
                await edit(store, edits, rng)
            except (UnknownIdentity, IdentityExists, EditConflict, UnknownEdit):
                continue
        asked = [
            Enrollment("staff", model.digest, rng.choice(NAMES), [sample(rng.randrange(40))])
            for _ in range(rng.randrange(1, 6))
        ]
        intake = Intake.of(asked)
        done = await store.enroll_all(intake)
        changes = store.changes
        steps.append(0)

        async def counted(*words: Any, changes: Any = changes) -> list[Change]:
            steps[-1] += 1
            return await changes(*words)

        store.changes = counted  # type: ignore[method-assign]
        await writer.take_in(store, intake, done, monotonic())
        store.changes = changes  # type: ignore[method-assign]
        assert writer.version == max(done.versions)
    reader = await load(store, model, tmp_path)

    assert writer.position == reader.position
    assert held(writer) == held(reader)
    assert writer.names == reader.names
    assert 0 in steps  # what was written here is not read again …
    assert any(steps)  # … but where others wrote
    assert state.version == 0


@pytest.mark.parametrize("forgotten", [False, True])
async def test_who_lost_the_store_while_following_takes_in_own_writes_once(
    redis: DurableRedis, model: Comparator, tmp_path: Path, *, forgotten: bool
) -> None:
    store = RedisIdentityStore(redis)
    await store.create_gallery(GallerySettings("staff", model.title, model.digest, rule="max"))
    writer = await load(store, model, tmp_path)
    written = []
    for seed in (1, 2):
        intake = Intake.of([Enrollment("staff", model.digest, "Ada", [sample(seed)])])
        written.append((intake, await store.enroll_all(intake)))
    if forgotten:
        other = Intake.of([Enrollment("staff", model.digest, "Bea", [sample(3)])])
        written.append((other, await store.enroll_all(other)))
        await store.forget_identity("staff", "Bea")

    with pytest.raises(StoreUnavailable):
        await writer.catch_up(Lost(redis, changes=4 if forgotten else 1))
    for intake, done in written:
        await writer.take_in(store, intake, done, monotonic())
    await writer.catch_up(store)

    reader = await load(store, model, tmp_path)
    assert writer.position == reader.position
    assert held(writer) == held(reader)


@pytest.mark.parametrize("follows", [False, True])
async def test_who_broke_off_midway_is_read_anew_and_takes_in_what_comes_next(
    redis: DurableRedis, model: Comparator, tmp_path: Path, *, follows: bool
) -> None:
    """S10."""
    store = RedisIdentityStore(redis)
    await store.create_gallery(GallerySettings("staff", model.title, model.digest, rule="max"))
    writer = await load(store, model, tmp_path)
    written = []
    for seed in (1, 2, 3):
        intake = Intake.of([Enrollment("staff", model.digest, "Ada", [sample(seed)])])
        written.append((intake, await store.enroll_all(intake)))
    whole, writer.executor = writer.executor, NoMoreThreads(1)

    now = writer.catch_up(store) if follows else writer.take_in(store, *written[0], monotonic())
    with pytest.raises(RuntimeError):
        await now
    assert await writer.freeze() is None
    writer.executor = whole
    for intake, done in written:
        await writer.take_in(store, intake, done, monotonic())

    reader = await load(store, model, tmp_path)
    assert await writer.freeze() is not None
    assert writer.position == reader.position
    assert held(writer) == held(reader)
