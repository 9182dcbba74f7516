"""An export while the gallery changes, and imports that do not come to their end."""

import base64
import contextlib
import hashlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_store import Comparator, Sample, open_shelf
from service.requests.upload import MalformedBody, TooLarge
from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from service.store.errors import (
    EditConflict,
    IdentityExists,
    ImportBroken,
    NotDurable,
    OriginalsFull,
    UnknownEdit,
    UnknownGallery,
    UnknownIdentity,
)
from service.store.kept import (
    Enrollment,
    GallerySettings,
    GalleryState,
    KeptIdentity,
    NewSample,
    StoredCohort,
)
from service.store.redis_edits import RedisEdits
from service.store.redis_store import RedisIdentityStore
from service.use_cases.exports import export_lines
from service.use_cases.imports import ImportLimits, import_lines

pytestmark = pytest.mark.anyio

OWED = {"kindred:{erasure}:owed"}  # until the append-only file is rewritten
LIMITS = ImportLimits(line=2**20, metadata=4096, original=2**19, strangers=100)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[DurableRedis]:
    async with EmbeddedRedis(tmp_path) as embedded:
        redis = DurableRedis(embedded.url)
        yield redis
        await redis.close()


@pytest.fixture(scope="module")
def model(bundles: Path) -> Comparator:
    return open_shelf(bundles, "cpu").comparators["tiny@1"]


@pytest.fixture
async def store(redis: DurableRedis, model: Comparator) -> RedisIdentityStore:
    store = RedisIdentityStore(redis)
    await store.create_gallery(GallerySettings("staff", model.title, model.digest))
    return store


def sample(seed: int) -> NewSample:
    vector = np.random.default_rng(seed).normal(size=32)
    embedding = (vector / np.linalg.norm(vector)).astype(np.float32)
    return NewSample(hashlib.sha256(embedding.tobytes()).hexdigest(), embedding)


async def enroll(store: RedisIdentityStore, model: Comparator, name: str, *seeds: int) -> None:
    samples = [sample(seed) for seed in seeds]
    await store.enroll(Enrollment("staff", model.digest, name, samples, {"of": name}))


async def whole(store: RedisIdentityStore, gallery: str) -> list[KeptIdentity]:
    position = (await store.gallery(gallery)).position
    return [each async for some in store.everything(gallery, position) for each in some]


def comparable(identities: list[KeptIdentity]) -> list[object]:
    return [
        (
            (each.number, each.name, each.created, each.metadata),
            [(s.id, s.fingerprint, s.created, s.embedding.tobytes()) for s in each.samples],
        )
        for each in identities
    ]


async def chunks(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def put(
    store: RedisIdentityStore, model: Comparator, name: str, content: bytes
) -> GalleryState:
    comparators = {model.digest: model}
    return await import_lines(store, name, chunks(content), comparators, LIMITS)


async def keys(redis: DurableRedis) -> set[str]:
    return {key.decode() for key in await redis.read("KEYS", "*")}


async def test_what_changes_during_an_export_is_told_again_and_what_is_told_last_holds(
    store: RedisIdentityStore, model: Comparator
) -> None:
    for number in range(600):  # more than one chunk
        await enroll(store, model, f"id-{number}", number)

    lines = export_lines(store, "staff")
    told = [await anext(lines), await anext(lines)]
    await store.forget_identity("staff", "id-3")
    await enroll(store, model, "id-3", 1003)  # the name again, under another number
    await enroll(store, model, "id-5", 1005)
    await store.forget_sample("staff", "id-6", 7)
    strangers = np.stack([sample(2000 + i).embedding for i in range(9)])
    cohort = StoredCohort(strangers, np.arange(9) // 2, None)
    told.append(await anext(lines))
    await store.put_cohort("staff", model.digest, cohort)
    told += [some async for some in lines]
    made = await put(store, model, "copy", b"".join(told))

    there = await store.gallery("staff")
    assert (made.version, made.identities, made.samples) == (
        there.version,
        there.identities,
        there.samples,
    )
    assert comparable(await whole(store, "copy")) == comparable(await whole(store, "staff"))
    own = await store.cohort("copy", made.position)
    assert own is not None
    assert own.embeddings.tobytes() == strangers.tobytes()
    assert own.identities.tolist() == cohort.identities.tolist()


@pytest.mark.parametrize("seed", range(4))
async def test_a_gallery_that_is_edited_during_an_export_is_whole_as_of_its_last_line(
    store: RedisIdentityStore,
    redis: DurableRedis,
    model: Comparator,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr("service.store.redis_store._WHOLE_CHUNK", 1)  # an identity at a time
    edits, rng = RedisEdits(redis), random.Random(seed)
    names = ["Ada", "Bea", "Cleo", "Dot", "Eve", "Fay"]
    for i, name in enumerate(names):
        await enroll(store, model, name, 2 * i, 2 * i + 1, 100)
    lines = []

    async for some in export_lines(store, "staff"):
        lines.append(some)
        if len(lines) > 8:
            continue
        a, b = rng.sample([*names, "Gus"], 2)
        with contextlib.suppress(UnknownIdentity, IdentityExists, EditConflict, UnknownEdit):
            match rng.choice(["rename", "swap", "merge", "undo", "reject"]):
                case "rename":
                    await edits.rename("staff", a, b)
                case "swap":
                    for old, new in ((a, "-"), (b, a), ("-", b)):
                        await edits.rename("staff", old, new)
                case "merge":
                    await edits.merge("staff", a, b)
                case "undo":
                    await edits.undo("staff", None, settings=True)
                case "reject":
                    await edits.reject("staff", model.digest, a, sample(7).embedding)
    await put(store, model, "again", b"".join(lines))

    assert comparable(await whole(store, "again")) == comparable(await whole(store, "staff"))
    staff, again = [(await store.gallery(name)).position for name in ("staff", "again")]
    kept, taken = await store.rejections("staff", staff), await store.rejections("again", again)
    assert [(r.id, r.identity, r.created) for r in taken] == [
        (r.id, r.identity, r.created) for r in kept
    ]


async def test_an_import_that_its_process_did_not_survive_is_swept_away_at_the_next_start(
    store: RedisIdentityStore, redis: DurableRedis, model: Comparator
) -> None:
    await enroll(store, model, "a", 1, 2)
    before = await keys(redis)
    lineage = await store.begin_import("copy")
    await store.stage("copy", lineage, {each.number: each for each in await whole(store, "staff")})
    assert await keys(redis) > before

    await store.sweep()

    assert await keys(redis) == before | OWED
    with pytest.raises(UnknownGallery):
        await store.gallery("copy")
    with pytest.raises(ImportBroken):
        await store.stage("copy", lineage, {})


async def test_a_refused_import_leaves_no_key(
    store: RedisIdentityStore, redis: DurableRedis, model: Comparator
) -> None:
    for number in range(300):
        await enroll(store, model, f"id-{number}", number)
    exported = b"".join([some async for some in export_lines(store, "staff")])
    before = await keys(redis)

    with pytest.raises(MalformedBody):
        await put(store, model, "copy", exported[:-40])

    assert await keys(redis) == before | OWED


async def test_an_import_is_not_removed_whose_last_step_was_done_but_not_confirmed(
    store: RedisIdentityStore, model: Comparator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enroll(store, model, "a", 1, 2)
    exported = b"".join([some async for some in export_lines(store, "staff")])
    finish = store.finish_import

    async def finish_unconfirmed(*arguments: Any) -> GalleryState:
        await finish(*arguments)
        raise NotDurable("the write is not known to be on the disk")

    monkeypatch.setattr(store, "finish_import", finish_unconfirmed)
    with pytest.raises(NotDurable):
        await put(store, model, "copy", exported)

    assert comparable(await whole(store, "copy")) == comparable(await whole(store, "staff"))
    assert [state.settings.name for state in await store.galleries()] == ["copy", "staff"]


async def test_of_two_imports_under_one_name_one_is_refused_and_the_other_whole(
    store: RedisIdentityStore, model: Comparator
) -> None:
    await enroll(store, model, "a", 1)
    one = b"".join([some async for some in export_lines(store, "staff")])
    first = chunks(one)
    lineage = await store.begin_import("copy")  # a third has only begun

    made = await import_lines(store, "copy", first, {model.digest: model}, LIMITS)

    assert made.identities == 1
    await store.abandon_import("copy", lineage)
    assert comparable(await whole(store, "copy")) == comparable(await whole(store, "staff"))


async def test_an_export_has_a_line_for_each_identity_and_its_checksum(
    store: RedisIdentityStore, model: Comparator
) -> None:
    await enroll(store, model, "a", 1, 2)
    await enroll(store, model, "b", 3)

    exported = b"".join([some async for some in export_lines(store, "staff")])

    first, a, b, end = map(json.loads, exported.splitlines())
    assert (first["gallery"]["digest"], first["gallery"]["version"]) == (model.digest, 2)
    assert (a["identity"]["name"], len(a["identity"]["samples"])) == ("a", 2)
    assert (b["identity"]["name"], b["identity"]["metadata"]) == ("b", {"of": "b"})
    body = exported[: exported.rindex(b'{"end"')]
    assert end["end"]["sha256"] == hashlib.sha256(body).hexdigest()


# Originals


async def keep(store: RedisIdentityStore, model: Comparator, name: str, *seeds: int) -> None:
    samples = [
        replace(sample(seed), original=Sample(b"sent %d\0\xff" % seed, "image")) for seed in seeds
    ]
    await store.enroll(Enrollment("keeping", model.digest, name, samples))


async def originals(store: RedisIdentityStore, gallery: str) -> dict[tuple[str, int], object]:
    return {
        (each.name, one.id): sent
        for each in await whole(store, gallery)
        for one, sent in zip(
            each.samples,
            await store.originals(gallery, each.number, [s.id for s in each.samples]),
            strict=True,
        )
    }


@pytest.fixture
async def keeping(store: RedisIdentityStore, model: Comparator) -> RedisIdentityStore:
    settings = GallerySettings("keeping", model.title, model.digest, keep_samples=True)
    await store.create_gallery(settings)
    return store


async def test_originals_come_along_as_they_are_when_the_last_line_is_sent(
    keeping: RedisIdentityStore, model: Comparator
) -> None:
    await keep(keeping, model, "a", 1, 2)
    await keep(keeping, model, "b", *range(10, 30))
    await keep(keeping, model, "c", 3)

    lines = export_lines(keeping, "keeping")
    told = [await anext(lines), await anext(lines), await anext(lines)]
    await keeping.forget_sample("keeping", "a", 1)
    await keeping.forget_identity("keeping", "c")
    await keep(keeping, model, "b", 31)
    told += [some async for some in lines]
    made = await put(keeping, model, "copy", b"".join(told))

    assert made.settings.keep_samples
    assert await originals(keeping, "copy") == await originals(keeping, "keeping")
    assert made.kept_bytes == (await keeping.gallery("keeping")).kept_bytes
    assert len(await originals(keeping, "copy")) == 22


@pytest.mark.parametrize(
    "alter",
    [
        lambda line: line.update(sample=9),
        lambda line: line.update(identity=9),
        lambda line: line.update(content="?"),
        lambda line: line.update(modality="smell"),
        lambda line: line.update(content=base64.b64encode(bytes(2**19 + 1)).decode()),
    ],
)
async def test_originals_that_cannot_be_of_the_gallery_are_refused_and_leave_no_key(
    keeping: RedisIdentityStore, redis: DurableRedis, model: Comparator, alter: Any
) -> None:
    await keep(keeping, model, "a", 1)
    told = b"".join([some async for some in export_lines(keeping, "keeping")])
    first, identity, original, end = map(json.loads, told.splitlines())
    alter(original["original"])
    body = b"".join(json.dumps(line).encode() + b"\n" for line in (first, identity, original))
    end["end"]["sha256"] = hashlib.sha256(body).hexdigest()
    before = await keys(redis)

    with pytest.raises((MalformedBody, ImportBroken, TooLarge)):
        await put(keeping, model, "copy", body + json.dumps(end).encode() + b"\n")

    assert await keys(redis) == before | OWED


async def test_an_import_keeps_no_more_bytes_than_a_gallery_may(
    keeping: RedisIdentityStore, redis: DurableRedis, model: Comparator
) -> None:
    await keep(keeping, model, "a", 1, 2, 3)
    told = b"".join([some async for some in export_lines(keeping, "keeping")])
    before = await keys(redis)

    with pytest.raises(OriginalsFull):
        await put(RedisIdentityStore(redis, kept_bytes=30), model, "copy", told)

    assert await keys(redis) == before | OWED
