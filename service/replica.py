"""One gallery in memory: it follows the store's log, and is all that decisions read."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from index import Identifier, Reference, Source
from models_store import Comparator
from models_store.comparator import Array
from service.calibrations import of_gallery
from service.identities import (
    GalleryState,
    IdentityStore,
    OutOfStep,
    Position,
    References,
    StoredCohort,
)
from service.snapshots import Snapshot, Snapshots

ERASING = frozenset({"forget-identity", "forget-sample", "cohort"})


@dataclass(slots=True)
class Replica:
    """A gallery's index and the position in the change log that it has reached.

    Everything enters by the log, this process's own writes included, so that there is one path
    to the index and any number of processes agree. `changed` is set anew at each step forward.
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
    _own: StoredCohort | None = None
    _samples: dict[int, set[int]] = field(default_factory=dict)  # identity number → sample ids
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
    def version(self) -> int:
        """The last change that is applied here."""
        return self.position.version

    @property
    def cohort(self) -> tuple[Source, int]:
        """Whose strangers judge this gallery, and how many they are."""
        own = self.own_cohort
        bundled = self.comparator.cohorts[self.state.settings.probes]
        return ("gallery", own) if own else ("bundle", len(bundled))

    async def catch_up(self, store: IdentityStore) -> None:
        """Apply every change that the store has and this replica has not.

        A gallery that has got another comparator is another replica's: this one stays as it is.
        It goes on when the caller is cancelled, who may have a deadline: a change that is half
        applied would be so for good.
        """
        await asyncio.shield(self._catch_up(store))

    async def _catch_up(self, store: IdentityStore) -> None:
        async with self._turn:
            try:
                await self._follow(store)
            except OutOfStep:
                state = await store.gallery(self.name)
                if state.settings.digest == self.comparator.digest:
                    await self._read_all(store, state)

    async def reach(self, store: IdentityStore, version: int) -> None:
        """Catch up unless `version` is applied already."""
        if self.version < version:
            await self.catch_up(store)

    async def freeze(self) -> Snapshot:
        """Return the gallery as it is now."""
        async with self._turn:
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
        thaw = partial(self.index.thaw, searched=snapshot.searched)
        await self._in_thread(thaw, snapshot.frozen)
        keys, start = snapshot.frozen.keys.tolist(), 0
        for number, count in zip(
            snapshot.numbers.tolist(), snapshot.frozen.counts.tolist(), strict=True
        ):
            self._samples[number] = set(keys[start : start + count])
            start += count
        await self._follow(store)
        await self._in_thread(self.index.prepare)

    async def _follow(self, store: IdentityStore) -> None:
        while changes := await store.changes(self.name, self.position):
            last = changes[-1]
            if any(change.operation == "cohort" for change in changes):
                await self._read_cohort(store)
            numbers = {change.identity for change in changes if change.identity}
            if numbers:
                await self._replace(
                    await store.references(self.name, self.position, numbers), numbers
                )
            self.position = Position(self.position.lineage, last.version, last.hash)
            erasing = [change.version for change in changes if change.operation in ERASING]
            self.erased = max([self.erased, *erasing])

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
        async for references in store.load(self.name, state.position):
            await fresh._replace(references, set(references.names))
        await fresh._read_cohort(store)
        await fresh._follow(store)
        await self._in_thread(fresh.index.prepare)  # or the first to ask would wait for it
        self.state, self.index, self.position = state, fresh.index, fresh.position
        self._samples, self.own_cohort = fresh._samples, fresh.own_cohort
        self._own, self.erased = fresh._own, fresh.version

    async def _replace(self, references: References, numbers: set[int]) -> None:
        """Let these identities have just these references."""
        held = {number: self._samples.get(number, set()) for number in numbers}
        now: dict[int, set[int]] = {number: set() for number in numbers}
        for sample, number in zip(
            references.samples.tolist(), references.identities.tolist(), strict=True
        ):
            now[number].add(sample)
        gone = sorted(set().union(*held.values()) - set().union(*now.values()))
        rows = [
            (row, Reference(sample, references.names[number]))
            for row, (sample, number) in enumerate(
                zip(references.samples.tolist(), references.identities.tolist(), strict=True)
            )
            if sample not in held[number]
        ]
        added = [reference for _, reference in rows]
        embeddings: Array = references.embeddings[[row for row, _ in rows]]
        await self._in_thread(self._apply, gone, added, embeddings)
        self._samples.update(now)
        for number in [number for number, samples in now.items() if not samples]:
            del self._samples[number]

    def _apply(self, gone: list[int], added: list[Reference], embeddings: Array) -> None:
        if gone:
            self.index.forget(gone)
        if added:
            self.index.enroll(added, embeddings)

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
