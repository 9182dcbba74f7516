"""Samples kept under identities: one enrollment, or many that share a write."""

import asyncio
import contextlib
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, pairwise
from time import monotonic, perf_counter
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from index import Identifier
from index.doubts import Doubt
from models_store import Comparator, Given, Sample, Side
from models_store.comparator import Array
from service.callers.quotas import demand_room, no_room
from service.embedding.batching import Overloaded
from service.embedding.decoding import Budget
from service.embedding.embedder import EmbeddedSamples, Embedder
from service.replicas.galleries import Galleries
from service.replicas.replica import Replica
from service.store.errors import ModelMismatch, StoreError, UnknownGallery
from service.store.identities import IdentityStore
from service.store.intake import Admitted, Intake
from service.store.kept import EnrolledSample, Metadata
from service.use_cases.results import Enrollments

EMBEDDED_TOGETHER = 32
"""Samples of enrollments that come together which are decoded, and run by the model, at a time."""

GROUPS_AT_ONCE = 2
"""So many times these are under way: some are decoded while others are run."""


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


class Asked(NamedTuple):
    """Samples that are to be kept under an identity."""

    identity: str
    files: Sequence[Given]
    metadata: Metadata | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Enrollments in one gallery, to be written: some of them perhaps are not.

    Their samples have places one after the other, by which `embedded` and `beside` count: those
    of enrollment i from `places[i]` to `places[i + 1]`. Warnings are by enrollment.
    """

    gallery: str
    comparator: Comparator
    other: Comparator | None  # the gallery's second one, while it has one
    keeps: bool  # whether the gallery keeps what clients sent
    asked: Sequence[Asked]
    places: Sequence[int]  # (k + 1,)
    rows: Sequence[int]  # (k + 1,) in which row of the embeddings those of each enrollment begin
    embedded: EmbeddedSamples
    beside: Mapping[int, Array]  # embeddings by the second comparator
    warnings: Mapping[int, list[str]]
    searched: bool  # whether the gallery was searched for whom they are like

    def refused(self) -> dict[int, Exception]:
        """Return which enrollments have no sample that can be kept, and why the first cannot."""
        first: dict[int, Exception] = {}
        for place, why in sorted(self.embedded.failures.items()):
            i = bisect_right(self.places, place) - 1
            if self.rows[i] == self.rows[i + 1]:
                first.setdefault(i, why)
        return first

    def intake(self, some: range, kept: Sequence[int]) -> Intake:
        """Return those that are kept of some enrollments, as the store takes them."""
        asked, places, rows = [self.asked[i] for i in kept], self.places, self.rows
        own = slice(rows[some.start], rows[some.stop])
        indices = self.embedded.indices[own]
        of_these = self.asked[some.start : some.stop]
        files = list(chain.from_iterable(each.files for each in of_these))
        given = [files[place - places[some.start]] for place in indices]
        beside = self.beside
        originals = {i: one for i, one in enumerate(given) if isinstance(one, Sample)}
        return Intake(
            gallery=self.gallery,
            digest=self.comparator.digest,
            identities=[each.identity for each in asked],
            metadata=[each.metadata for each in asked],
            keys=[each.idempotency_key for each in asked],
            counts=[rows[i + 1] - rows[i] for i in kept],
            fingerprints=[fingerprint(one) for one in given],
            embeddings=self.embedded.embeddings[own],
            other=self.other.digest if self.other else None,
            beside={i: beside[place] for i, place in enumerate(indices) if place in beside},
            originals=originals if self.keeps else {},
        )

    def told(
        self, kept: Sequence[int], done: Admitted, seconds: float
    ) -> Iterator[Enrollments | Exception]:
        """Yield what became of the enrollments that were to be kept."""
        timings = self.embedded.timings | {"store": seconds}
        indices, failures = self.embedded.indices, self.embedded.failures
        samples, rows, places, end = done.samples, self.rows, self.places, 0
        for j, i in enumerate(kept):
            start, end = end, end + done.counts[j]
            if why := done.refused.get(j):
                yield why
                continue
            first, beyond = places[i], places[i + 1]
            before = done.replayed.get(j)
            own = before.samples if before else samples[start:end]
            lost = [place for place in range(first, beyond) if place in failures]
            yield Enrollments(
                done.versions[j],
                [place - first for place in indices[rows[i] : rows[i + 1]]],
                own,
                {place - first: failures[place] for place in lost} if lost else {},
                [*_warnings(own), *self.warnings.get(i, ())],
                timings,
                self.searched,
            )


@dataclass(slots=True)
class Stored:
    """What became of enrollments in the store; the index may still be following."""

    outcomes: list[Enrollments | Exception]
    following: list[asyncio.Task[None]] = field(default_factory=list)

    async def followed(self) -> None:
        """Wait until the index knows of them, or will by the log."""
        for task in self.following:
            await asyncio.shield(task)


class Enrolling:
    """Prepares enrollments, and then writes them: the next may be prepared while some are written.

    Each has an outcome of its own, which is what it would have been alone. `on_write` is told how
    many seconds each write took. `searched_up_to` is how many samples a gallery may have that is
    searched for every line of a bulk, where that is only to warn.
    """

    def __init__(
        self,
        embedder: Embedder,
        galleries: Galleries,
        store: IdentityStore,
        searchers: Executor,
        on_suspicion: OnSuspicion = "warn",
        on_write: Callable[[str, float], None] = lambda _operation, _seconds: None,
        searched_up_to: int = 5000,
    ) -> None:
        self._embedder = embedder
        self._galleries = galleries
        self._store = store
        self._searchers = searchers
        self._on_suspicion = on_suspicion
        self._on_write = on_write
        self._searched_up_to = searched_up_to

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
        places = [0, *accumulate(len(each.files) for each in asked)]
        embedded, beside = await self._embed_all(replica, asked, settings.references, most)
        warnings: dict[int, list[str]] = {}
        searched = True
        if self._on_suspicion != "ignore":
            small = replica.index.samples <= self._searched_up_to
            searched = thorough or small or self._on_suspicion == "refuse"
            find = partial(_doubts, replica.index, asked, places, embedded, others=searched)
            doubts = await asyncio.get_running_loop().run_in_executor(self._searchers, find)
            if self._on_suspicion == "refuse":
                refused = {place: Doubtful(DOUBTS[doubt]) for place, doubt in doubts.items()}
                embedded = embedded.without(refused) if refused else embedded
            else:
                warnings = _warned(doubts, places)
        return Prepared(
            gallery,
            comparator,
            other,
            settings.keep_samples,
            asked,
            places,
            _rows(embedded, places),
            embedded,
            beside,
            warnings,
            searched,
        )

    async def write(self, prepared: Prepared, most: int | None) -> Stored:
        """Write what was prepared, in order, once there is room for it.

        It returns once the store will not lose it, perhaps before the index has followed. `most`
        is how many samples the gallery may hold by these.
        """
        stored = await self._write(prepared, most)
        late = [i for i, each in enumerate(stored.outcomes) if isinstance(each, ModelMismatch)]
        if late:  # the gallery may have got another comparator meanwhile
            await self._galleries.refresh()
            asked = [prepared.asked[i] for i in late]
            again = await self._write(await self.prepare(prepared.gallery, asked, most), most)
            for i, outcome in zip(late, again.outcomes, strict=True):
                stored.outcomes[i] = outcome
            stored.following.extend(again.following)
        return stored

    async def _write(self, prepared: Prepared, most: int | None) -> Stored:
        stored = Stored([])
        while (start := len(stored.outcomes)) < len(prepared.asked):
            stop = len(prepared.asked)
            if most is not None:
                await stored.followed()
                held = self._galleries.get(prepared.gallery).index.samples
                room = most - held + prepared.places[start]
                stop = bisect_right(prepared.places, room, start) - 1
                if stop <= start:
                    stored.outcomes.append(no_room(most))
                    continue
            await self._write_some(prepared, range(start, stop), stored)
        if most is not None:  # or who writes next would not know how much room is left
            await stored.followed()
        return stored

    async def _write_some(self, prepared: Prepared, some: range, stored: Stored) -> None:
        started = perf_counter()
        refused = prepared.refused()
        kept = [i for i in some if i not in refused]
        told: Iterator[Enrollments | Exception] = iter(())
        if kept:
            intake = prepared.intake(some, kept)
            done = await self._store_all(intake, stored)
            told = prepared.told(kept, done, perf_counter() - started)
        stored.outcomes += [refused[i] if i in refused else next(told) for i in some]

    async def _store_all(self, intake: Intake, stored: Stored) -> Admitted:
        """Write enrollments; the index then follows, now or as soon as it can."""
        self._galleries.demand_writable()
        replica = self._galleries.get(intake.gallery)
        started, asked = perf_counter(), monotonic()
        replica.expected += 1
        try:
            done = await self._store.enroll_all(intake)
        except BaseException:
            replica.expected -= 1
            raise
        following = asyncio.create_task(self._follow(replica, intake, done, asked))
        stored.following.append(following)
        if len(done.refused) < len(intake):
            self._on_write("enroll", perf_counter() - started)
        return done

    async def _follow(
        self, replica: Replica, intake: Intake, done: Admitted, asked: float
    ) -> None:
        try:
            # It is written: where there is no memory for it now, the index follows by the log.
            with contextlib.suppress(StoreError, UnknownGallery, MemoryError):
                now = self._galleries.get(intake.gallery)  # perhaps of another comparator
                await now.take_in(self._store, intake, done, asked)
        finally:
            replica.expected -= 1

    async def _embed_all(
        self, replica: Replica, asked: Sequence[Asked], side: Side, most: int | None
    ) -> tuple[EmbeddedSamples, dict[int, Array]]:
        """Embed the samples of all, some together; return also embeddings by a second comparator.

        What keeps some from being embedded is the failure of each.
        """
        files = list(chain.from_iterable(each.files for each in asked))
        room = most if len(asked) == 1 else None
        turns = asyncio.Semaphore(GROUPS_AT_ONCE)
        budgets = self._embedder.budget(len(asked)), self._embedder.budget(len(asked))

        async def embed(some: slice) -> tuple[EmbeddedSamples, dict[int, Array]]:
            async with turns:
                return await self._embed(replica, files[some], side, room, budgets)

        groups = list(_together(asked))
        done = await asyncio.gather(*map(embed, groups))
        starts = [some.start for some in groups]
        beside = {
            start + place: row
            for start, (_, found) in zip(starts, done, strict=True)
            for place, row in found.items()
        }
        return EmbeddedSamples.joined([each for each, _ in done], starts), beside

    async def _embed(
        self,
        replica: Replica,
        files: Sequence[Given],
        side: Side,
        most: int | None,
        budgets: tuple[Budget, Budget],
    ) -> tuple[EmbeddedSamples, dict[int, Array]]:
        comparator, (own, others) = replica.comparator, budgets
        try:
            demand_room(most, replica.index.samples + len(files))
            return await asyncio.gather(
                self._embedder.embed(comparator, side, files, own),
                self._embed_beside(replica.beside, side, files, others),
            )
        except Exception as error:  # noqa: BLE001 - it is the outcome of each of these
            nothing = np.empty((0, comparator.manifest.dimension), np.float32)
            return EmbeddedSamples([], nothing, dict.fromkeys(range(len(files)), error), {}), {}

    async def _embed_beside(
        self, other: Comparator | None, side: Side, files: Sequence[Given], budget: Budget
    ) -> dict[int, Array]:
        """Return embeddings by a gallery's second comparator, by place, where there are any.

        There is none of a ready embedding. What it has no time for is made up for later.
        """
        places = [i for i, one in enumerate(files) if isinstance(one, Sample)]
        if other is None or not places:
            return {}
        try:
            found = await self._embedder.embed(other, side, [files[i] for i in places], budget)
        except Overloaded:
            return {}
        return {places[i]: row for i, row in zip(found.indices, found.embeddings, strict=True)}


def _rows(embedded: EmbeddedSamples, places: Sequence[int]) -> list[int]:
    """Return in which row of the embeddings those from each of the places on begin."""
    rows: list[int] = np.searchsorted(embedded.indices, places).tolist()
    return rows


def _doubts(
    index: Identifier,
    asked: Sequence[Asked],
    places: Sequence[int],
    embedded: EmbeddedSamples,
    *,
    others: bool,
) -> dict[int, Doubt]:
    """Return what is odd about samples, by place."""
    rows = _rows(embedded, places)
    own = [
        (each.identity, embedded.embeddings[start:stop])
        for each, (start, stop) in zip(asked, pairwise(rows), strict=True)
        if start < stop
    ]
    found: list[Doubt | None] = []
    if len(own) > 1 and len(own) == len(embedded.indices):
        identities = [identity for identity, _ in own]
        found = index.doubts_of_each(identities, embedded.embeddings, others=others)
    else:
        for identity, samples in own:
            doubts = index.doubts(identity, samples)
            found += [doubts.of(i) for i in range(len(samples))]
    return {place: doubt for place, doubt in zip(embedded.indices, found, strict=True) if doubt}


def _warned(doubts: Mapping[int, Doubt], places: Sequence[int]) -> dict[int, list[str]]:
    """Return in words what is odd about samples, by enrollment."""
    warnings: dict[int, list[str]] = {}
    for place, doubt in doubts.items():
        i = bisect_right(places, place) - 1
        warnings.setdefault(i, []).append(f"sample {place - places[i]} {DOUBTS[doubt]}")
    return warnings


def fingerprint(given: Given) -> str:
    """Return the SHA-256 of a sample's content, in hex: the same bytes are one sample."""
    content = given.content if isinstance(given, Sample) else given.values.tobytes()
    return hashlib.sha256(content).hexdigest()


def _together(asked: Sequence[Asked]) -> Iterator[slice]:
    """Yield the places of samples that are embedded together: ready embeddings cost nothing."""
    start = end = samples = 0
    for each in asked:
        more = sum(isinstance(one, Sample) for one in each.files)
        if end > start and samples + more > EMBEDDED_TOGETHER:
            yield slice(start, end)
            start, samples = end, 0
        end, samples = end + len(each.files), samples + more
    yield slice(start, end)


def _warnings(samples: Sequence[EnrolledSample]) -> list[str]:
    duplicates = [sample for sample in samples if sample.outcome == "duplicate"]
    return [f"{len(duplicates)} of the samples were enrolled before"] if duplicates else []
