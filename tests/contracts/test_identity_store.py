"""What every identity store keeps to, on each server that it may stand on."""

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from service.store.durable_redis import DurableRedis
from service.store.errors import (
    GalleryExists,
    IdempotencyKeyReused,
    ModelMismatch,
    OutOfStep,
    UnknownGallery,
    UnknownIdentity,
    UnknownSample,
)
from service.store.identities import IdentityStore
from service.store.intake import Intake
from service.store.kept import (
    Enrolled,
    Enrollment,
    GallerySettings,
    NewSample,
    Position,
    References,
    StoredCohort,
)
from service.store.redis_store import RedisIdentityStore

pytestmark = pytest.mark.anyio

MODEL = "a" * 64
SETTINGS = GallerySettings("staff", "drawings@1", MODEL, rule="max", keep_samples=True)


@pytest.fixture
async def store(redis: DurableRedis) -> IdentityStore:
    store = RedisIdentityStore(redis)
    await store.create_gallery(SETTINGS)
    return store


def at(degrees: float) -> NewSample:
    """A point on the circle."""
    angle = np.radians(degrees)
    embedding = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return NewSample(hashlib.sha256(embedding.tobytes()).hexdigest(), embedding)


def enrollment(identity: str, *degrees: float, key: str | None = None) -> Enrollment:
    return Enrollment("staff", MODEL, identity, [at(d) for d in degrees], idempotency_key=key)


async def everything(store: IdentityStore) -> dict[tuple[str, int], bytes]:
    """All references by identity and sample, as a start-up reads them."""
    position = (await store.gallery("staff")).position
    found: dict[tuple[str, int], bytes] = {}
    async for references in store.load("staff", position):
        found |= rows(references)
    return found


def rows(references: References) -> dict[tuple[str, int], bytes]:
    return {
        (references.names[number], sample): embedding.tobytes()
        for number, sample, embedding in zip(
            references.identities.tolist(),
            references.samples.tolist(),
            references.embeddings,
            strict=True,
        )
    }


def ids(enrolled: Enrolled) -> list[int]:
    return [sample.id for sample in enrolled.samples]


# Galleries


async def test_a_new_gallery_is_empty_at_version_0_and_keeps_its_settings(
    store: IdentityStore,
) -> None:
    state = await store.gallery("staff")

    assert state.settings == SETTINGS
    assert (state.version, state.identities, state.samples) == (0, 0, 0)
    assert await store.changes("staff", state.position) == []


async def test_galleries_are_listed_by_name_and_counted(store: IdentityStore) -> None:
    await store.create_gallery(GallerySettings("guests~1", "drawings@1", MODEL))
    await store.enroll(enrollment("Ada", 0, 60))
    await store.enroll(enrollment("Bea", 90))

    guests, staff = await store.galleries()

    assert [guests.settings.name, staff.settings.name] == ["guests~1", "staff"]
    assert (staff.version, staff.identities, staff.samples) == (2, 2, 3)


async def test_a_name_is_given_to_one_gallery_only(store: IdentityStore) -> None:
    before = await store.gallery("staff")

    with pytest.raises(GalleryExists):
        await store.create_gallery(GallerySettings("staff", "other@2", "b" * 64))

    assert await store.galleries() == [before]


async def test_an_unknown_gallery_is_said_to_be_unknown(store: IdentityStore) -> None:
    nowhere = Position("0" * 32, 0, "0" * 32)
    cohort = StoredCohort(np.ones((1, 2), np.float32), np.arange(1))

    for attempt in (
        store.gallery("nobody"),
        store.delete_gallery("nobody"),
        store.enroll(Enrollment("nobody", MODEL, "Ada", [at(0)])),
        store.forget_identity("nobody", "Ada"),
        store.update_metadata("nobody", "Ada", None),
        store.identity("nobody", "Ada"),
        store.identities("nobody"),
        store.put_cohort("nobody", MODEL, cohort),
        store.cohort("nobody", nowhere),
        store.changes("nobody", nowhere),
        store.references("nobody", nowhere, [1]),
    ):
        with pytest.raises(UnknownGallery):
            await attempt


async def test_a_deleted_gallery_leaves_no_key(store: IdentityStore, redis: DurableRedis) -> None:
    state = await store.gallery("staff")
    await store.enroll(enrollment("Ada", 0, key="once"))
    await store.put_cohort("staff", MODEL, StoredCohort(np.ones((1, 2), "f4"), np.arange(1)))

    await store.delete_gallery("staff")
    await store.rewrite()

    assert await redis.read("KEYS", "*") == []
    assert await store.galleries() == []
    with pytest.raises(UnknownGallery):
        await store.changes("staff", state.position)


async def test_a_gallery_made_again_is_not_taken_for_the_old_one(store: IdentityStore) -> None:
    old = (await store.gallery("staff")).position
    await store.delete_gallery("staff")
    await store.create_gallery(SETTINGS)

    with pytest.raises(OutOfStep):
        await store.changes("staff", old)
    with pytest.raises(OutOfStep):
        await store.references("staff", old, [1])


# Enrolling


async def test_enrolled_embeddings_come_back_bit_for_bit(store: IdentityStore) -> None:
    ada = await store.enroll(enrollment("Ada", 0, 60))
    bea = await store.enroll(enrollment("Bea", 90))

    found = await everything(store)

    assert (ada.version, bea.version) == (1, 2)
    assert [sample.outcome for sample in ada.samples] == ["added", "added"]
    assert found == {
        ("Ada", ids(ada)[0]): at(0).embedding.tobytes(),
        ("Ada", ids(ada)[1]): at(60).embedding.tobytes(),
        ("Bea", ids(bea)[0]): at(90).embedding.tobytes(),
    }


async def test_the_same_bytes_are_one_sample_of_an_identity_and_raise_no_version(
    store: IdentityStore,
) -> None:
    first = await store.enroll(enrollment("Ada", 0))
    again = await store.enroll(enrollment("Ada", 0))
    mixed = await store.enroll(enrollment("Ada", 0, 60, 60))
    other = await store.enroll(enrollment("Bea", 0))

    assert (again.version, again.change, ids(again)) == (first.version, None, ids(first))
    assert [sample.outcome for sample in again.samples] == ["duplicate"]
    assert [sample.outcome for sample in mixed.samples] == ["duplicate", "added", "duplicate"]
    assert mixed.samples[1].id == mixed.samples[2].id
    assert [sample.outcome for sample in other.samples] == ["added"]
    assert len(await everything(store)) == 3


async def test_a_repeated_key_gives_the_first_answer_and_changes_nothing(
    store: IdentityStore,
) -> None:
    first = await store.enroll(enrollment("Ada", 0, key="once"))
    await store.forget_identity("staff", "Ada")
    before = await store.gallery("staff")

    again = await store.enroll(enrollment("Ada", 0, key="once"))

    assert again.replayed
    assert not first.replayed
    assert (again.version, again.samples, again.change) == (
        first.version,
        first.samples,
        first.change,
    )
    assert await store.gallery("staff") == before


async def test_a_key_is_remembered_for_a_day_and_for_less_than_two(
    store: IdentityStore, redis: DurableRedis
) -> None:
    lineage = (await store.gallery("staff")).position.lineage
    await store.enroll(enrollment("Ada", 0, key="once"))

    [replies] = await redis.read("KEYS", f"kindred:{{staff}}:{lineage}:replies:*")
    left = await redis.read("PTTL", replies)

    day = 24 * 60 * 60 * 1000
    assert day < left <= 2 * day


async def test_a_key_with_another_payload_is_refused_and_changes_nothing(
    store: IdentityStore,
) -> None:
    await store.enroll(enrollment("Ada", 0, key="once"))
    before = await store.gallery("staff")

    for other in (enrollment("Ada", 60, key="once"), enrollment("Bea", 0, key="once")):
        with pytest.raises(IdempotencyKeyReused):
            await store.enroll(other)

    assert await store.gallery("staff") == before


async def test_another_model_or_dimension_is_refused_and_changes_nothing(
    store: IdentityStore,
) -> None:
    await store.enroll(enrollment("Ada", 0))
    before = await store.gallery("staff")
    longer = NewSample("c" * 64, np.ones(3, np.float32))
    one = StoredCohort(np.ones((1, 3), np.float32), np.arange(1))

    for attempt in (
        store.enroll(Enrollment("staff", "b" * 64, "Bea", [at(0)])),
        store.enroll(Enrollment("staff", MODEL, "Bea", [longer])),
        store.put_cohort("staff", MODEL, one),
    ):
        with pytest.raises(ModelMismatch):
            await attempt

    assert await store.gallery("staff") == before


async def test_metadata_is_kept_until_it_is_replaced(store: IdentityStore) -> None:
    about = {"role": "clerk", "since": 2021, "ünï": [None, {}]}
    await store.enroll(Enrollment("staff", MODEL, "Ada", [at(0)], metadata=about))
    await store.enroll(enrollment("Ada", 60))
    kept = (await store.identity("staff", "Ada")).metadata

    change = await store.update_metadata("staff", "Ada", None)

    assert kept == about
    assert (change.version, change.operation) == (3, "describe")
    assert (await store.identity("staff", "Ada")).metadata is None
    with pytest.raises(UnknownIdentity):
        await store.update_metadata("staff", "Bea", about)


async def test_any_name_is_a_name(store: IdentityStore) -> None:
    names = [
        "Zoë",
        "a:b",
        "{x}",
        "}{",
        "*",
        "日本 語",
        "🂡",
        "a\nb",
        "created",
        "7",
        "f" * 64,
        "\\",
    ]

    for degrees, name in enumerate(names):
        await store.enroll(enrollment(name, degrees))
    found = await everything(store)
    for name in names[1:]:
        assert (await store.identity("staff", name)).name == name
        await store.forget_identity("staff", name)

    assert [name for name, _ in found] == names
    assert [name for name, _ in await everything(store)] == names[:1]


# Forgetting


async def test_a_forgotten_identity_is_nowhere_and_its_numbers_do_not_come_back(
    store: IdentityStore,
) -> None:
    first = await store.enroll(enrollment("Ada", 0, 60))
    position = (await store.gallery("staff")).position

    change = await store.forget_identity("staff", "Ada")
    again = await store.enroll(enrollment("Ada", 0))

    assert (change.version, change.samples) == (2, tuple(ids(first)))
    assert again.identity > first.identity
    assert min(ids(again)) > max(ids(first))
    assert len((await store.references("staff", position, [first.identity])).samples) == 0
    assert list(await everything(store)) == [("Ada", ids(again)[0])]


async def test_a_forgotten_sample_leaves_the_others(store: IdentityStore) -> None:
    enrolled = await store.enroll(enrollment("Ada", 0, 60))
    first, second = ids(enrolled)

    change = await store.forget_sample("staff", "Ada", first)
    again = await store.enroll(enrollment("Ada", 0))

    assert (change.operation, change.samples) == ("forget-sample", (first,))
    assert again.samples[0].outcome == "added"
    assert sorted(await everything(store)) == [("Ada", second), ("Ada", ids(again)[0])]


async def test_an_identity_without_samples_stays_until_it_is_forgotten(
    store: IdentityStore,
) -> None:
    enrolled = await store.enroll(enrollment("Ada", 0))

    await store.forget_sample("staff", "Ada", ids(enrolled)[0])

    assert (await store.identity("staff", "Ada")).samples == ()
    assert await everything(store) == {}
    state = await store.gallery("staff")
    assert (state.identities, state.samples) == (1, 0)


async def test_what_is_not_there_cannot_be_forgotten(store: IdentityStore) -> None:
    await store.enroll(enrollment("Ada", 0))
    bea = await store.enroll(enrollment("Bea", 0))
    before = await store.gallery("staff")

    with pytest.raises(UnknownIdentity):
        await store.forget_identity("staff", "Cleo")
    with pytest.raises(UnknownIdentity):
        await store.forget_sample("staff", "Cleo", 1)
    with pytest.raises(UnknownSample):
        await store.forget_sample("staff", "Ada", ids(bea)[0])

    assert await store.gallery("staff") == before


# Reading


async def test_pages_go_on_although_the_last_one_was_forgotten(store: IdentityStore) -> None:
    for name in "Zoe", "Ada", "Mia":
        await store.enroll(enrollment(name, 0))

    [zoe, ada] = await store.identities("staff", limit=2)
    await store.forget_identity("staff", "Ada")
    rest = await store.identities("staff", after=ada.number)

    assert [zoe.name, ada.name] == ["Zoe", "Ada"]
    assert [one.name for one in rest] == ["Mia"]
    with pytest.raises(UnknownIdentity):
        await store.identity("staff", "Ada")


async def test_references_are_read_for_the_identities_that_were_asked_for(
    store: IdentityStore,
) -> None:
    position = (await store.gallery("staff")).position
    ada = await store.enroll(enrollment("Ada", 0))
    await store.enroll(enrollment("Bea", 60))
    cleo = await store.enroll(enrollment("Cleo", 90))

    found = await store.references("staff", position, {cleo.identity, ada.identity, 999})

    assert rows(found) == {
        ("Ada", 1): at(0).embedding.tobytes(),
        ("Cleo", 3): at(90).embedding.tobytes(),
    }


async def test_a_cohort_is_kept_and_is_a_change(store: IdentityStore) -> None:
    embeddings = np.stack([at(10).embedding, at(20).embedding])
    cohort = StoredCohort(embeddings, np.array([7, 7]), '{"rule": "max"}')
    position = (await store.gallery("staff")).position
    assert await store.cohort("staff", position) is None

    change = await store.put_cohort("staff", MODEL, cohort)

    kept = await store.cohort("staff", (await store.gallery("staff")).position)
    assert kept is not None
    assert kept.embeddings.tobytes() == cohort.embeddings.tobytes()
    assert kept.identities.tolist() == [7, 7]
    assert kept.calibration == '{"rule": "max"}'
    assert kept.put is not None
    assert abs(kept.put - time.time()) < 60
    assert (change.version, change.operation, change.identity) == (1, "cohort", 0)


async def test_a_cohort_takes_the_place_of_the_one_before_with_its_calibration(
    store: IdentityStore,
) -> None:
    embeddings = np.stack([at(10).embedding, at(20).embedding])
    await store.put_cohort("staff", MODEL, StoredCohort(embeddings, np.arange(2), "{}"))

    await store.put_cohort("staff", MODEL, StoredCohort(embeddings[:1], np.arange(1)))

    kept = await store.cohort("staff", (await store.gallery("staff")).position)
    assert kept is not None
    assert (len(kept.embeddings), kept.calibration) == (1, None)


# The change log


async def test_every_effective_write_is_one_link_of_an_intact_chain(store: IdentityStore) -> None:
    start = (await store.gallery("staff")).position
    enrolled = await store.enroll(enrollment("Ada", 0, 60))
    written = [
        enrolled.change,
        await store.update_metadata("staff", "Ada", {"a": 1}),
        await store.forget_sample("staff", "Ada", ids(enrolled)[0]),
        await store.forget_identity("staff", "Ada"),
    ]

    changes = await store.changes("staff", start)

    assert changes == written
    assert [change.version for change in changes] == [1, 2, 3, 4]
    assert all(change.is_intact() for change in changes)
    assert [change.previous for change in changes[1:]] == [change.hash for change in changes[:-1]]
    assert changes[0].previous == start.lineage
    assert await store.changes("staff", start, limit=2) == changes[:2]


async def test_a_follower_that_the_log_does_not_continue_is_told(store: IdentityStore) -> None:
    await store.enroll(enrollment("Ada", 0))
    now = (await store.gallery("staff")).position

    ahead = Position(now.lineage, now.version + 1, now.hash)
    forked = Position(now.lineage, now.version, "0" * 40)

    assert await store.changes("staff", now) == []
    for position in ahead, forked:
        with pytest.raises(OutOfStep):
            await store.changes("staff", position)


async def test_a_follower_behind_a_trimmed_log_is_told(
    store: IdentityStore, redis: DurableRedis
) -> None:
    start = (await store.gallery("staff")).position
    frugal = RedisIdentityStore(redis, log_length=10)
    for degrees in range(120):
        await frugal.enroll(enrollment("Ada", degrees))

    with pytest.raises(OutOfStep):
        await store.changes("staff", start)


async def test_neither_names_nor_embeddings_are_in_the_log_or_beside_the_keys(
    store: IdentityStore, redis: DurableRedis
) -> None:
    state = await store.gallery("staff")
    await store.enroll(enrollment("Ada Lovelace", 0, key="Ada Lovelace's key"))

    prefix = f"kindred:{{staff}}:{state.position.lineage}:"
    log = repr(await redis.read("XRANGE", f"{prefix}log", "-", "+"))
    [replies] = await redis.read("KEYS", f"{prefix}replies:*")
    answers = repr(await redis.read("HGETALL", replies))

    for kept in log, answers:
        assert "Ada" not in kept
        assert repr(at(0).embedding.tobytes())[2:-1] not in kept


async def test_eight_writers_at_once_get_versions_that_are_all_their_own(
    store: IdentityStore,
) -> None:
    start = (await store.gallery("staff")).position

    async def write(writer: int) -> list[Enrolled]:
        return [await store.enroll(enrollment(f"{writer}", 10 * writer + n)) for n in range(10)]

    answers = await asyncio.gather(*map(write, range(8)))

    versions = [enrolled.version for answer in answers for enrolled in answer]
    samples = [sample for answer in answers for enrolled in answer for sample in ids(enrolled)]
    assert all(sorted(mine) == mine for mine in ([e.version for e in a] for a in answers))
    assert sorted(versions) == list(range(1, 81))
    assert Counter(samples).most_common(1)[0][1] == 1
    assert [change.version for change in await store.changes("staff", start)] == sorted(versions)


@pytest.mark.parametrize("seed", range(3))
async def test_following_the_log_gives_what_reading_everything_gives(
    store: IdentityStore, seed: int
) -> None:
    rng = random.Random(seed)
    position = (await store.gallery("staff")).position
    followed: dict[int, dict[tuple[str, int], bytes]] = {}

    for step in range(60):
        name = rng.choice(["Ada", "Bea", "Cleo", "Dot"])
        try:
            if rng.random() < 0.6:
                await store.enroll(enrollment(name, rng.randrange(12), rng.randrange(12)))
            elif rng.random() < 0.5:
                await store.forget_identity("staff", name)
            else:
                await store.forget_sample("staff", name, rng.randrange(1, 40))
        except (UnknownIdentity, UnknownSample):
            continue
        if step % 7 == 0:
            for change in await store.changes("staff", position):
                position = Position(position.lineage, change.version, change.hash)
                now = await store.references("staff", position, [change.identity])
                followed[change.identity] = rows(now)
    for change in await store.changes("staff", position):
        now = await store.references("staff", position, [change.identity])
        followed[change.identity] = rows(now)

    whole = {key: value for identity in followed.values() for key, value in identity.items()}
    assert whole == await everything(store)
    assert (await store.gallery("staff")).samples == len(whole)


async def test_a_sound_server_passes_its_check(store: IdentityStore) -> None:
    assert await store.check() == []


# Erasure


async def test_a_rewrite_is_owed_after_all_that_takes_away_and_after_nothing_else(
    store: IdentityStore,
) -> None:
    await store.enroll(enrollment("Ada", 0, 60))
    await store.enroll(enrollment("Bea", 120))
    assert not await store.owes_rewrite()
    cohort = StoredCohort(np.ones((1, 2), "f4"), np.arange(1))

    for take_away in (
        lambda: store.forget_sample("staff", "Ada", 1),
        lambda: store.forget_identity("staff", "Ada"),
        lambda: store.update_metadata("staff", "Bea", {"a": 1}),
        lambda: store.enroll(Enrollment("staff", MODEL, "Bea", [at(120)], {"a": 2})),
        lambda: store.put_cohort("staff", MODEL, cohort),
        lambda: store.delete_gallery("staff"),
    ):
        await take_away()
        assert await store.owes_rewrite()
        await store.rewrite()
        assert not await store.owes_rewrite()


async def test_what_is_taken_away_during_a_rewrite_is_owed_after_it(
    store: IdentityStore, redis: DurableRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.enroll(enrollment("Ada", 0))
    await store.enroll(enrollment("Bea", 60))
    await store.create_gallery(GallerySettings("guests", "drawings@1", MODEL))
    await store.forget_identity("staff", "Ada")
    begun = redis.rewrite

    async def rewrite() -> None:
        await begun()
        await store.forget_identity("staff", "Bea")
        await store.delete_gallery("guests")

    monkeypatch.setattr(redis, "rewrite", rewrite)
    first = (await store.gallery("staff")).erased
    await store.rewrite()

    state = await store.gallery("staff")
    assert (state.rewritten, state.erased) == (first, first + 1)
    assert await store.owes_rewrite()
    monkeypatch.setattr(redis, "rewrite", begun)
    await store.rewrite()
    assert not await store.owes_rewrite()


# Many enrollments at once


async def enroll_all(
    store: IdentityStore, enrollments: Sequence[Enrollment]
) -> list[Enrolled | Exception]:
    return (await store.enroll_all(Intake.of(enrollments))).each()


def width(enrollment: Enrollment) -> int:
    return len(enrollment.samples[0].embedding)


def lasting(outcomes: list[Enrolled | Exception]) -> list[object]:
    """What became of each, without hashes and moments, which are another gallery's."""
    return [
        (type(each), str(each))
        if isinstance(each, Exception)
        else (
            each.version,
            each.identity,
            each.samples,
            each.replayed,
            each.change and (each.change.version, each.change.identities, each.change.samples),
        )
        for each in outcomes
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_many_enrollments_become_what_they_do_one_after_the_other(
    redis: DurableRedis, store: IdentityStore, seed: int
) -> None:
    rng = random.Random(seed)
    other = RedisIdentityStore(redis)
    await other.create_gallery(replace(SETTINGS, name="others"))
    asked = []
    for _ in range(60):
        degrees = [rng.randrange(8) * 10 for _ in range(rng.choice([1, 1, 2]))]
        key = rng.choice([None, None, f"key {rng.randrange(5)}"])
        one = replace(
            enrollment(rng.choice(["Ada", "Bea", "Cleo"]), *degrees, key=key),
            metadata=rng.choice([None, {"of": rng.randrange(2)}]),
            digest=rng.choice([MODEL] * 9 + ["b" * 64]),
        )
        wide = NewSample("0" * 64, np.ones(3, np.float32))
        asked.append(replace(one, samples=[wide]) if rng.random() < 0.1 else one)

    together, alone = [], []
    for alike, group in groupby(asked, key=lambda each: (each.digest, width(each))):
        part = list(group)
        together += await enroll_all(store, part)
        assert {(each.digest, width(each)) for each in part} == {alike}
    for one in asked:
        try:
            alone.append(await other.enroll(replace(one, gallery="others")))
        except (ModelMismatch, IdempotencyKeyReused) as error:
            alone.append(error)

    assert lasting(together) == lasting(alone)
    state, twin = await store.gallery("staff"), await store.gallery("others")
    counters = ("version", "identities", "samples", "last_identity", "last_sample", "erased")
    assert [getattr(state, name) for name in counters] == [
        getattr(twin, name) for name in counters
    ]
    start = Position(state.position.lineage, 0, state.position.lineage)
    changes = await store.changes("staff", start)
    assert changes == [
        each.change
        for each in together
        if isinstance(each, Enrolled) and not each.replayed
        if each.change
    ]
    assert changes[-1].hash == state.position.hash


async def test_of_the_same_sample_twice_at_once_the_second_is_a_duplicate(
    store: IdentityStore,
) -> None:
    done = await enroll_all(store, [enrollment("Ada", 0), enrollment("Ada", 0)])

    assert [sample.outcome for each in done for sample in each.samples] == ["added", "duplicate"]
    assert ids(done[0]) == ids(done[1])
    assert (await store.gallery("staff")).samples == 1


async def test_what_is_too_much_for_one_write_is_written_in_several(store: IdentityStore) -> None:
    done = await enroll_all(store, [enrollment(f"{i}", i / 10) for i in range(1300)])

    assert [each.version for each in done] == list(range(1, 1301))
    assert len(await everything(store)) == 1300


async def test_many_enrollments_in_no_gallery_fail_each(store: IdentityStore) -> None:
    asked = [replace(enrollment("Ada", d), gallery="nobody") for d in range(3)]

    assert [type(each) for each in await enroll_all(store, asked)] == [UnknownGallery] * 3
