"""Every gallery in memory, kept level with the store, and whether the store can be trusted."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from math import inf
from time import monotonic

import structlog

from index import Identifier
from models_store import Comparator
from service.replicas.replica import Replica, ReplicaBehind
from service.replicas.snapshots import Snapshots
from service.store.errors import (
    GalleryExists,
    ModelMismatch,
    OutOfStep,
    StoreError,
    UnknownGallery,
)
from service.store.identities import IdentityStore
from service.store.kept import GallerySettings, GalleryState

DEFAULT_GALLERY = "default"
ANSWERS_IN = 2.0  # seconds for a look at the store: one that is silent longer is not there
CHECK_EVERY = 10  # rounds of following between two checks of the store's configuration
OWN_FIRST = (
    1.0  # seconds for which a gallery may wait for writes of this process instead of reading them
)

log = structlog.get_logger("kindred.galleries")


class NotReady(Exception):
    """The service cannot do that yet, or not now; the message says why."""


class Galleries:
    """Replicas by name. Reads go on from memory while the store is away; writes ask `writable`.

    `reasons` tells what keeps the service from being ready, `details` the same in words. A gallery
    answers from memory for up to `max_staleness` seconds in which it could not be compared with
    the store. `keep_samples` is what the gallery `default` is made with where there is none.
    """

    def __init__(
        self,
        store: IdentityStore,
        comparators: Mapping[str, Comparator],
        default_comparator: Comparator | None,
        new_index: Callable[[Comparator, GalleryState], Identifier],
        executor: Executor,
        snapshots: Snapshots,
        *,
        max_staleness: float = inf,
        keep_samples: bool = False,
    ) -> None:
        self._snapshots = snapshots
        self._max_staleness = max_staleness
        self._keep_samples = keep_samples
        self._store = store
        self._by_digest = {comparator.digest: comparator for comparator in comparators.values()}
        self._default = default_comparator
        self._new_index = new_index
        self._executor = executor
        self._replicas: dict[str, Replica] = {}
        self._changing: dict[str, asyncio.Task[None]] = {}
        self._unserved: dict[str, str] = {}  # gallery → the comparator that is not served here
        self._turn = asyncio.Lock()
        self._findings: list[str] = []
        self._started = False
        self._reachable = False
        self._vanished = False

    @property
    def replicas(self) -> list[Replica]:
        """Every gallery that is served, by name."""
        return [self._replicas[name] for name in sorted(self._replicas)]

    def all_replicas(self) -> list[Replica] | None:
        """Every gallery that is served; None while it is not known which there are."""
        return self.replicas if self._started and not self._vanished else None

    @property
    def reachable(self) -> bool:
        """Whether the store answered when it was last asked."""
        return self._reachable

    @property
    def reasons(self) -> list[str]:
        """What keeps the service from being ready: words of a closed list."""
        found = {
            "starting": not self._started,
            "store-unavailable": not self._reachable,
            "store-not-durable": bool(self._findings) and self._reachable,
            "gallery-vanished": self._vanished,
            "no-comparator": self._default is None,
        }
        return [reason for reason, holds in found.items() if holds]

    @property
    def details(self) -> list[str]:
        """What the last check of the store found."""
        return list(self._findings)

    def get(self, name: str) -> Replica:
        """Return a gallery, or raise UnknownGallery, ModelMismatch or NotReady."""
        if replica := self._replicas.get(name):
            return replica
        if title := self._unserved.get(name):
            raise ModelMismatch(f"the gallery belongs to {title}, which is not served here")
        if not self._started or name == DEFAULT_GALLERY:
            raise NotReady("galleries are still to be read from the store")
        raise UnknownGallery("there is no such gallery")

    def demand_writable(self) -> None:
        """Raise NotReady if the store would not keep what it is given."""
        if self._findings and self._reachable:
            raise NotReady(f"the store does not keep writes safely: {'; '.join(self._findings)}")

    def demand_level(self, replica: Replica) -> None:
        """Raise ReplicaBehind if it is too long ago that a gallery was level with the store."""
        if replica.staleness > self._max_staleness:
            raise ReplicaBehind(
                f"the gallery was last level with the store {replica.staleness:.0f} s ago; "
                f"it answers for {self._max_staleness:g} s"
            )

    async def _ensure_default(self) -> None:
        """Make the gallery `default` where there is none: it always exists."""
        if self._default is None or self._findings or DEFAULT_GALLERY in self._replicas:
            return
        with contextlib.suppress(GalleryExists):
            await self._store.create_gallery(
                GallerySettings(
                    DEFAULT_GALLERY,
                    self._default.title,
                    self._default.digest,
                    keep_samples=self._keep_samples,
                )
            )

    async def take_in(self, state: GalleryState) -> Replica:
        """Serve a gallery that was just made or changed here."""
        async with self._turn:
            await self._take_in(state)
        await self.changed(state.settings.name)
        return self.get(state.settings.name)

    async def changed(self, name: str) -> None:
        """Wait until a gallery that gets another comparator here answers by it."""
        if task := self._changing.get(name):
            await asyncio.shield(task)

    async def drop(self, name: str) -> None:
        """Serve a gallery no more that was just deleted here; `default` is there again, empty."""
        async with self._turn:
            self._replicas.pop(name, None)
        await self.refresh()

    async def refresh(self, patience: float | None = None) -> None:
        """Take in galleries made, changed or deleted anywhere since the last time.

        Raises TimeoutError when the store takes more than `patience` seconds to list them.

        A store that lists none at all was emptied, for `default` always exists: then nothing is
        taken in, and what is held in memory is kept until somebody looks.
        """
        async with self._turn:
            await self._ensure_default()
            asked = monotonic()
            async with asyncio.timeout(patience):
                states = await self._store.galleries()
            self._vanished = not states and bool(self._replicas)
            if self._vanished:
                return
            for state in states:
                # Deleted since it was listed, or made anew: that is for the next time.
                with contextlib.suppress(UnknownGallery, OutOfStep):
                    await self._take_in(state, asked)
            for name in self._replicas.keys() - {state.settings.name for state in states}:
                del self._replicas[name]

    async def follow(self, every: float) -> None:
        """Keep level with the store until cancelled, checking it now and then; seconds."""
        rounds = 0
        while True:
            try:
                if not self._reachable:
                    self._findings = await self._store.check()
                if not self._started:
                    await self._store.sweep()
                # A write may wait long for its fsync. That a connection is open at this end only
                # is noticed by what needs none.
                await self.refresh(ANSWERS_IN)
                self._started = self._reachable = True
                rounds += 1
                if rounds % CHECK_EVERY == 0:
                    self._findings = await self._store.check()
            except (StoreError, TimeoutError) as error:
                if self._reachable or not self._started:
                    log.warning("store unavailable", error=type(error).__name__)
                self._reachable = False
            except Exception:
                log.exception("following the store failed; it is tried again")
            await asyncio.sleep(every)

    async def _take_in(self, state: GalleryState, asked: float = 0.0) -> None:
        """Serve a gallery as it was at `asked`, of `monotonic`, or later."""
        settings = state.settings
        comparator = self._by_digest.get(settings.digest)
        if comparator is None:
            self._unserved[settings.name] = settings.comparator
            self._replicas.pop(settings.name, None)  # of the comparator that it had before
            return
        replica = self._replicas.get(settings.name)
        if replica is None:
            replica = self._replicas[settings.name] = await self._load(state, comparator)
        elif replica.comparator is not comparator:
            self._change_comparator(state, comparator)
            replica.beside = comparator
            return
        elif replica.position != state.position:
            # Its own writes are taken in as they were written, which costs less than the log does.
            if not replica.expected or replica.staleness > OWN_FIRST:
                await replica.catch_up(self._store)
        else:
            replica.level = max(replica.level, asked)
        replica.beside = self._by_digest.get(state.beside or "")

    def _change_comparator(self, state: GalleryState, comparator: Comparator) -> None:
        """Read a gallery by another comparator; the one before answers until that is done."""
        name = state.settings.name
        if name not in self._changing:
            task = asyncio.create_task(self._read_by(state, comparator))
            self._changing[name] = task
            task.add_done_callback(lambda _: self._changing.pop(name))

    async def _read_by(self, state: GalleryState, comparator: Comparator) -> None:
        name = state.settings.name
        try:
            changed = await self._load(state, comparator)
            now = await self._store.gallery(name)
        except (StoreError, UnknownGallery, OutOfStep) as error:
            log.warning("reading by another comparator failed", error=type(error).__name__)
        except Exception:
            log.exception("reading by another comparator failed; it is tried again")
        else:
            if now.settings.digest == comparator.digest and name in self._replicas:
                changed.beside = self._by_digest.get(now.beside or "")
                self._replicas[name] = changed

    async def _load(self, state: GalleryState, comparator: Comparator) -> Replica:
        return await Replica.load(
            self._store, state, comparator, self._new_index, self._executor, self._snapshots
        )
