"""What every store keeps to of galleries that are edited, and of edits undone, on each server."""

import random
from dataclasses import replace

import numpy as np
import pytest

from models_store import Sample
from service.store.durable_redis import DurableRedis
from service.store.edits import EditStore
from service.store.errors import (
    EditConflict,
    IdempotencyKeyReused,
    IdentityExists,
    MigrationConflict,
    ModelMismatch,
    RejectionsFull,
    UnknownEdit,
    UnknownGallery,
    UnknownIdentity,
    UnknownRejection,
    UnknownSample,
)
from service.store.kept import Enrollment, GallerySettings, NewSample
from service.store.redis_edits import RedisEdits
from service.store.redis_migrations import RedisMigrations
from service.store.redis_store import RedisIdentityStore

pytestmark = pytest.mark.anyio

MODEL = "a" * 64
SETTINGS = GallerySettings("staff", "drawings@1", MODEL, keep_samples=True)


@pytest.fixture
async def store(redis: DurableRedis) -> RedisIdentityStore:
    store = RedisIdentityStore(redis)
    await store.create_gallery(SETTINGS)
    return store


@pytest.fixture
def edits(redis: DurableRedis, store: RedisIdentityStore) -> EditStore:
    return RedisEdits(redis)


def at(number: int) -> NewSample:
    """A sample whose embedding and bytes are found in any file."""
    embedding = np.frombuffer(f"embedding-{number:06}".encode(), "<f4")
    return NewSample(f"{number:064x}", embedding, original=Sample(f"sent {number}".encode(), None))


async def enroll(
    store: RedisIdentityStore, identity: str, *numbers: int, metadata: dict | None = None
) -> list[int]:
    asked = Enrollment("staff", MODEL, identity, [at(n) for n in numbers], metadata)
    return [sample.id for sample in (await store.enroll(asked)).samples]


async def whole(store: RedisIdentityStore) -> dict[str, object]:
    """Everything that is kept of everybody, originals too, and what the counters say of it."""
    state = await store.gallery("staff")
    kept: dict[str, object] = {}
    sent = samples = 0
    async for identities in store.everything("staff", state.position):
        for one in identities:
            ids = [sample.id for sample in one.samples]
            originals = await store.originals("staff", one.number, ids)
            kept[one.name] = (
                one.number,
                one.created,
                one.metadata,
                [(s.id, s.fingerprint, s.created, s.embedding.tobytes()) for s in one.samples],
                originals,
            )
            samples += len(ids)
            sent += sum(len(each.content) + 1 for each in originals if each)
    assert (state.identities, state.samples) == (len(kept), samples)
    assert state.kept_bytes == sent
    return kept


async def samples_of(store: RedisIdentityStore, identity: str) -> list[int]:
    return [sample.id for sample in (await store.identity("staff", identity)).samples]


async def bytes_held(redis: DurableRedis) -> bytes:
    """Every byte of every key of every kind."""
    held = []
    for key in await redis.read("KEYS", "*"):
        kind = (await redis.read("TYPE", key)).decode()
        command = {
            "hash": ("HGETALL", key),
            "zset": ("ZRANGE", key, 0, -1),
            "set": ("SMEMBERS", key),
            "stream": ("XRANGE", key, "-", "+"),
            "string": ("GET", key),
        }[kind]
        held.append(repr(await redis.read(*command)).encode())
    return b"\n".join(held)


# Renaming


async def test_who_is_renamed_keeps_number_metadata_and_samples(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    await enroll(store, "Ada", 1, 2, metadata={"role": "clerk"})
    before = await whole(store)

    done = await edits.rename("staff", "Ada", "Ada L.")

    assert await whole(store) == {"Ada L.": before["Ada"]}
    assert done.change is not None
    assert (done.version, done.change.operation, done.change.identities) == (2, "rename", (1,))


async def test_a_name_that_somebody_has_is_refused_and_changes_nothing(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    await enroll(store, "Ada", 1)
    await enroll(store, "Bea", 2)
    before = await store.gallery("staff")

    with pytest.raises(IdentityExists):
        await edits.rename("staff", "Ada", "Bea")
    with pytest.raises(UnknownIdentity):
        await edits.rename("staff", "Cleo", "Dot")
    same = await edits.rename("staff", "Ada", "Ada")

    assert (same.change, same.version) == (None, before.version)
    assert await store.gallery("staff") == before


# Merging and splitting


async def test_who_is_merged_is_no_more_and_all_samples_keep_their_ids(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    ada = await enroll(store, "Ada", 1, 2, metadata={"role": "clerk"})
    bea = await enroll(store, "Bea", 3, metadata={"role": "guest"})

    done = await edits.merge("staff", "Bea", "Ada")

    [(name, (number, _, metadata, samples, originals))] = (await whole(store)).items()
    assert (name, number, metadata) == ("Ada", 1, {"role": "clerk"})
    assert [id_ for id_, *_ in samples] == [*ada, *bea]
    assert [sent.content for sent in originals] == [b"sent 1", b"sent 2", b"sent 3"]
    assert done.change is not None
    assert done.change.identities == (1, 2)
    assert done.change.samples == tuple(bea)


async def test_samples_are_split_off_to_somebody_new_or_moved_to_somebody_there(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    ada = await enroll(store, "Ada", 1, 2, 3)
    bea = await enroll(store, "Bea", 4)

    await edits.split("staff", "Ada", ada[1:2], "Cleo")
    await edits.split("staff", "Ada", ada[2:], "Bea")

    assert await samples_of(store, "Ada") == ada[:1]
    assert await samples_of(store, "Bea") == [*ada[2:], *bea]
    assert await samples_of(store, "Cleo") == ada[1:2]


async def test_what_is_not_there_is_neither_merged_nor_split_off(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    ada = await enroll(store, "Ada", 1, 2)
    bea = await enroll(store, "Bea", 3)
    before = await whole(store)

    for attempt in (
        edits.merge("staff", "Cleo", "Ada"),
        edits.merge("staff", "Ada", "Cleo"),
        edits.split("staff", "Cleo", ada, "Ada"),
    ):
        with pytest.raises(UnknownIdentity):
            await attempt
    for ids in ([*ada, *bea], [99]):
        with pytest.raises(UnknownSample):
            await edits.split("staff", "Ada", ids, "Dot")
    with pytest.raises(UnknownGallery):
        await edits.merge("nobody", "Ada", "Bea")

    assert await whole(store) == before
    assert (await store.gallery("staff")).version == 2


async def test_a_sample_that_the_other_has_too_is_one_sample_then_and_two_again_undone(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    ada = await enroll(store, "Ada", 1, 2)
    await enroll(store, "Bea", 2, 3)
    before = await whole(store)

    await edits.merge("staff", "Bea", "Ada")
    assert await samples_of(store, "Ada") == [*ada, 4]
    await whole(store)
    await edits.undo("staff", None, settings=True)

    assert await whole(store) == before


# Undoing


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_was_edited_is_as_before_once_all_of_it_is_undone(
    store: RedisIdentityStore, edits: EditStore, seed: int
) -> None:
    rng = random.Random(seed)
    names = ["Ada", "Bea", "Cleo", "Dot"]
    for name in names:
        await enroll(store, name, *rng.sample(range(8), 4), metadata={"of": name})
    states = []

    for _ in range(60):
        states.append(await whole(store))
        a, b = rng.choices(sorted({*states[-1], *names, "Eve"}), k=2)
        try:
            kind = rng.choice(["rename", "merge", "split"])
            if kind == "rename":
                done = await edits.rename("staff", a, b)
            elif kind == "merge":
                done = await edits.merge("staff", a, b)
            else:
                ids = await samples_of(store, a)
                done = await edits.split("staff", a, rng.sample(ids, (len(ids) + 1) // 2), b)
        except (UnknownIdentity, IdentityExists, EditConflict):
            done = None
        if done is None or done.change is None:
            states.pop()
    assert len(states) > 5
    for state in reversed(states):
        await edits.undo("staff", None, settings=True)
        assert await whole(store) == state

    with pytest.raises(UnknownEdit):
        await edits.undo("staff", None, settings=True)


async def test_any_edit_is_undone_by_its_version_while_others_came_after_it(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    await enroll(store, "Ada", 1)
    await enroll(store, "Bea", 2)
    merged = await edits.merge("staff", "Bea", "Ada")
    renamed = await edits.rename("staff", "Ada", "Ada L.")
    await enroll(store, "Ada L.", 3)

    undone = await edits.undo("staff", merged.version, settings=True)

    assert (undone.undone, undone.operation) == (merged.version, "merge")
    assert await samples_of(store, "Bea") == [2]
    assert await samples_of(store, "Ada L.") == [1, 3]
    assert [edit.version for edit in await edits.edits("staff")] == [renamed.version]
    with pytest.raises(UnknownEdit):
        await edits.undo("staff", merged.version, settings=True)


async def test_what_something_rests_on_is_not_undone_and_the_reason_is_told(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    for name, number in (("Ada", 1), ("Bea", 2), ("Cleo", 3)):
        await enroll(store, name, number)
    cases = []

    merged = await edits.merge("staff", "Bea", "Ada")
    await edits.split("staff", "Ada", [2], "Dot")
    cases.append((merged.version, "sample 2 was moved on"))
    renamed = await edits.rename("staff", "Cleo", "Cy")
    await edits.rename("staff", "Cy", "Cyd")
    cases.append((renamed.version, "renamed again"))
    split = await edits.split("staff", "Cyd", [3], "Eve")
    await enroll(store, "Cyd", 3)
    cases.append((split.version, "enrolled again"))
    taken = await edits.rename("staff", "Dot", "Dora")
    await enroll(store, "Dot", 9)
    cases.append((taken.version, "has the name"))
    before = await whole(store)

    for version, why in cases:
        with pytest.raises(EditConflict, match=why):
            await edits.undo("staff", version, settings=True)
    assert await whole(store) == before


async def test_an_edit_is_done_once_for_each_key(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    await enroll(store, "Ada", 1)
    await enroll(store, "Bea", 2)

    first = await edits.merge("staff", "Bea", "Ada", "once")
    again = await edits.merge("staff", "Bea", "Ada", "once")
    undone = await edits.undo("staff", None, settings=True, idempotency_key="back")
    twice = await edits.undo("staff", None, settings=True, idempotency_key="back")

    assert (again.version, again.change, again.replayed) == (first.version, first.change, True)
    assert (twice.version, twice.undone, twice.replayed) == (undone.version, undone.undone, True)
    assert (await store.gallery("staff")).version == 4
    with pytest.raises(IdempotencyKeyReused):
        await edits.rename("staff", "Bea", "Dot", "once")


# Settings


async def test_settings_are_replaced_if_they_are_those_expected_and_undone(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    after = replace(SETTINGS, target_fpir=0.1, rule="mean")

    change = await edits.patch(SETTINGS, after)

    assert (change.operation, change.identities) == ("patch", ())
    assert (await store.gallery("staff")).settings == after
    with pytest.raises(EditConflict):
        await edits.patch(SETTINGS, replace(SETTINGS, target_fpir=0.2))
    with pytest.raises(UnknownEdit):
        await edits.undo("staff", None, settings=False)
    await edits.undo("staff", change.version, settings=True)
    assert (await store.gallery("staff")).settings == SETTINGS


async def test_settings_that_were_changed_again_are_not_undone(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    first = await edits.patch(SETTINGS, replace(SETTINGS, target_fpir=0.1))
    await edits.patch(replace(SETTINGS, target_fpir=0.1), replace(SETTINGS, target_fpir=0.2))

    with pytest.raises(EditConflict, match="changed again"):
        await edits.undo("staff", first.version, settings=True)


# Rejections


async def rejected(store: RedisIdentityStore) -> list[tuple[int, bytes]]:
    kept = await store.rejections("staff", (await store.gallery("staff")).position)
    return [(each.identity, each.embedding.tobytes()) for each in kept]


async def test_a_rejection_is_remembered_once_and_until_it_is_taken_back(
    store: RedisIdentityStore, edits: EditStore
) -> None:
    await enroll(store, "Ada", 1)
    probe = at(7).embedding

    first = await edits.reject("staff", MODEL, "Ada", probe)
    again = await edits.reject("staff", MODEL, "Ada", probe)

    assert first.change is not None
    assert (first.change.operation, first.change.identities) == ("reject", (1,))
    assert (again.id, again.version, again.change) == (first.id, first.version, None)
    assert await rejected(store) == [(1, probe.tobytes())]
    change = await edits.accept("staff", first.id)
    assert (change.operation, change.identities) == ("accept", (1,))
    assert await rejected(store) == []
    assert await store.owes_rewrite()
    with pytest.raises(UnknownRejection):
        await edits.accept("staff", first.id)


async def test_a_rejection_of_nobody_of_another_model_or_too_many_is_refused(
    store: RedisIdentityStore, redis: DurableRedis
) -> None:
    few = RedisEdits(redis, rejections=2)
    await enroll(store, "Ada", 1)
    await few.reject("staff", MODEL, "Ada", at(7).embedding)
    await few.reject("staff", MODEL, "Ada", at(8).embedding)
    before = await store.gallery("staff")

    with pytest.raises(RejectionsFull):
        await few.reject("staff", MODEL, "Ada", at(9).embedding)
    with pytest.raises(UnknownIdentity):
        await few.reject("staff", MODEL, "Bea", at(7).embedding)
    with pytest.raises(ModelMismatch):
        await few.reject("staff", "b" * 64, "Ada", at(7).embedding)
    with pytest.raises(ModelMismatch):
        await few.reject("staff", MODEL, "Ada", np.ones(3, np.float32))

    assert await store.gallery("staff") == before


async def test_rejections_go_with_who_is_merged_come_back_and_are_forgotten_with_them(
    store: RedisIdentityStore, edits: EditStore, redis: DurableRedis
) -> None:
    await enroll(store, "Ada", 1)
    await enroll(store, "Bea", 2)
    await edits.reject("staff", MODEL, "Ada", at(7).embedding)
    await edits.reject("staff", MODEL, "Bea", at(8).embedding)

    await edits.merge("staff", "Bea", "Ada")
    assert [number for number, _ in await rejected(store)] == [1, 1]
    await edits.undo("staff", None, settings=True)
    assert [number for number, _ in await rejected(store)] == [1, 2]
    await edits.merge("staff", "Bea", "Ada")
    await store.forget_identity("staff", "Ada")

    assert await rejected(store) == []
    held = await bytes_held(redis)
    assert b"embedding-000007" not in held
    assert b"embedding-000008" not in held


# Beside forgetting, deleting and a second comparator


async def test_forgetting_leaves_no_byte_of_a_name_or_embedding_in_what_could_be_undone(
    store: RedisIdentityStore, edits: EditStore, redis: DurableRedis
) -> None:
    await enroll(store, "Ada-name", 1, 2)
    await enroll(store, "Bea-name", 2, 3, metadata={"secret": "Bea-metadata"})
    await enroll(store, "Cleo-name", 2)
    await enroll(store, "Zoe-name", 50)
    await edits.merge("staff", "Bea-name", "Ada-name")
    await edits.merge("staff", "Ada-name", "Cleo-name")
    await edits.rename("staff", "Cleo-name", "Cy-name")
    await edits.rename("staff", "Zoe-name", "Zora-name")
    held = await bytes_held(redis)
    assert all(word in held for word in (b"Bea-name", b"Bea-metadata", b"embedding-000002"))

    await store.forget_identity("staff", "Cy-name")

    held = await bytes_held(redis)
    for word in ("Ada-name", "Bea-name", "Cleo-name", "Cy-name", "Bea-metadata", "sent 2"):
        assert word.encode() not in held
    for number in (1, 2, 3):
        assert f"embedding-{number:06}".encode() not in held
    assert await store.owes_rewrite()
    await edits.undo("staff", None, settings=True)
    assert list(await whole(store)) == ["Zoe-name"]


async def test_a_sample_that_is_forgotten_stays_so_when_what_moved_it_is_undone(
    store: RedisIdentityStore, edits: EditStore, redis: DurableRedis
) -> None:
    await enroll(store, "Ada", 1)
    await enroll(store, "Bea", 1, 2, 3)
    await edits.merge("staff", "Bea", "Ada")

    await store.forget_sample("staff", "Ada", 1)
    await store.forget_sample("staff", "Ada", 3)
    held = await bytes_held(redis)
    await edits.undo("staff", None, settings=True)

    assert b"embedding-000001" not in held
    assert b"embedding-000002" not in held
    assert await samples_of(store, "Ada") == []
    assert await samples_of(store, "Bea") == [4]
    await whole(store)


async def test_only_so_many_edits_can_be_undone_and_what_the_others_took_is_gone(
    store: RedisIdentityStore, redis: DurableRedis
) -> None:
    few = RedisEdits(redis, most=2)
    await enroll(store, "name-0", 1)
    for i in range(4):
        await few.rename("staff", f"name-{i}", f"name-{i + 1}")

    held = await bytes_held(redis)

    assert len(await few.edits("staff")) == 2
    assert b"name-1" not in held
    assert b"name-2" in held
    assert await store.owes_rewrite()


async def test_a_deleted_gallery_leaves_no_key_of_its_edits(
    store: RedisIdentityStore, edits: EditStore, redis: DurableRedis
) -> None:
    await enroll(store, "Ada", 1)
    await edits.rename("staff", "Ada", "Bea")

    await store.delete_gallery("staff")
    await store.rewrite()

    assert await redis.read("KEYS", "*") == []


async def test_a_gallery_with_two_comparators_is_not_edited_until_it_has_one(
    store: RedisIdentityStore, edits: EditStore, redis: DurableRedis
) -> None:
    await enroll(store, "Ada", 1)
    await enroll(store, "Bea", 2)
    await edits.rename("staff", "Ada", "Ada L.")
    migrations = RedisMigrations(redis, store)
    shadow = replace(SETTINGS, comparator="drawings@2", digest="b" * 64)
    state = await store.gallery("staff")
    await migrations.begin(state, 4, shadow, 3, automatic=False, leave_behind=False)
    beside = (await migrations.migration("staff")).beside

    for attempt in (
        edits.rename("staff", "Bea", "Bo"),
        edits.merge("staff", "Bea", "Ada L."),
        edits.split("staff", "Bea", [2], "Bo"),
        edits.patch(SETTINGS, replace(SETTINGS, target_fpir=0.1)),
        edits.undo("staff", None, settings=True),
    ):
        with pytest.raises(MigrationConflict):
            await attempt
    await migrations.end("staff", beside)

    await edits.undo("staff", None, settings=True)
    assert await samples_of(store, "Ada") == [1]


async def test_edits_are_told_by_the_names_of_now_and_the_log_names_nobody(
    store: RedisIdentityStore, edits: EditStore, redis: DurableRedis
) -> None:
    state = await store.gallery("staff")
    ada = await enroll(store, "Ada-name", 1, 2)
    await enroll(store, "Bea-name", 3)
    await edits.split("staff", "Ada-name", ada[1:], "Cleo-name")
    await edits.merge("staff", "Bea-name", "Ada-name")
    await edits.rename("staff", "Ada-name", "Ann-name")
    await edits.patch(SETTINGS, replace(SETTINGS, target_fpir=0.1))

    patch, rename, merge, split = await edits.edits("staff")

    assert (rename.identity, rename.name, rename.to) == ("Ann-name", "Ada-name", "Ann-name")
    assert (merge.identity, merge.other, merge.name) == ("Ann-name", None, "Bea-name")
    assert (split.identity, split.other, split.samples) == ("Ann-name", "Cleo-name", (2,))
    assert (patch.before, patch.after) == (SETTINGS, replace(SETTINGS, target_fpir=0.1))
    changes = await store.changes("staff", state.position)
    assert all(change.is_intact() for change in changes)
    prefix = f"kindred:{{staff}}:{state.position.lineage}:"
    assert b"-name" not in repr(await redis.read("XRANGE", f"{prefix}log", "-", "+")).encode()
