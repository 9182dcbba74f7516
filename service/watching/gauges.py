"""Gauges are kept level with what there is, every second."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import structlog

from index import CurvePoint, Identifier
from service.replicas.erasure import Pending
from service.replicas.replica import Replica
from service.replicas.stowing import Stowage
from service.use_cases.recogniser import Recogniser
from service.watching.canaries import Canaries
from service.watching.drift import Drift
from service.watching.memory import memory
from service.watching.telemetry import GalleryState, Telemetry

EVERY = 1.0  # seconds

log = structlog.get_logger("kindred.gauges")

Judged = tuple[int, float, object]  # a gallery's version, the target, and its settings


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is looked at, and the series that show it; `listed` galleries have their own."""

    telemetry: Telemetry
    recogniser: Recogniser
    stowage: Stowage
    pending: Pending
    drift: Drift
    canaries: Canaries
    listed: tuple[str, ...]
    queue_length: int
    _points: WeakKeyDictionary[Identifier, tuple[Judged, CurvePoint]] = field(
        default_factory=WeakKeyDictionary
    )

    async def keep(self, draining: Callable[[], bool]) -> None:
        """Show what there is until cancelled."""
        while True:
            try:
                await self.show(draining=draining())
            except Exception:
                log.exception("showing the gauges failed; it is tried again")
            await asyncio.sleep(EVERY)

    async def show(self, *, draining: bool) -> None:
        """Show what there is now."""
        telemetry, galleries = self.telemetry, self.recogniser.galleries
        replicas = galleries.replicas
        telemetry.galleries([await self._state(replica) for replica in replicas])
        for comparator, depth in self.recogniser.queue_depths().items():
            telemetry.queue(comparator, depth, self.queue_length)
        if "starting" not in galleries.reasons:  # it takes half a second, once
            for shift in await asyncio.to_thread(self.drift.shifts):
                telemetry.drift(shift.comparator, shift.index, shift.limit, shift.probes)
        telemetry.store(
            up=galleries.reachable, durable=galleries.reachable and not galleries.details
        )
        kept = any(self.stowage.holds(replica, replica.erased) for replica in replicas)
        self.pending.tell("snapshots", kept)
        telemetry.erasure_pending(self.pending.seconds)
        telemetry.ready_reasons(galleries.reasons + ["draining"] * draining)
        now = memory()
        telemetry.memory(now.used, now.limit)

    async def _state(self, replica: Replica) -> GalleryState:
        """Return the sizes of a gallery and, of a listed one, what it promises."""
        index = replica.index
        sizes = GalleryState(replica.name, index.identities, index.samples, replica.version)
        if replica.name not in self.listed:
            return sizes
        target = replica.state.settings.target_fpir or self.recogniser.target_fpir
        judged = (replica.version, target, replica.state.settings)
        known, point = self._points.get(index, (None, None))
        if point is None or known != judged:
            curve = await asyncio.to_thread(index.operating_curve, [target])
            point = curve.points[0]
            self._points[index] = judged, point
        return GalleryState(
            replica.name,
            index.identities,
            index.samples,
            replica.version,
            target_fpir=target,
            threshold=point.threshold,
            cohort_identities=replica.cohort[1],
            staleness=replica.staleness,
            expected_fnir=point.expected_fnir,
            index_recall=index.recall,
            calibrated=replica.calibrated,
            canary_fpir=self.canaries.fpir(replica.name),
        )
