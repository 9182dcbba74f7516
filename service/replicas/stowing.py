"""When a gallery's snapshot is written, and when it may lie there no longer."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import structlog

from service.replicas.replica import Replica
from service.replicas.snapshots import Snapshots
from service.store.kept import Position

EVERY = 0.5  # seconds between two looks
QUIET = 5.0  # seconds without a change after which a changed gallery is stowed
BUSY = 0.1  # share of the samples changed after which it is stowed although it is not quiet
FEW = 1000  # changes that are not yet worth that
REST = 20  # times as long as writing took before the same gallery is written again
AFTER_FAILURE = 300.0  # seconds before a snapshot that could not be written is tried again

log = structlog.get_logger("kindred.stowing")


@dataclass(slots=True)
class _Stowed:
    """What is known of one gallery's file; times of `monotonic`."""

    saved: Position | None  # None: there is none
    seen: Position
    since: float
    not_before: float = 0.0


class Stowage:
    """Keeps the snapshots of all replicas: none outlives what was forgotten, and none lags far.

    A snapshot that holds something forgotten since is removed at the next look, before another is
    written. `replicas` are those served, or None while that is not known.
    """

    def __init__(self, snapshots: Snapshots, replicas: Callable[[], list[Replica] | None]) -> None:
        self._snapshots = snapshots
        self._replicas = replicas
        self._known: dict[str, _Stowed] = {}

    def holds(self, replica: Replica, version: int) -> bool:
        """Whether a file here may hold what that version of a gallery has erased."""
        known = self._known.get(replica.name)
        saved = known.saved if known else replica.resumed
        return saved is not None and (
            saved.lineage != replica.position.lineage or saved.version < version
        )

    async def run(self) -> None:
        """Look every now and then until cancelled."""
        await asyncio.to_thread(self._snapshots.sweep)
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("stowing galleries failed; it is tried again")
            await asyncio.sleep(EVERY)

    async def close(self) -> None:
        """Write all that has changed."""
        try:
            await self.look(closing=True)
        except Exception:
            log.exception("galleries were not stowed; the next start reads the store")

    async def look(self, *, closing: bool = False) -> None:
        """Remove what may lie there no longer, and write what is due; `closing`: all changed."""
        replicas = self._replicas()
        if replicas is None:
            return
        await self._remove_others({replica.name for replica in replicas})
        for replica in replicas:
            known = self._look_at(replica)
            if known.saved is not None and self.holds(replica, replica.erased):
                await self._remove(replica.name)
            if replica.index.samples and (closing or _is_due(replica, known)):
                await self._write(replica, known)

    def _look_at(self, replica: Replica) -> _Stowed:
        known = self._known.get(replica.name)
        if known is None:
            known = _Stowed(replica.resumed, replica.position, monotonic())
            self._known[replica.name] = known
        if known.seen != replica.position:
            known.seen, known.since = replica.position, monotonic()
        return known

    async def _remove_others(self, served: set[str]) -> None:
        """Remove files of galleries that are gone or not served, and files that were not used."""
        for name in await asyncio.to_thread(self._snapshots.galleries):
            known = self._known.get(name)
            if name not in served or (known is not None and known.saved is None):
                await self._remove(name)
        for name in self._known.keys() - served:
            del self._known[name]

    async def _remove(self, name: str) -> None:
        await asyncio.to_thread(self._snapshots.remove, name)
        if name in self._known:
            self._known[name].saved = None

    async def _write(self, replica: Replica, known: _Stowed) -> None:
        if replica.position == known.saved:
            return
        started, rest = monotonic(), QUIET
        snapshot = await replica.freeze()
        if snapshot is None:
            return
        known.saved = snapshot.position  # from now on some file may hold it
        try:
            await asyncio.to_thread(self._snapshots.write, snapshot)
        except OSError as error:  # a full disk, say: the store has all that is in it
            log.warning("a snapshot was not written", error=type(error).__name__)
            with contextlib.suppress(OSError):
                await self._remove(replica.name)
            rest = AFTER_FAILURE
        took = monotonic() - started
        known.not_before = monotonic() + max(rest, REST * took)


def _is_due(replica: Replica, known: _Stowed) -> bool:
    if replica.position == known.saved or monotonic() < known.not_before:
        return False
    quiet = monotonic() - known.since >= QUIET
    changes = replica.version - (known.saved.version if known.saved else 0)
    return quiet or changes >= max(FEW, BUSY * replica.index.samples)
