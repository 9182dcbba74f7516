"""When snapshots are written and removed, on a real store."""

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from index import Identifier
from models_store import Comparator, open_shelf
from service.app import new_index
from service.replicas import stowing
from service.replicas.replica import Replica
from service.replicas.snapshots import Snapshots
from service.replicas.stowing import Stowage
from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from service.store.kept import Enrollment, GallerySettings, NewSample, StoredCohort
from service.store.redis_store import RedisIdentityStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def model(bundles: Path) -> Comparator:
    return open_shelf(bundles, "cpu").comparators["tiny@1"]


@pytest.fixture
async def store(tmp_path: Path, model: Comparator) -> AsyncIterator[RedisIdentityStore]:
    async with EmbeddedRedis(tmp_path) as embedded:
        store = RedisIdentityStore(DurableRedis(embedded.url))
        await store.create_gallery(GallerySettings("staff", model.title, model.digest))
        yield store
        await store.close()


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "snapshots")


@pytest.fixture
def load(
    store: RedisIdentityStore, model: Comparator, snapshots: Snapshots
) -> Callable[[], "asyncio.Future[Replica]"]:
    executor = ThreadPoolExecutor(2)

    async def load() -> Replica:
        state = await store.gallery("staff")
        return await Replica.load(store, state, model, new_index, executor, snapshots)

    return load


async def enroll(store: RedisIdentityStore, model: Comparator, name: str, *seeds: int) -> None:
    samples = []
    for seed in seeds:
        row = np.random.default_rng(seed).normal(size=32)
        row = (row / np.linalg.norm(row)).astype(np.float32)
        samples.append(NewSample(hashlib.sha256(row.tobytes()).hexdigest(), row))
    await store.enroll(Enrollment("staff", model.digest, name, samples))


async def test_a_snapshot_is_written_when_it_is_quiet_and_not_again_without_a_change(
    store, model, snapshots, load, monkeypatch
):
    await enroll(store, model, "a", 1)
    replica = await load()
    stowage = Stowage(snapshots, lambda: [replica])
    await stowage.look()
    assert snapshots.galleries() == []

    monkeypatch.setattr(stowing, "QUIET", 0.0)
    await stowage.look()

    [file] = (snapshots._folder).iterdir()
    written = file.stat().st_mtime_ns
    await stowage.look(closing=True)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("what", ["identity", "sample", "cohort"])
async def test_a_snapshot_with_what_was_taken_away_is_removed_at_the_next_look(
    store, model, snapshots, load, what
):
    await enroll(store, model, "a", 1, 2)
    await enroll(store, model, "b", 3)
    replica = await load()
    stowage = Stowage(snapshots, lambda: [replica])
    await stowage.look(closing=True)
    assert snapshots.galleries() == ["staff"]

    if what == "identity":
        change = await store.forget_identity("staff", "a")
    elif what == "sample":
        change = await store.forget_sample("staff", "a", 1)
    else:
        rows = np.eye(32, dtype=np.float32)[:20]
        change = await store.put_cohort("staff", model.digest, StoredCohort(rows, np.arange(20)))
    await replica.catch_up(store)
    assert stowage.holds(replica, change.version)
    await stowage.look()

    assert snapshots.galleries() == []
    assert not stowage.holds(replica, change.version)


async def test_files_of_no_gallery_and_files_that_were_not_used_are_removed(
    store, model, snapshots, load
):
    await enroll(store, model, "a", 1)
    first = await load()
    await Stowage(snapshots, lambda: [first]).look(closing=True)
    [file] = snapshots._folder.iterdir()
    file.with_name("gone.snapshot").write_bytes(file.read_bytes())
    file.write_bytes(b"spoilt")

    second = await load()
    stowage = Stowage(snapshots, lambda: [second])
    await stowage.look()
    await stowage.look()

    assert second.resumed is None
    assert snapshots.galleries() == []


async def test_nothing_is_touched_while_it_is_not_known_which_galleries_there_are(
    store, model, snapshots, load
):
    await enroll(store, model, "a", 1)
    replica = await load()
    await Stowage(snapshots, lambda: [replica]).look(closing=True)

    await Stowage(snapshots, lambda: None).look(closing=True)

    assert snapshots.galleries() == ["staff"]


async def test_a_folder_that_takes_no_files_stops_nothing(store, model, tmp_path, load):
    await enroll(store, model, "a", 1)
    replica = await load()
    (tmp_path / "file").write_bytes(b"")

    await Stowage(Snapshots(tmp_path / "file" / "snapshots"), lambda: [replica]).close()


async def test_a_replica_goes_on_when_whoever_asked_it_to_catch_up_is_cancelled(
    store, model, load, monkeypatch
):
    replica = await load()
    await enroll(store, model, "a", 1)
    begun, change_at_once = threading.Event(), Identifier.change

    def change_slowly(*arguments):
        begun.set()
        time.sleep(0.3)
        change_at_once(*arguments)

    monkeypatch.setattr(Identifier, "change", change_slowly)
    asked = asyncio.create_task(replica.catch_up(store))
    assert await asyncio.to_thread(begun.wait, 30)
    asked.cancel()
    await replica.catch_up(store)

    await enroll(store, model, "a", 2)
    await replica.catch_up(store)

    assert asked.cancelled()
    assert (replica.version, replica.index.samples) == (2, 2)
