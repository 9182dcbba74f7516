"""One gallery in memory: it follows the store's log, and is all that decisions read."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, chain, repeat
from time import monotonic

import numpy as np

from index import Frozen, Identifier, Reference, Source
from index.frozen import Numbers
from models_store import Comparator
from models_store.comparator import Array
from service.replicas.calibrations import of_gallery, rule_of
from service.replicas.reading import Gathered, joined, nothing_collected, overlap
from service.replicas.snapshots import Snapshot, Snapshots
from service.store.errors import OutOfStep
from service.store.identities import IdentityStore
from service.store.intake import Admitted, Intake
from service.store.kept import (
    JUDGING,
    GalleryState,
    Position,
    References,
    Rejection,
    StoredCohort,
)

ERASING = frozenset({"forget-identity", "forget-sample", "cohort"})
RESETTING = frozenset({"patch", "undo"})
SPARE = 64  # one sample for so many may come while a gallery is read, and have room beside them


class ReplicaBehind(Exception):
    """What the store has by now is not known here in time."""


@dataclass(slots=True)
class Replica:
    """A gallery's index and the position in the change log that it has reached.

    Everything enters by the log, this process's own writes included, so that there is one path
    to the index and any number of processes agree. `level` is when it was last known to have all
    that the store had, of `monotonic`.
    """

    state: GalleryState
    comparator: Comparator
    index: Identifier
    new_index: Callable[[Comparator, GalleryState], Identifier]
    executor: Executor
    position: Position
    own_cohort: int = 0  # strangers that users uploaded; 0: the bundle's are in force
    erased: int = 0  # the last version that took something away which a snapshot may hold
    resumed: Position | None = None  # where the snapshot stood from which this was taken up
    beside: Comparator | None = None  # the gallery's second one, while it has one
    level: float = field(default_factory=monotonic)
    expected: int = 0  # writes of this process that are on their way here
    torn: bool = False  # whether a change ended midway, and so all is to be read anew
    _own: StoredCohort | None = None
    _samples: dict[int, set[int]] = field(default_factory=dict)  # identity number → sample ids
    _owners: dict[int, int] = field(default_factory=dict)  # sample id → identity number
    _names: dict[int, str] = field(default_factory=dict)  # identity number → name
    _rejections: list[Rejection] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def load(
        cls,
        store: IdentityStore,
        state: GalleryState,
        comparator: Comparator,
        new_index: Callable[[Comparator, GalleryState], Identifier],
        executor: Executor,
        snapshots: Snapshots,
    ) -> "Replica":
        """Take a gallery up from its snapshot and what changed since, or read all of it."""

        def empty() -> "Replica":
            index = new_index(comparator, state)
            return cls(state, comparator, index, new_index, executor, state.position)

        replica = empty()
        loop = asyncio.get_running_loop()
        lineage = state.position.lineage
        snapshot = await loop.run_in_executor(
            executor, snapshots.read, replica.name, comparator.digest, lineage
        )
        if snapshot is not None:
            try:
                await replica._take_up(store, snapshot)
            except OutOfStep:
                snapshots.on_read("stale")
            except ValueError:  # what no index takes
                snapshots.on_read("corrupt")
            else:
                snapshots.on_read("used")
                return replica
            replica = empty()
        await replica._read_all(store, state)
        return replica

    @property
    def name(self) -> str:
        """The gallery's name."""
        return self.state.settings.name

    @property
    def rejections(self) -> Sequence[Rejection]:
        """What was said not to be whom, as far as this has followed."""
        return self._rejections

    @property
    def names(self) -> Mapping[int, str]:
        """Who is enrolled here: names by number."""
        return self._names

    @property
    def version(self) -> int:
        """The last change that is applied here."""
        return self.position.version

    @property
    def staleness(self) -> float:
        """Seconds since this was known to be level with the store."""
        return monotonic() - self.level

    @property
    def cohort(self) -> tuple[Source, int]:
        """Whose strangers judge this gallery, and how many they are."""
        own = self.own_cohort
        bundled = self.comparator.cohorts[self.state.settings.probes]
        return ("gallery", own) if own else ("bundle", len(bundled))

    @property
    def calibrated(self) -> float | None:
        """When what judges this gallery was put in force or, the bundle's, made: s since 1970."""
        if self._own is not None:
            return self._own.put
        made = self.comparator.manifest.provenance.created
        return made.timestamp() if made else None

    async def catch_up(self, store: IdentityStore) -> None:
        """Apply every change that the store has and this replica has not.

        A gallery that has got another comparator is another replica's: this one stays as it is.
        It goes on when the caller is cancelled, who may have a deadline: a change that is half
        applied would be so for good.
        """
        await asyncio.shield(self._catch_up(store))

    async def _catch_up(self, store: IdentityStore) -> None:
        async with self._turn:
            with suppress(OutOfStep):
                if not self.torn:
                    await self._follow(store)
                    return
            state = await store.gallery(self.name)
            if state.settings.digest == self.comparator.digest:
                await self._read_all(store, state)

    async def reach(self, store: IdentityStore, version: int) -> None:
        """Catch up unless `version` is applied already."""
        if self.version < version:
            await self.catch_up(store)

    async def take_in(
        self, store: IdentityStore, intake: Intake, done: Admitted, asked: float
    ) -> None:
        """Apply enrollments that were just written, one after the other, by who `asked` then.

        What they changed is known where they were written: only where something else came between
        is the store asked.
        """
        await asyncio.shield(self._take_in_written(store, intake, done, asked))

    async def _take_in_written(
        self, store: IdentityStore, intake: Intake, done: Admitted, asked: float
    ) -> None:
        latest = max(done.versions)
        async with self._turn:
            new = self.version < latest and not self.torn
            if new and (reached := self._goes_on(intake, done)):
                await self._append(intake, done)
                self.position, self.level = reached, max(self.level, asked)
        await self.reach(store, latest)

    def _goes_on(self, intake: Intake, done: Admitted) -> Position | None:
        """Return where these lead, if they are the changes after what is applied here.

        None also where there are none, or the gallery is of another model by now.
        """
        version, last, model = self.version, self.position.hash, self.comparator.digest
        changes = zip(done.versions, done.previous, done.hashes, done.sealed, strict=True)
        for after, before, made, (digest, _) in changes:
            if made:
                if before != last or digest != model or intake.digest != model:
                    return None
                version, last = after, made
        same = version == self.version
        return None if same else Position(self.position.lineage, version, last)

    async def _append(self, intake: Intake, done: Admitted) -> None:
        """Hold what was added.

        Some may be held already: whoever follows the log reads references as they are by then, and
        may lose the store before it is as far as that.
        """
        owners, (numbers, names) = done.owners, (done.numbers, intake.identities)
        made = [i for i, hash_ in enumerate(done.hashes) if hash_]
        self._names.update((numbers[i], names[i]) for i in made)
        new = (row for row, added in enumerate(done.added) if added)
        rows = [row for row in new if done.ids[row] not in self._owners]
        with self._whole():
            if rows:
                added = [Reference(done.ids[row], names[owners[row]]) for row in rows]
                await self._in_thread(self.index.change, [], added, intake.embeddings[rows])
            for row in rows:
                key, number = done.ids[row], numbers[owners[row]]
                self._owners[key] = number
                self._samples.setdefault(number, set()).add(key)
        changed = set(numbers)
        if any(each.identity in changed for each in self._rejections):
            await self._reject()

    async def freeze(self) -> Snapshot | None:
        """Return the gallery as it is now; None if it is to be read anew."""
        async with self._turn:
            if self.torn:
                return None
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.executor, self._frozen)

    def _frozen(self) -> Snapshot:
        frozen = self.index.freeze()
        owners = np.repeat(np.arange(len(frozen.counts)), frozen.counts)
        rows = dict(zip(frozen.keys.tolist(), owners.tolist(), strict=True))
        numbers = np.zeros(len(frozen.counts), np.int64)
        for number, samples in self._samples.items():
            numbers[rows[next(iter(samples))]] = number
        digest = self.comparator.digest
        return Snapshot(self.name, digest, self.position, numbers, self._own, frozen)

    async def _take_up(self, store: IdentityStore, snapshot: Snapshot) -> None:
        """Be what a snapshot says and the log adds, or raise OutOfStep."""
        self.position = self.resumed = snapshot.position
        await store.changes(self.name, self.position, limit=1)  # or all that follows were in vain
        if snapshot.cohort is not None:
            await self._put_cohort(snapshot.cohort)
        take_in = partial(self._take_in, searched=snapshot.searched)
        await self._in_thread(take_in, snapshot.numbers, snapshot.frozen)
        await self._read_rejections(store)
        await self._follow(store)
        await self._in_thread(self.index.prepare)

    def _take_in(self, numbers: Numbers, frozen: Frozen, *, searched: bool) -> None:
        """Hold identities of these numbers, where there are none yet."""
        with nothing_collected():
            self.index.thaw(frozen, searched=searched)
            keys, counts, each = frozen.keys.tolist(), frozen.counts.tolist(), numbers.tolist()
            self._names = dict(zip(each, frozen.identities, strict=True))
            owners = chain.from_iterable(map(repeat, each, counts))
            self._owners = dict(zip(keys, owners, strict=True))
            self._samples = {
                number: set(keys[end - count : end])
                for number, count, end in zip(each, counts, accumulate(counts), strict=True)
            }

    async def _follow(self, store: IdentityStore) -> None:
        asked = monotonic()
        while changes := await store.changes(self.name, self.position):
            last = changes[-1]
            if any(change.operation == "cohort" for change in changes):
                await self._read_cohort(store)
            if any(change.operation in RESETTING for change in changes):
                await self._read_settings(store)
            numbers = {number for change in changes for number in change.identities}
            if numbers:
                await self._replace(
                    await store.references(self.name, self.position, numbers), numbers
                )
            if any(change.operation in JUDGING for change in changes):
                await self._read_rejections(store)
            elif any(each.identity in numbers for each in self._rejections):
                await self._reject()
            self.position = Position(self.position.lineage, last.version, last.hash)
            erasing = [change.version for change in changes if change.operation in ERASING]
            self.erased = max([self.erased, *erasing])
            asked = monotonic()
        self.level = asked

    async def _read_all(self, store: IdentityStore, state: GalleryState) -> None:
        """Build a new index beside the one in use, and swap it in when it is whole."""
        fresh = Replica(
            state,
            self.comparator,
            self.new_index(self.comparator, state),
            self.new_index,
            self.executor,
            state.position,
        )
        gathered = Gathered(state.samples + state.samples // SPARE)
        async for chunk in store.load(self.name, state.position):
            gathered.add(chunk)
        if overlap(gathered.chunks):  # somebody was renamed, merged or made anew meanwhile
            for chunk in gathered.chunks:
                await fresh._replace(chunk, set(chunk.names))
        elif gathered.chunks:
            await fresh._in_thread(lambda: fresh._take_in(*joined(gathered), searched=False))
        gathered.chunks.clear()
        await fresh._read_cohort(store)
        await fresh._read_rejections(store)
        await fresh._follow(store)
        await self._in_thread(fresh.index.prepare)  # or the first to ask would wait for it
        self.state, self.index, self.position = fresh.state, fresh.index, fresh.position
        self._samples, self._owners, self._names = fresh._samples, fresh._owners, fresh._names
        self.own_cohort = fresh.own_cohort
        self._own, self.erased, self._rejections = fresh._own, fresh.version, fresh._rejections
        self.level, self.torn = fresh.level, False

    async def _replace(self, references: References, numbers: set[int]) -> None:
        """Let these identities have just these references, under the names that they have now.

        What the store has may be newer than the log so far: a sample that is told here may still
        be another identity's in this index, and leaves that one then.
        """
        owners, names = self._owners, self._names
        now = dict(zip(references.samples.tolist(), references.identities.tolist(), strict=True))
        held = set().union(*(self._samples.get(number, ()) for number in numbers))
        moved = {
            sample
            for sample, number in now.items()
            if sample in owners
            and (owners[sample], names[owners[sample]]) != (number, references.names[number])
        }
        gone = sorted((held - now.keys()) | moved)
        rows = [row for row, sample in enumerate(now) if sample not in owners or sample in moved]
        added = [
            Reference(sample, references.names[now[sample]])
            for sample in references.samples[rows].tolist()
        ]
        with self._whole():
            if gone or added:
                embeddings: Array = references.embeddings[rows]
                await self._in_thread(self.index.change, gone, added, embeddings)
            left = set()
            for sample in gone:
                number = owners.pop(sample)
                self._samples[number].discard(sample)
                left.add(number)
            for reference in added:
                owners[reference.key] = now[reference.key]
                self._samples.setdefault(now[reference.key], set()).add(reference.key)
            names.update(references.names)
            for number in left:
                if not self._samples[number]:
                    del self._samples[number], names[number]

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Mark what is changed meanwhile, the index and whose its samples are, as one change.

        It may end midway for want of memory, or of a thread, and what was asked of a thread may
        even be done later.
        """
        self.torn = True
        yield
        self.torn = False

    async def _read_settings(self, store: IdentityStore) -> None:
        """Decide by the settings that the gallery has now, if they are of this comparator."""
        settings = (await store.gallery(self.name)).settings
        if settings.digest == self.comparator.digest:
            self.state = replace(self.state, settings=settings)
            rule = rule_of(self.comparator, settings)
            await self._in_thread(self.index.decide_by, rule, settings.rule is None)

    async def _read_rejections(self, store: IdentityStore) -> None:
        self._rejections = await store.rejections(self.name, self.position)
        await self._reject()

    async def _reject(self) -> None:
        """Let the index know what was said not to be whom, by the names of now."""
        told: dict[str, list[Array]] = {}
        for each in self._rejections:
            if name := self._names.get(each.identity):
                told.setdefault(name, []).append(each.embedding)
        rows = {name: np.stack(embeddings) for name, embeddings in told.items()}
        await self._in_thread(self.index.reject, rows)

    async def _read_cohort(self, store: IdentityStore) -> None:
        own = await store.cohort(self.name, self.position)
        if own is not None:
            await self._put_cohort(own)

    async def _put_cohort(self, own: StoredCohort) -> None:
        strangers = members(own)
        measured = of_gallery(self.comparator, own, self.state.settings.probes)
        await self._in_thread(self.index.replace_cohort, strangers, "gallery", measured)
        self.own_cohort, self._own = len(strangers), own

    async def _in_thread(self, function: Callable[..., None], *arguments: object) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.executor, function, *arguments)


def members(own: StoredCohort) -> Array:
    """Return one embedding of each stranger, the first: (m, d)."""
    _, firsts = np.unique(own.identities, return_index=True)
    strangers: Array = own.embeddings[np.sort(firsts)]
    return strangers
