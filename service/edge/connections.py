"""Every open connection, and how long its client may keep us waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from heapq import merge
from itertools import islice, repeat
from time import monotonic
from typing import Protocol

SWEEP = 0.25  # seconds between two looks at who is overdue
SLOWEST_READER = 64 * 1024
"""Bytes of an answer that buy a client another second to read the rest in."""


class Stage(StrEnum):
    """What a connection waits for its client to do; the value is what its end is counted as."""

    IDLE = "idle"  # to begin a request
    HEAD = "head"  # to end its head
    BODY = "body"  # to end its body
    LEAVING = "leaving"  # to stop sending what is not read any more
    READING = "unread"  # to read its answer


CROWDED, FULL = "crowded", "full"
_MAKES_ROOM = ((Stage.LEAVING,), (Stage.IDLE, Stage.HEAD), (Stage.BODY,))
"""Who makes room for a newcomer: the one of the first kind that has been waited for longest."""
_LOOKED_AT = 16  # of each kind, to find one that makes room


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a client may take, by what it is waited for; `most` connections.

    A body has no time here: it is bounded while it is read, see `clients.ReceiveTimeout`.
    """

    most: int = 1000
    idle: float = 10.0
    head: float = 10.0
    unread: float = 30.0
    leaving: float = 2.0

    def of(self, stage: Stage) -> float:
        """Return the seconds for a stage."""
        times = {Stage.IDLE: self.idle, Stage.HEAD: self.head, Stage.LEAVING: self.leaving}
        return times.get(stage, float("inf"))


class Connection(Protocol):
    """A client's connection, as it is seen from here."""

    def unread(self) -> int:
        """Return how many bytes of answers the client has not taken."""

    def asks(self) -> bool:
        """Say whether something has come that nobody has read yet."""

    def sent(self) -> int:
        """Return how many bytes of a body have come, 0 while none is being sent."""

    def give_up(self, stage: Stage) -> None:
        """End it, because the client took too long or others need the place."""


@dataclass(slots=True)
class _Answer:
    """What a client has not read, since when, how many bytes it was then, and of its own body."""

    since: float
    left: int
    sent: int


class Connections:
    """Bounds the number of connections, and the time that each may be waited for.

    When there are too many, one makes room that has not even sent a whole request, and the one
    that has been waited for longest: so nobody who asks in full is ever sent away for those who
    do not. `on_end` is told why a connection was ended, a stage or `crowded` or `full`.
    """

    def __init__(
        self,
        patience: Patience,
        on_end: Callable[[str], None] = lambda _reason: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.closing = False
        """Whether no connection is kept after its next answer, because the service stops."""
        self._patience = patience
        self._on_end = on_end
        self._clock = clock
        self._open: dict[Connection, _Answer | None] = {}
        self._waiting: dict[Stage, dict[Connection, float]] = {stage: {} for stage in Stage}
        self._stages: dict[Connection, Stage] = {}

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def waiting(self) -> dict[str, int]:
        """Return how many are waited for, by what for."""
        return {stage.value: len(them) for stage, them in self._waiting.items()}

    def enter(self, connection: Connection) -> bool:
        """Take in a new connection; False if it is one too many and none can make room."""
        if len(self._open) >= self._patience.most and not self._make_room():
            self._on_end(FULL)
            return False
        self._open[connection] = None
        self.wait(connection, Stage.IDLE)
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.go_on(connection)
        self._open.pop(connection, None)

    def wait(self, connection: Connection, stage: Stage) -> None:
        """Wait for a client from now on to do this, instead of what it was waited for before."""
        self.go_on(connection)
        if connection in self._open:
            self._stages[connection] = stage
            self._waiting[stage][connection] = self._clock()

    def go_on(self, connection: Connection) -> None:
        """Wait for a client no longer: it has done what it was waited for."""
        if stage := self._stages.pop(connection, None):
            del self._waiting[stage][connection]

    def sweep(self) -> None:
        """End each connection whose client has taken too long."""
        now = self._clock()
        for stage, waiting in self._waiting.items():
            before = now - self._patience.of(stage)
            for connection in [one for one, since in waiting.items() if since <= before]:
                if _waits(connection, stage):
                    self._end(connection, stage, stage.value)
        for connection in [one for one in self._open if not self._reads(one, now)]:
            self._end(connection, Stage.READING, Stage.READING.value)

    def _reads(self, connection: Connection, now: float) -> bool:
        left, sent = connection.unread(), connection.sent()
        answer = self._open[connection] if left else None
        # More to read, or it is still sending, as many do before they read: it begins anew.
        if left and (answer is None or left > answer.left or sent > answer.sent):
            answer = _Answer(now, left, sent)
        self._open[connection] = answer
        if answer is None:
            return True
        earned = (answer.left - left) / SLOWEST_READER
        return now - answer.since < self._patience.unread + earned

    def _make_room(self) -> bool:
        for stages in _MAKES_ROOM:
            each = (zip(self._waiting[s].items(), repeat(s)) for s in stages)
            for (connection, _), stage in islice(merge(*each, key=_since), _LOOKED_AT):
                if _waits(connection, stage):
                    self._end(connection, stage, CROWDED)
                    return True
        return False

    def _end(self, connection: Connection, stage: Stage, reason: str) -> None:
        self.leave(connection)
        self._on_end(reason)
        connection.give_up(stage)


def _since(waited: tuple[tuple[Connection, float], Stage]) -> float:
    return waited[0][1]


def _waits(connection: Connection, stage: Stage) -> bool:
    """Say whether its client still has to do this: an idle one may have asked just now."""
    return stage != Stage.IDLE or not connection.asks()
