"""What every store keeps to of originals and of second comparators, on each server."""

import asyncio
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from models_store import Sample
from service.store.durable_redis import DurableRedis
from service.store.errors import (
    MigrationConflict,
    ModelMismatch,
    OriginalsFull,
    OriginalsMissing,
    OutOfStep,
    UnknownMigration,
    UnknownSample,
)
from service.store.kept import Enrollment, GallerySettings, NewSample, Position, StoredCohort
from service.store.redis_migrations import RedisMigrations
from service.store.redis_store import RedisIdentityStore

pytestmark = pytest.mark.anyio

OLD, NEW = "a" * 64, "b" * 64
SETTINGS = GallerySettings("staff", "drawings@1", OLD, keep_samples=True)
AFTER = replace(SETTINGS, comparator="drawings@2", digest=NEW)


@pytest.fixture
async def store(redis: DurableRedis) -> RedisIdentityStore:
    store = RedisIdentityStore(redis, kept_bytes=1000)
    await store.create_gallery(SETTINGS)
    return store


@pytest.fixture
def migrations(redis: DurableRedis, store: RedisIdentityStore) -> RedisMigrations:
    return RedisMigrations(redis, store)


def content(name: str) -> bytes:
    return f"drawing {name}\0\xff".encode("latin-1")


def by_old(name: str) -> np.ndarray:
    """Two dimensions."""
    return np.frombuffer(hashlib.sha256(content(name)).digest()[:2], np.uint8).astype("f4")


def by_new(name: str) -> np.ndarray:
    """Three."""
    return np.frombuffer(hashlib.sha256(content(name)).digest()[2:5], np.uint8).astype("f4")


def sample(name: str, *, both: bool = False, kept: bool = True) -> NewSample:
    return NewSample(
        hashlib.sha256(content(name)).hexdigest(),
        by_old(name),
        by_new(name) if both else None,
        Sample(content(name), "image") if kept else None,
    )


def enrollment(identity: str, *samples: NewSample, key: str | None = None) -> Enrollment:
    both = any(each.beside is not None for each in samples)
    return Enrollment(
        "staff", OLD, identity, samples, idempotency_key=key, beside=NEW if both else None
    )


async def begin(store: RedisIdentityStore, migrations: RedisMigrations) -> str:
    state = await store.gallery("staff")
    await migrations.begin(state, 2, AFTER, 3, automatic=False, leave_behind=False)
    return (await migrations.migration("staff")).beside


async def build(store: RedisIdentityStore, migrations: RedisMigrations, beside: str) -> None:
    """Embed whatever is lacking, as the migrator does, from what is kept."""
    forward = (await migrations.migration("staff")).shadow.digest == NEW
    for after in (0, None):
        made: dict[int, dict[int, np.ndarray | None]] = {}
        for lacking in await migrations.lacking("staff", beside, after, 1000):
            kept = await store.originals("staff", lacking.number, list(lacking.samples))
            names = [k.content.decode("latin-1")[8:-2] for k in kept if k is not None]
            embed = by_new if forward else by_old
            made[lacking.number] = {
                id_: embed(name) for id_, name in zip(lacking.samples, names, strict=True)
            }
        if made:
            await migrations.mirror("staff", beside, made)
    await migrations.note("staff", beside, passed=1)


async def held(store: RedisIdentityStore, lineage: str) -> dict[tuple[str, int], bytes]:
    """All references of a lineage."""
    found = {}
    async for some in store.load("staff", Position(lineage, 0, "")):
        rows = zip(some.identities.tolist(), some.samples.tolist(), some.embeddings, strict=True)
        found |= {(some.names[number], id_): row.tobytes() for number, id_, row in rows}
    return found


def ids(enrolled: object) -> list[int]:
    return [each.id for each in enrolled.samples]  # type: ignore[attr-defined]  # an Enrolled


# Originals


async def test_originals_come_back_byte_for_byte_and_a_start_does_not_read_them(
    store: RedisIdentityStore,
) -> None:
    done = await store.enroll(enrollment("Ada", sample("x"), sample("y", kept=False)))

    kept = await store.originals("staff", done.identity, [*ids(done), 99])

    assert kept == [Sample(content("x"), "image"), None, None]
    lineage = (await store.gallery("staff")).position.lineage
    assert await held(store, lineage) == {
        ("Ada", 1): by_old("x").tobytes(),
        ("Ada", 2): by_old("y").tobytes(),
    }


async def test_a_gallery_that_was_not_made_to_keep_samples_keeps_none(
    store: RedisIdentityStore, redis: DurableRedis
) -> None:
    await store.create_gallery(replace(SETTINGS, name="other", keep_samples=False))

    done = await store.enroll(Enrollment("other", OLD, "Ada", [sample("x")]))

    assert await store.originals("other", done.identity, ids(done)) == [None]
    assert [k for k in await redis.read("KEYS", "*") if b"originals" in k] == []


async def test_an_original_is_made_up_for_by_sending_the_sample_again(
    store: RedisIdentityStore,
) -> None:
    first = await store.enroll(enrollment("Ada", sample("x", kept=False)))

    again = await store.enroll(enrollment("Ada", sample("x")))

    assert [each.outcome for each in again.samples] == ["duplicate"]
    assert await store.originals("staff", first.identity, ids(first)) == [
        Sample(content("x"), "image")
    ]
    assert again.version == 2
    assert (await store.enroll(enrollment("Ada", sample("x")))).version == 2


async def test_a_gallery_keeps_no_more_bytes_than_it_may_and_refuses_whole(
    store: RedisIdentityStore,
) -> None:
    large = [NewSample(f"{i:064x}", by_old("x"), None, Sample(bytes(300))) for i in range(4)]
    await store.enroll(enrollment("Ada", *large[:3]))
    before = await store.gallery("staff")

    with pytest.raises(OriginalsFull, match="1000 bytes"):
        await store.enroll(enrollment("Bea", large[3]))

    assert await store.gallery("staff") == before
    await store.enroll(enrollment("Ada", *large[:3]))  # which are kept already
    await store.forget_sample("staff", "Ada", 1)
    await store.enroll(enrollment("Bea", large[3]))
    assert (await store.gallery("staff")).kept_bytes == 903


async def test_what_is_forgotten_takes_its_originals_along(
    store: RedisIdentityStore, redis: DurableRedis
) -> None:
    ada = await store.enroll(enrollment("Ada", sample("x"), sample("y")))
    await store.enroll(enrollment("Bea", sample("z")))

    await store.forget_sample("staff", "Ada", ids(ada)[0])
    left = await store.originals("staff", ada.identity, ids(ada))
    await store.forget_identity("staff", "Ada")
    gone = await store.originals("staff", ada.identity, ids(ada))
    kept_bytes = (await store.gallery("staff")).kept_bytes
    await store.delete_gallery("staff")
    await store.rewrite()

    assert left == [None, Sample(content("y"), "image")]
    assert gone == [None, None]
    assert kept_bytes == len(b"image ") + len(content("z"))
    assert await redis.read("KEYS", "*") == []


# A second comparator


async def test_a_gallery_that_kept_nothing_cannot_be_migrated_and_holds_no_trace_of_it(
    store: RedisIdentityStore, migrations: RedisMigrations, redis: DurableRedis
) -> None:
    await store.enroll(enrollment("Ada", sample("x", kept=False)))
    before = set(await redis.read("KEYS", "*")), await store.gallery("staff")

    with pytest.raises(OriginalsMissing):
        await begin(store, migrations)

    assert (set(await redis.read("KEYS", "*")) - {b"kindred:{erasure}:owed"}, before[1]) == (
        before[0],
        await store.gallery("staff"),
    )
    with pytest.raises(UnknownMigration):
        await migrations.migration("staff")


async def test_a_shadow_is_built_beside_and_put_in_force_whole(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x"), sample("y")))
    await store.enroll(enrollment("Bea", sample("z")))
    before = await store.gallery("staff")

    beside = await begin(store, migrations)
    with pytest.raises(MigrationConflict):
        await migrations.switch("staff", beside, leave_behind=True)
    await build(store, migrations, beside)
    meanwhile = await store.gallery("staff")
    after = await migrations.switch("staff", beside, leave_behind=False)

    assert meanwhile == replace(before, beside=NEW)
    assert after.settings == AFTER
    assert (after.version, after.identities, after.samples) == (before.version + 1, 2, 3)
    assert after.position.lineage == beside != before.position.lineage
    assert await held(store, beside) == {
        ("Ada", 1): by_new("x").tobytes(),
        ("Ada", 2): by_new("y").tobytes(),
        ("Bea", 3): by_new("z").tobytes(),
    }
    with pytest.raises(OutOfStep):
        await store.changes("staff", before.position)
    with pytest.raises(ModelMismatch):
        await store.enroll(enrollment("Cleo", sample("u")))


async def test_what_is_enrolled_during_a_migration_is_in_both_or_waits_for_it(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    beside = await begin(store, migrations)
    await build(store, migrations, beside)

    await store.enroll(enrollment("Ada", sample("y", both=True)))
    assert (await migrations.migration("staff")).level
    await store.enroll(enrollment("Bea", sample("z")))  # by a service that has not heard of it
    waiting = await migrations.migration("staff")
    with pytest.raises(MigrationConflict):
        await migrations.switch("staff", beside, leave_behind=True)
    await build(store, migrations, beside)

    assert (waiting.state, waiting.pending, waiting.left) == ("building", 1, 0)
    assert (await migrations.migration("staff")).state == "ready"
    assert list((await held(store, beside)).values()) == [
        by_new(name).tobytes() for name in ("x", "y", "z")
    ]


async def test_an_enrollment_embedded_by_both_before_a_switch_is_right_after_it(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    lineage = (await store.gallery("staff")).position.lineage
    beside = await begin(store, migrations)
    await build(store, migrations, beside)
    in_flight = enrollment("Bea", sample("z", both=True), key="once")

    await migrations.switch("staff", beside, leave_behind=False)
    done = await store.enroll(in_flight)

    assert (await held(store, beside))["Bea", ids(done)[0]] == by_new("z").tobytes()
    assert (await held(store, lineage))["Bea", ids(done)[0]] == by_old("z").tobytes()
    assert (await store.enroll(in_flight)).replayed


async def test_idempotency_keys_are_remembered_through_a_switch_and_back(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    first = await store.enroll(enrollment("Ada", sample("x"), key="once"))
    beside = await begin(store, migrations)
    await build(store, migrations, beside)
    lineage = (await store.gallery("staff")).position.lineage

    for target in (beside, lineage):
        await migrations.switch("staff", target, leave_behind=False)
        again = await store.enroll(
            Enrollment("staff", NEW, "Ada", [sample("x")], idempotency_key="once")
        )
        assert (again.replayed, again.samples, again.version) == (True, first.samples, 1)


async def test_what_is_forgotten_is_gone_from_both_although_an_embedding_comes_late(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    ada = await store.enroll(enrollment("Ada", sample("x"), sample("y")))
    bea = await store.enroll(enrollment("Bea", sample("z")))
    lineage = (await store.gallery("staff")).position.lineage
    beside = await begin(store, migrations)
    late = {
        ada.identity: {1: by_new("x"), 2: by_new("y")},
        bea.identity: {3: by_new("z")},
    }
    await migrations.mirror("staff", beside, late)

    await store.forget_identity("staff", "Bea")
    await store.forget_sample("staff", "Ada", 1)
    await migrations.mirror("staff", beside, late)

    assert list(await held(store, beside)) == list(await held(store, lineage)) == [("Ada", 2)]
    found = await migrations.migration("staff")
    assert (found.done, found.total, found.embeddings, found.samples) == (1, 1, 1, 1)


async def test_samples_that_cannot_be_embedded_are_told_and_not_left_behind_unasked(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    await store.enroll(enrollment("Bea", sample("y", kept=False)))
    cleo = await store.enroll(enrollment("Cleo", sample("z")))
    beside = await begin(store, migrations)
    await migrations.mirror("staff", beside, {cleo.identity: {3: None}})
    await build(store, migrations, beside)

    found = await migrations.migration("staff", names=10)
    assert (found.state, found.left, found.left_names) == ("ready", 2, ["Bea", "Cleo"])
    with pytest.raises(OriginalsMissing):
        await migrations.switch("staff", beside, leave_behind=False)
    await store.forget_identity("staff", "Cleo")
    assert (await migrations.migration("staff", names=10)).left_names == ["Bea"]
    state = await migrations.switch("staff", beside, leave_behind=True)

    assert (state.identities, state.samples) == (2, 1)
    assert (await store.identity("staff", "Bea")).samples == ()
    assert (await migrations.migration("staff")).left == 0


async def test_a_rollback_loses_neither_what_was_left_behind_nor_what_came_since(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    await store.enroll(enrollment("Bea", sample("y", kept=False)))
    old = (await store.gallery("staff")).position
    new = await begin(store, migrations)
    await build(store, migrations, new)
    await migrations.switch("staff", new, leave_behind=True)
    since = Enrollment(
        "staff",
        NEW,
        "Cleo",
        [replace(sample("z"), embedding=by_new("z"), beside=by_old("z"))],
        beside=OLD,
    )
    await store.enroll(since)
    unaware = Enrollment("staff", NEW, "Dot", [replace(sample("u"), embedding=by_new("u"))])
    await store.enroll(unaware)
    await build(store, migrations, old.lineage)

    state = await migrations.switch("staff", old.lineage, leave_behind=False)

    assert state.settings == SETTINGS
    assert await held(store, old.lineage) == {
        ("Ada", 1): by_old("x").tobytes(),
        ("Bea", 2): by_old("y").tobytes(),
        ("Cleo", 3): by_old("z").tobytes(),
        ("Dot", 4): by_old("u").tobytes(),
    }
    assert (state.identities, state.samples) == (4, 4)
    with pytest.raises(OutOfStep):  # the lineage is the same, its log is not
        await store.changes("staff", old)
    assert await store.changes("staff", state.position) == []
    assert (await migrations.migration("staff", names=5)).left_names == ["Bea"]


async def test_a_sample_that_only_the_comparator_before_has_can_be_forgotten(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    bea = await store.enroll(enrollment("Ada", sample("x"), sample("y", kept=False)))
    old = (await store.gallery("staff")).position.lineage
    new = await begin(store, migrations)
    await build(store, migrations, new)
    await migrations.switch("staff", new, leave_behind=True)
    assert list(await held(store, old)) == [("Ada", 1), ("Ada", 2)]

    await store.forget_sample("staff", "Ada", ids(bea)[1])

    assert list(await held(store, old)) == [("Ada", 1)]
    with pytest.raises(UnknownSample):
        await store.forget_sample("staff", "Ada", ids(bea)[1])


async def test_metadata_is_that_of_the_gallery_whatever_is_in_force(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    await store.update_metadata("staff", "Ada", {"a": 1})
    beside = await begin(store, migrations)
    await build(store, migrations, beside)
    await store.update_metadata("staff", "Ada", {"a": 2})

    await migrations.switch("staff", beside, leave_behind=False)

    assert (await store.identity("staff", "Ada")).metadata == {"a": 2}


async def test_own_strangers_stay_with_the_comparator_that_embedded_them(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    await store.put_cohort("staff", OLD, StoredCohort(np.ones((2, 2), "f4"), np.arange(2)))
    old = (await store.gallery("staff")).position
    new = await begin(store, migrations)
    await build(store, migrations, new)

    state = await migrations.switch("staff", new, leave_behind=False)
    assert await store.cohort("staff", state.position) is None
    with pytest.raises(OutOfStep):
        await store.cohort("staff", old)
    state = await migrations.switch("staff", old.lineage, leave_behind=False)

    assert await store.cohort("staff", state.position) is not None


@pytest.mark.parametrize("switched", [False, True])
async def test_an_ended_migration_leaves_one_comparator_and_no_other_key(
    store: RedisIdentityStore, migrations: RedisMigrations, redis: DurableRedis, switched: bool
) -> None:
    await store.enroll(enrollment("Ada", sample("x"), sample("y", kept=False)))
    old = (await store.gallery("staff")).position.lineage
    new = await begin(store, migrations)
    await build(store, migrations, new)
    if switched:
        await migrations.switch("staff", new, leave_behind=True)
    stays, goes = (new, old) if switched else (old, new)

    change = await migrations.end("staff", goes)

    state = await store.gallery("staff")
    assert (change.operation, change.version) == ("migration", state.version)
    assert change.is_intact()
    assert (state.beside, state.erased) == (None, state.version)
    assert state.position.lineage == stays
    keys = [key.decode() for key in await redis.read("KEYS", "*")]
    assert [key for key in keys if goes in key or "migration" in key or "doomed" in key] == []
    for ended in (
        migrations.migration("staff"),
        migrations.end("staff", goes),
        migrations.switch("staff", goes, leave_behind=True),
    ):
        with pytest.raises(UnknownMigration):
            await ended
    with pytest.raises(MigrationConflict):
        await migrations.mirror("staff", goes, {1: {1: by_new("x")}})


async def test_a_gallery_deleted_amid_a_migration_leaves_no_key(
    store: RedisIdentityStore, migrations: RedisMigrations, redis: DurableRedis
) -> None:
    await store.enroll(enrollment("Ada", sample("x"), key="once"))
    beside = await begin(store, migrations)
    await build(store, migrations, beside)
    await migrations.switch("staff", beside, leave_behind=False)

    await store.delete_gallery("staff")
    await store.rewrite()

    assert await redis.read("KEYS", "*") == []


async def test_of_two_migrations_or_switches_at_once_one_is_refused(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    state = await store.gallery("staff")

    begun = await asyncio.gather(
        *(
            migrations.begin(state, 2, AFTER, 3, automatic=False, leave_behind=False)
            for _ in range(2)
        ),
        return_exceptions=True,
    )
    beside = (await migrations.migration("staff")).beside
    await build(store, migrations, beside)
    switched = await asyncio.gather(
        *(migrations.switch("staff", beside, leave_behind=False) for _ in range(2)),
        return_exceptions=True,
    )

    for done in (begun, switched):
        assert sorted(isinstance(each, MigrationConflict) for each in done) == [False, True]
    assert (await store.gallery("staff")).settings == AFTER


async def test_one_worker_at_a_time_builds_and_another_once_it_is_silent(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    assert not await migrations.claim("staff", "a", 5)
    await store.enroll(enrollment("Ada", sample("x")))
    await begin(store, migrations)

    assert await migrations.claim("staff", "a", 5)
    assert not await migrations.claim("staff", "b", 5)
    assert await migrations.claim("staff", "a", 0.2)
    await asyncio.sleep(0.4)
    assert await migrations.claim("staff", "b", 5)


async def test_a_migration_is_not_swept_away_by_the_next_start(
    store: RedisIdentityStore, migrations: RedisMigrations
) -> None:
    await store.enroll(enrollment("Ada", sample("x")))
    beside = await begin(store, migrations)
    await build(store, migrations, beside)

    await store.sweep()

    assert (await migrations.migration("staff")).state == "ready"
    assert len(await held(store, beside)) == 1
