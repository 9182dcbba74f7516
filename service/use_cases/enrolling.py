"""Samples kept under identities: one enrollment, or many that share a write."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import Literal

import numpy as np

from index import Identifier
from index.doubts import Doubt
from models_store import Comparator, Given, Sample, Side
from models_store.comparator import Array
from service.callers.quotas import demand_room
from service.embedding.batching import Overloaded
from service.embedding.embedder import EmbeddedSamples, Embedder
from service.replicas.galleries import Galleries
from service.replicas.replica import Replica
from service.store.errors import ModelMismatch, StoreError, UnknownGallery
from service.store.identities import IdentityStore
from service.store.kept import Enrolled, EnrolledSample, Enrollment, Metadata, NewSample
from service.use_cases.results import Enrollments

SEARCHED_UP_TO = 5000
"""Samples of a gallery that is searched for every line of a bulk, where that is only to warn."""

EMBEDDED_TOGETHER = 64
"""Samples of enrollments that come together which wait for the model at a time."""


class Doubtful(Exception):
    """A sample seems to be somebody else's, and the settings refuse such."""


DOUBTS: Mapping[Doubt, str] = MappingProxyType(
    {
        "another": "would be named as another identity than the one it is enrolled under",
        "unlike": "is as unlike the identity it is enrolled under as strangers are",
    }
)
"""What is odd about a sample, in words that tell no label and no score."""

OnSuspicion = Literal["warn", "refuse", "ignore"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Samples that are to be kept under an identity."""

    identity: str
    files: Sequence[Given]
    metadata: Metadata | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """What is asked for, embedded by the comparator of a gallery, or the reason why it cannot be.

    `beside` are embeddings by the gallery's second comparator, by place.
    """

    asked: Asked
    embedded: EmbeddedSamples | Exception
    beside: Mapping[int, Array]
    warnings: Sequence[str] = ()
    searched: bool = True  # whether the gallery was searched for whom they are like


@dataclass(frozen=True, slots=True)
class Prepared:
    """Enrollments in one gallery, to be written: some of them perhaps are not."""

    gallery: str
    comparator: Comparator
    other: Comparator | None  # the gallery's second one, while it has one
    keeps: bool  # whether the gallery keeps what clients sent
    lines: Sequence[Ready]


class Enrolling:
    """Prepares enrollments, and then writes them: the next may be prepared while some are written.

    Each has an outcome of its own, which is what it would have been alone. `on_write` is told how
    many seconds each write took.
    """

    def __init__(
        self,
        embedder: Embedder,
        galleries: Galleries,
        store: IdentityStore,
        searchers: Executor,
        on_suspicion: OnSuspicion = "warn",
        on_write: Callable[[str, float], None] = lambda _operation, _seconds: None,
    ) -> None:
        self._embedder = embedder
        self._galleries = galleries
        self._store = store
        self._searchers = searchers
        self._on_suspicion = on_suspicion
        self._on_write = on_write

    async def enroll(
        self, gallery: str, asked: Sequence[Asked], most: int | None
    ) -> list[Enrollments | Exception]:
        """Keep samples; return once the store will not lose them, and say of each what became.

        `most` is how many samples the gallery may hold by these.
        """
        return await self.write(await self.prepare(gallery, asked, most), most)

    async def prepare(
        self, gallery: str, asked: Sequence[Asked], most: int | None, *, thorough: bool = True
    ) -> Prepared:
        """Embed samples and look for what is odd about them.

        Unless that is to be thorough, or decides about them, nobody else whom they are like is
        looked for in a large gallery.
        """
        self._galleries.demand_writable()
        replica = self._galleries.get(gallery)
        settings, comparator, other = replica.state.settings, replica.comparator, replica.beside
        lines = [
            ready
            for some in _together(asked)
            for ready in await self._embed(replica, some, settings.references, most)
        ]
        if self._on_suspicion != "ignore":
            small = replica.index.samples <= SEARCHED_UP_TO
            others = thorough or small or self._on_suspicion == "refuse"
            lines = await self._doubted(replica, lines, others=others)
        return Prepared(gallery, comparator, other, settings.keep_samples, lines)

    async def write(self, prepared: Prepared, most: int | None) -> list[Enrollments | Exception]:
        """Write what was prepared, in order, once there is room for it."""
        outcomes = await self._write(prepared, most)
        late = [i for i, each in enumerate(outcomes) if isinstance(each, ModelMismatch)]
        if late:  # the gallery may have got another comparator meanwhile
            await self._galleries.refresh()
            asked = [prepared.lines[i].asked for i in late]
            again = await self._write(await self.prepare(prepared.gallery, asked, most), most)
            for i, outcome in zip(late, again, strict=True):
                outcomes[i] = outcome
        return outcomes

    async def _write(self, prepared: Prepared, most: int | None) -> list[Enrollments | Exception]:
        outcomes: list[Enrollments | Exception] = []
        while len(outcomes) < len(prepared.lines):
            lines = prepared.lines[len(outcomes) :]
            if most is not None:
                held = self._galleries.get(prepared.gallery).index.samples
                lines = list(_fitting(lines, held, most)) or [_too_many(lines[0], held, most)]
            outcomes += await self._write_together(prepared, lines)
        return outcomes

    async def _write_together(
        self, prepared: Prepared, lines: Sequence[Ready]
    ) -> list[Enrollments | Exception]:
        started = perf_counter()
        enrollments = [_enrollment(prepared, ready) for ready in lines]
        kept = [each for each in enrollments if isinstance(each, Enrollment)]
        done = await self._store_all(kept) if kept else []
        await self._follow(prepared.gallery, kept, done)
        seconds = perf_counter() - started
        told = iter(done)
        return [
            _outcome(ready, next(told) if isinstance(each, Enrollment) else each, seconds)
            for ready, each in zip(lines, enrollments, strict=True)
        ]

    async def _store_all(self, enrollments: Sequence[Enrollment]) -> list[Enrolled | Exception]:
        self._galleries.demand_writable()
        started = perf_counter()
        if len(enrollments) > 1:
            done = await self._store.enroll_all(enrollments)
        else:
            try:
                done = [await self._store.enroll(enrollments[0])]
            except Exception as error:  # noqa: BLE001 - it is this one's outcome
                return [error]
        self._on_write("enroll", perf_counter() - started)
        return done

    async def _follow(
        self,
        gallery: str,
        enrollments: Sequence[Enrollment],
        done: Sequence[Enrolled | Exception],
    ) -> None:
        """Let the index follow a write that is durable already, now or as soon as it can."""
        written = [
            (enrollment, enrolled)
            for enrollment, enrolled in zip(enrollments, done, strict=True)
            if isinstance(enrolled, Enrolled)
        ]
        if written:
            with contextlib.suppress(StoreError, UnknownGallery):
                await self._galleries.get(gallery).take_in(self._store, written)

    async def _embed(
        self, replica: Replica, some: Sequence[Asked], side: Side, most: int | None
    ) -> list[Ready]:
        files = [one for asked in some for one in asked.files]
        try:
            if len(some) == 1:
                demand_room(most, replica.index.samples + len(files))
            embedded, beside = await asyncio.gather(
                self._embedder.embed(replica.comparator, side, files),
                self._embed_beside(replica.beside, side, files),
            )
        except Exception as error:  # noqa: BLE001 - it is the outcome of each of these
            return [Ready(asked, error, {}) for asked in some]
        return list(_shared_out(some, embedded, beside))

    async def _embed_beside(
        self, other: Comparator | None, side: Side, files: Sequence[Given]
    ) -> dict[int, Array]:
        """Return embeddings by a gallery's second comparator, by place, where there are any.

        There is none of a ready embedding. What it has no time for is made up for later.
        """
        places = [i for i, one in enumerate(files) if isinstance(one, Sample)]
        if other is None or not places:
            return {}
        try:
            found = await self._embedder.embed(other, side, [files[i] for i in places])
        except Overloaded:
            return {}
        return {places[i]: row for i, row in zip(found.indices, found.embeddings, strict=True)}

    async def _doubted(
        self, replica: Replica, lines: Sequence[Ready], *, others: bool
    ) -> list[Ready]:
        """Return the same with what is odd about samples as warnings, or without these."""
        given = {
            i: (ready.asked.identity, ready.embedded.embeddings)
            for i, ready in enumerate(lines)
            if isinstance(ready.embedded, EmbeddedSamples)
        }
        find = partial(_doubts, replica.index, list(given.values()), others=others)
        found = await asyncio.get_running_loop().run_in_executor(self._searchers, find)
        told = dict(zip(given, found, strict=True))
        return [
            replace(self._told(ready, told.get(i, [])), searched=others)
            for i, ready in enumerate(lines)
        ]

    def _told(self, ready: Ready, doubts: Sequence[Doubt | None]) -> Ready:
        embedded = ready.embedded
        if not any(doubts) or isinstance(embedded, Exception):
            return ready
        odd = {
            index: DOUBTS[doubt]
            for index, doubt in zip(embedded.indices, doubts, strict=True)
            if doubt
        }
        if self._on_suspicion == "warn":
            return replace(ready, warnings=[f"sample {i} {what}" for i, what in odd.items()])
        left = embedded.without({i: Doubtful(what) for i, what in odd.items()})
        return replace(ready, embedded=left if left.indices else left.failures[min(left.failures)])


def _doubts(
    index: Identifier, given: Sequence[tuple[str, Array]], *, others: bool
) -> list[list[Doubt | None]]:
    """Return what is odd about the samples of each enrollment."""
    if len(given) > 1 and all(len(samples) == 1 for _, samples in given):
        identities = [identity for identity, _ in given]
        samples = np.concatenate([one for _, one in given])
        return [[doubt] for doubt in index.doubts_of_each(identities, samples, others=others)]
    found: list[list[Doubt | None]] = []
    for identity, samples in given:
        doubts = index.doubts(identity, samples)
        found.append([doubts.of(i) for i in range(len(samples))])
    return found


def fingerprint(given: Given) -> str:
    """Return the SHA-256 of a sample's content, in hex: the same bytes are one sample."""
    content = given.content if isinstance(given, Sample) else given.values.tobytes()
    return hashlib.sha256(content).hexdigest()


def _together(asked: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Yield enrollments as many at a time as are embedded together."""
    group: list[Asked] = []
    samples = 0
    for each in asked:
        more = sum(isinstance(one, Sample) for one in each.files)
        if group and samples + more > EMBEDDED_TOGETHER:
            yield group
            group, samples = [], 0
        group.append(each)
        samples += more
    if group:
        yield group


def _shared_out(
    some: Sequence[Asked], embedded: EmbeddedSamples, beside: Mapping[int, Array]
) -> Iterator[Ready]:
    """Yield for each what became of its own files."""
    rows = {index: row for row, index in enumerate(embedded.indices)}
    start = 0
    for asked in some:
        files = range(start, start + len(asked.files))
        there = [i for i in files if i in rows]
        failures = {i - start: embedded.failures[i] for i in files if i in embedded.failures}
        if failures and not there:
            yield Ready(asked, failures[min(failures)], {})
        else:
            first = rows[there[0]] if there else 0  # they are in order, and so lie together
            of_these = embedded.embeddings[first : first + len(there)]
            places = [i - start for i in there]
            besides = {i - start: beside[i] for i in files if i in beside} if beside else {}
            told = EmbeddedSamples(places, of_these, failures, embedded.timings)
            yield Ready(asked, told, besides)
        start = files.stop


def _fitting(lines: Sequence[Ready], held: int, most: int) -> Iterator[Ready]:
    """Yield the first lines, as far as a gallery that holds so many samples may hold them too."""
    for ready in lines:
        held += len(ready.asked.files)
        if held > most:
            return
        yield ready


def _too_many(ready: Ready, held: int, most: int) -> Ready:
    try:
        demand_room(most, held + len(ready.asked.files))
    except Exception as error:  # noqa: BLE001 - it is the outcome of this one
        return replace(ready, embedded=error)
    return ready


def _enrollment(prepared: Prepared, ready: Ready) -> Enrollment | Exception:
    """Return what is to be written, or why nothing is."""
    embedded, asked = ready.embedded, ready.asked
    if isinstance(embedded, Exception):
        return embedded
    return Enrollment(
        gallery=prepared.gallery,
        digest=prepared.comparator.digest,
        identity=asked.identity,
        samples=[
            NewSample(
                fingerprint(asked.files[i]),
                embedding,
                ready.beside.get(i),
                _original(asked.files[i]) if prepared.keeps else None,
            )
            for i, embedding in zip(embedded.indices, embedded.embeddings, strict=True)
        ],
        metadata=asked.metadata,
        idempotency_key=asked.idempotency_key,
        beside=prepared.other.digest if prepared.other else None,
    )


def _original(given: Given) -> Sample | None:
    """Return what there is to keep of what a client sent: of a ready embedding nothing."""
    return given if isinstance(given, Sample) else None


def _outcome(ready: Ready, done: Enrolled | Exception, seconds: float) -> Enrollments | Exception:
    if isinstance(ready.embedded, Exception):
        return ready.embedded
    if isinstance(done, Exception):
        return done
    return Enrollments(
        version=done.version,
        indices=ready.embedded.indices,
        samples=done.samples,
        failures=ready.embedded.failures,
        warnings=[*_warnings(done.samples), *ready.warnings],
        searched=ready.searched,
        timings=ready.embedded.timings | {"store": seconds},
    )


def _warnings(samples: Sequence[EnrolledSample]) -> list[str]:
    duplicates = sum(sample.outcome == "duplicate" for sample in samples)
    return [f"{duplicates} of the samples were enrolled before"] if duplicates else []
