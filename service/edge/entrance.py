"""What every connection comes past: who is waited for, and what work is taken on."""

import asyncio
from collections import Counter

import structlog

from service.edge.admission import Admission, Kind, kind_of_work
from service.edge.connections import SWEEP, Connections, Patience
from service.settings import Settings
from service.watching.logs import take_dropped
from service.watching.telemetry import Telemetry

TELL_EVERY = 4  # sweeps
FEWEST = 16
"""Requests of short work that are taken on, however long each takes."""

log = structlog.get_logger("kindred.entrance")


class Entrance:
    """At most `most` connections, and the work of one service, as its settings bound them."""

    def __init__(self, settings: Settings, telemetry: Telemetry, most: int) -> None:
        patience = Patience(
            most, settings.keep_alive, settings.head_timeout, settings.send_timeout
        )
        self.connections = Connections(patience, telemetry.connection_ended)
        self.admission = Admission(
            wait=settings.max_wait,
            fewest=FEWEST,
            most_long=settings.long_requests,
        )
        self._telemetry = telemetry
        self._turned_away: Counter[str] = Counter()

    def admits(self, path: str) -> tuple[Kind | None, bool]:
        """Return what kind of work a path asks for, and whether it may come in now."""
        kind = kind_of_work(path)
        return kind, kind is None or self.admission.admits(kind)

    def turned_away(self, path: str) -> None:
        """Count a request that may not; as there may be thousands, they share a log line."""
        self._turned_away[_template(path)] += 1

    async def watch(self) -> None:
        """End connections that take too long, and tell of all, until cancelled."""
        while True:
            for _ in range(TELL_EVERY):
                await asyncio.sleep(SWEEP)
                self.connections.sweep()
            self._tell()

    def _tell(self) -> None:
        turned_away, self._turned_away = self._turned_away, Counter()
        for route, count in turned_away.items():
            self._telemetry.turned_away(route, count)
            log.info("turned away", route=route, requests=count)
        self._telemetry.log_lines_dropped(take_dropped())
        waiting = self.connections.waiting()
        self._telemetry.entrance(
            len(self.connections), waiting, self.admission.under_way, self.admission.limit
        )


def _template(path: str) -> str:
    if path.startswith("/galleries/"):
        return f"/galleries/{{gallery}}/{path.rpartition('/')[2]}"
    return path
