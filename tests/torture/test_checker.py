"""The checker itself: whatever is planted in a store is found, and nothing in a sound one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from models_store import Comparator, open_shelf
from service.app import new_index
from service.replicas.replica import Replica
from service.replicas.snapshots import Snapshots
from service.store.durable_redis import DurableRedis
from service.store.errors import UnknownIdentity
from service.store.kept import Enrolled, EnrolledSample, Enrollment, GallerySettings, NewSample
from service.store.redis_store import RedisIdentityStore
from tests.bundles import make_bundle
from tests.servers import StartServer
from tests.torture.audit import Sample, audit, draw_samples
from tests.torture.checker import View, Violation, check
from tests.torture.history import History, Operation

pytestmark = pytest.mark.anyio

GALLERY = "staff"
EVERY = 9  # enrollments between two faults
DIMENSION = 8


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def comparator(tmp_path_factory: pytest.TempPathFactory) -> Comparator:
    root = tmp_path_factory.mktemp("checked")
    make_bundle(root, dimension=DIMENSION, cohort=20)
    return open_shelf(root).comparators["tiny@1"]


class Sound:
    """The real store and a replica of it, as clients see them. Each fault changes one method."""

    def __init__(self, store: RedisIdentityStore, redis: "Redis[bytes]", replica: Replica) -> None:
        self.store = store
        self.redis = redis
        self.replica = replica
        self.calls = 0
        self.later: list[asyncio.Task[object]] = []

    def is_due(self) -> bool:
        """Whether it is this call's turn to go wrong."""
        self.calls += 1
        return self.calls % EVERY == 0

    async def enroll(self, enrollment: Enrollment) -> Enrolled:
        return await self.store.enroll(enrollment)

    async def forget(self, identity: str) -> int:
        return (await self.store.forget_identity(GALLERY, identity)).version

    async def nearest(self, sample: Sample, min_version: int) -> str | None:
        await self.replica.reach(self.store, min_version)
        [result] = self.replica.index.identify(
            sample.values[None], threshold=0.5, k=1, top=1, prior_known=0.5
        )
        return result.candidates[0].identity if result.candidates else None

    def root(self) -> str:
        return f"kindred:{{{GALLERY}}}:gallery"

    def below(self) -> str:
        lineage = self.redis.hget(self.root(), "lineage")
        return f"kindred:{{{GALLERY}}}:{lineage.decode()}:"

    def record(self, done: Enrolled) -> str:
        return f"{self.below()}identity:{done.identity}"

    def invented(self, version: int) -> Enrolled:
        return Enrolled(version, 999, (EnrolledSample(999, "added"),), None)

    async def version(self) -> int:
        return (await self.store.gallery(GALLERY)).version


class DropsOneInN(Sound):
    async def enroll(self, enrollment):
        if not self.is_due():
            return await super().enroll(enrollment)
        return self.invented(await self.version() + 1)


class KeepsASampleTwice(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        if self.is_due():
            key, id_ = self.record(done), done.samples[0].id
            self.redis.hset(key, str(id_ + 10_000), self.redis.hget(key, str(id_)))
            self.redis.hincrby(self.root(), "samples", 1)
        return done


class SwapsTwoAnswers(Sound):
    held: int | None = None

    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        due = self.is_due()
        if due and self.held is None:
            self.held = done.version
            await asyncio.sleep(0.05)  # others are answered meanwhile, one of them with this
        if self.held not in (None, done.version):
            version, self.held = self.held, None
            return replace(done, version=version)
        return done


class AnswersEarly(Sound):
    async def enroll(self, enrollment):
        if not self.is_due():
            return await super().enroll(enrollment)

        async def write() -> None:
            await asyncio.sleep(0.03)
            await self.store.enroll(enrollment)

        self.later.append(asyncio.create_task(write()))
        return self.invented(await self.version() + 1)


class AnswersEarlyAndIsKilled(Sound):
    async def enroll(self, enrollment):
        if not self.is_due():
            return await super().enroll(enrollment)
        write = asyncio.create_task(self.store.enroll(enrollment))
        write.cancel()
        self.later.append(write)
        return self.invented(await self.version() + 1)


class RaisesTheDead(Sound):
    async def forget(self, identity):
        [kept] = [
            kept
            async for some in self.store.everything(GALLERY, self.replica.state.position)
            for kept in some
            if kept.name == identity
        ] or [None]
        version = await super().forget(identity)
        if kept is not None:
            again = [NewSample(s.fingerprint, s.embedding) for s in kept.samples]
            digest = self.replica.comparator.digest
            await self.store.enroll(Enrollment(GALLERY, digest, identity, again))
        return version


class WritesTheRecordOnly(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        if self.is_due():
            self.redis.xdel(f"{self.below()}log", f"{done.version}-0")
        return done


class WritesTheLogOnly(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        if self.is_due():
            self.redis.hdel(
                self.record(done),
                str(done.samples[0].id),
                enrollment.samples[0].fingerprint,
            )
        return done


class WritesElsewhere(Sound):
    async def enroll(self, enrollment):
        if self.is_due():
            enrollment = replace(enrollment, gallery="guests")
        return await super().enroll(enrollment)


class WritesForAnother(Sound):
    async def enroll(self, enrollment):
        if self.is_due():
            enrollment = replace(enrollment, identity=enrollment.identity + "x")
        return await super().enroll(enrollment)


class ReadsStale(Sound):
    async def nearest(self, sample, min_version):
        found = await super().nearest(sample, min_version)
        return None if self.is_due() else found


class GoesBack(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        return replace(done, version=max(1, done.version - 20)) if self.is_due() else done


class IsRestoredFromABackup(Sound):
    backup: dict[bytes, bytes] | None = None

    async def enroll(self, enrollment):
        self.calls += 1
        if self.calls == EVERY:
            self.backup = {key: self.redis.dump(key) for key in self.redis.scan_iter()}
        if self.calls == 3 * EVERY and self.backup:
            self.redis.flushall()
            for key, value in self.backup.items():
                self.redis.restore(key, 0, value)
        return await super().enroll(enrollment)


class ForgetsNeighbours(Sound):
    async def forget(self, identity):
        others = [one.name for one in await self.store.identities(GALLERY)]
        version = await super().forget(identity)
        for other in others:
            if other != identity and "kept" in other:
                with contextlib.suppress(UnknownIdentity):
                    await self.store.forget_identity(GALLERY, other)
                break
        return version


class ForgetsInWordsOnly(Sound):
    async def forget(self, identity):
        return await self.version() + 1


class RefusesAndWrites(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        if self.is_due():
            raise UnknownIdentity
        return done


class IndexesAnotherEmbedding(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        if self.is_due():
            key, id_ = self.record(done), str(done.samples[0].id)
            await self.replica.reach(self.store, done.version)
            value = self.redis.hget(key, id_)
            self.redis.hset(key, id_, value[:-4] + b"\x00\x00\x00\x3f")
        return done


class IndexesNotAll(Sound):
    async def enroll(self, enrollment):
        done = await super().enroll(enrollment)
        if self.is_due() and "kept" in enrollment.identity:
            await self.replica.reach(self.store, done.version)
            self.replica.index.forget([done.samples[0].id])
        return done


class Crashes(Sound):
    async def enroll(self, enrollment):
        if self.is_due():
            raise ZeroDivisionError
        return await super().enroll(enrollment)


FAULTS: dict[type[Sound], int] = {
    DropsOneInN: 1,
    KeepsASampleTwice: 3,
    SwapsTwoAnswers: 6,
    AnswersEarly: 6,
    AnswersEarlyAndIsKilled: 1,
    RaisesTheDead: 2,
    WritesTheRecordOnly: 4,
    WritesTheLogOnly: 4,
    WritesElsewhere: 1,
    WritesForAnother: 3,
    ReadsStale: 1,
    GoesBack: 6,
    IsRestoredFromABackup: 1,
    ForgetsNeighbours: 1,
    ForgetsInWordsOnly: 2,
    RefusesAndWrites: 3,
    IndexesAnotherEmbedding: 5,
    IndexesNotAll: 4,
    Crashes: 7,
}
"""Each with the rule that it breaks, among others perhaps."""


@pytest.fixture
async def judged(
    start_server: StartServer, comparator: Comparator, tmp_path: Path
) -> AsyncIterator[Callable[[type[Sound]], Awaitable[list[Violation]]]]:
    """A function that lets four clients call a store and returns what the checker finds."""
    server = start_server()
    durable = DurableRedis(server.url)
    redis = Redis.from_url(server.url, protocol=2)

    with ThreadPoolExecutor() as executor:

        async def judge(kind: type[Sound]) -> list[Violation]:
            store = RedisIdentityStore(durable)
            for name in (GALLERY, "guests"):
                await store.create_gallery(
                    GallerySettings(name, comparator.title, comparator.digest)
                )
            state = await store.gallery(GALLERY)
            replica = await Replica.load(
                store, state, comparator, new_index, executor, Snapshots(tmp_path / "none")
            )
            sut, history = kind(store, redis, replica), History()
            await asyncio.gather(*(_calls(i, sut, history) for i in range(4)))
            await asyncio.gather(*sut.later, return_exceptions=True)
            with contextlib.suppress(Exception):
                await replica.catch_up(store)
            found = audit(redis, GALLERY)
            references, embeddings = replica.index.enrolled()
            own = dict(zip(found.ids.tolist(), found.embeddings, strict=True))
            different = [
                f"sample {reference.key} is another"
                for reference, row in zip(references, embeddings, strict=True)
                if reference.key in own and not np.allclose(own[reference.key], row)
            ]
            ids = [reference.key for reference in references]
            return check(
                history.operations,
                found.kept,
                [View("the replica", replica.version, ids, different=different)],
            )

        yield judge
    redis.close()
    await durable.close()


async def _calls(number: int, sut: Sound, history: History) -> None:
    """Enroll, look for, forget; note what is answered."""
    rng = np.random.default_rng(number)
    client, digest, seen = f"c{number}", sut.replica.comparator.digest, 0
    for turn, sample in enumerate(draw_samples(rng, 30, DIMENSION)):
        await asyncio.sleep(rng.uniform(0, 0.002))
        forgets = turn % 3 == 0
        identity = f"{client}-{turn}-{'gone' if forgets else 'kept'}"
        call = history.invoke(Operation(client, "enroll", GALLERY, sample.fingerprint, identity))
        asked = Enrollment(
            GALLERY, digest, identity, [NewSample(sample.fingerprint, sample.values)]
        )
        try:
            seen = (await sut.enroll(asked)).version
        except UnknownIdentity:
            history.end(call, "fail", status=404)
            continue
        except ZeroDivisionError:
            history.end(call, "unknown", status=500)
            continue
        history.end(call, "ok", status=201, version=seen)
        if forgets:
            call = history.invoke(Operation(client, "forget", GALLERY, "", identity))
            try:
                seen = await sut.forget(identity)
            except UnknownIdentity:
                history.end(call, "fail", status=404)
                continue
            history.end(call, "ok", status=200, version=seen)
        find = Operation(client, "find", GALLERY, sample.fingerprint, identity, min_version=seen)
        call = history.invoke(find)
        found = await sut.nearest(sample, seen)
        behind = sut.replica.version < seen
        history.end(
            call,
            "unknown" if behind else "ok",
            status=503 if behind else 200,
            found=None if behind else found == identity,
        )


async def test_a_sound_store_breaks_no_rule(judged) -> None:
    assert await judged(Sound) == []


@pytest.mark.parametrize(
    ("fault", "rule"), FAULTS.items(), ids=[fault.__name__ for fault in FAULTS]
)
async def test_a_planted_fault_is_found_by_the_rule_that_it_breaks(
    judged, fault: type[Sound], rule: int
) -> None:
    assert rule in {violation.rule for violation in await judged(fault)}
