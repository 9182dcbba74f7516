"""Strangers and test vectors replayed now and then, whose answers are known beforehand."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from time import monotonic

import structlog

from index import TargetUnresolvable
from models_store import Comparator, broken_promise
from service.replicas.galleries import Galleries
from service.replicas.replica import Replica

LOOK_EVERY = 1.0  # seconds between two looks at what is due
MOST = 400  # strangers replayed against a gallery
AT_ONCE = 16  # … and in one go, so that requests come between
REST = 0.05  # seconds between two goes

log = structlog.get_logger("kindred.canaries")


class Canaries:
    """The bundle's strangers against some galleries, and test vectors against every encoder.

    A gallery's first replay comes as soon as somebody is enrolled, then one `every` so many
    seconds. `on_wrong` is told the comparator whose encoder does not embed its test vectors as
    the bundle promises. Nothing of this is traffic, and none of it is counted as such.
    """

    def __init__(
        self,
        galleries: Galleries,
        comparators: Iterable[Comparator],
        listed: Collection[str],
        target_fpir: float,
        *,
        every: float,
        on_wrong: Callable[[str], None] = lambda _comparator: None,
    ) -> None:
        self._galleries = galleries
        self._comparators = list(comparators)
        self._listed = listed
        self._target_fpir = target_fpir
        self._every = every
        self._on_wrong = on_wrong
        self._fpir: dict[str, tuple[float, float | None]] = {}  # gallery → when, what was found
        self._embedded = monotonic()  # the bundles were tried at start

    def fpir(self, gallery: str) -> float | None:
        """Return what share of the strangers was named in a gallery; None: not known."""
        _, found = self._fpir.get(gallery, (0.0, None))
        return found

    async def run(self) -> None:
        """Replay whatever is due until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("replaying canaries failed; it is tried again")
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Replay whatever is due now."""
        replicas = [each for each in self._galleries.replicas if each.name in self._listed]
        served = {replica.name for replica in replicas if replica.index.identities}
        self._fpir = {name: found for name, found in self._fpir.items() if name in served}
        for replica in replicas:
            at, _ = self._fpir.get(replica.name, (None, None))
            if replica.name in served and (at is None or monotonic() - at >= self._every):
                self._fpir[replica.name] = monotonic(), await self._replay(replica)
        if monotonic() - self._embedded >= self._every:
            self._embedded = monotonic()
            await self._embed()

    async def _replay(self, replica: Replica) -> float | None:
        settings = replica.state.settings
        target = settings.target_fpir or self._target_fpir
        strangers = replica.comparator.cohorts[settings.probes]
        strangers = strangers[:: -(-len(strangers) // MOST)]
        named = 0
        for start in range(0, len(strangers), AT_ONCE):
            some = strangers[start : start + AT_ONCE]
            try:
                outcomes = await asyncio.to_thread(replica.index.judged_apart, some, target)
            except TargetUnresolvable:
                return None
            named += outcomes.count("match")
            await asyncio.sleep(REST)
        return named / len(strangers)

    async def _embed(self) -> None:
        for comparator in self._comparators:
            wrong = await asyncio.to_thread(broken_promise, comparator)
            if wrong:
                log.error("canary wrong", comparator=comparator.title, reason=wrong)
                self._on_wrong(comparator.title)
