"""How much work is taken on: as much as is done before who asks last has waited too long."""

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self

Kind = Literal["short", "long"]

SHORT = frozenset({"/verify", "/embed", "/identify", "/enroll"})
LONG = frozenset({"/cluster", "/enroll/bulk", "/evaluate"})
LONG_OF_A_GALLERY = frozenset(
    {"cohort", "import", "export", "health", "map", "migrate", "operating-curve"}
)
SEE_THEMSELVES = frozenset({"bulk", "evaluate", "import", "export", "migrate"})
"""Last words of paths whose routes read or write on and on, and so see when a client leaves."""
WHILE_IT_COMES = frozenset({"bulk", "import"})
"""… and of those whose body is worked on while it comes."""
PLACE = "kindred.place"
"""Where the scope of a request has the place that it was given."""

MEMORY = 1.0  # seconds of work that the pace is measured over
BURST = 3  # times as many may come at once …
ROOM = 0.75  # … where less than this share of the places was taken …
STANDING = 0.1  # … on average over some such seconds
AT_FIRST = 0.005  # seconds that a request is thought to take before one was seen
STEADY, PAUSE = 1024, 1.0  # a body comes while so many bytes do in so many seconds


def kind_of_work(path: str) -> Kind | None:
    """Return what kind of work a path asks for; None if it is hardly any."""
    if path in SHORT:
        return "short"
    match path.split("/"):
        case ["", "galleries", _, last] if last in LONG_OF_A_GALLERY:
            return "long"
    return "long" if path in LONG else None


class Admission:
    """Says who may come in now, before more than the head of a request is read.

    Short work is taken on as long as all that was taken on before is done within `wait` seconds,
    at the pace of the last second of work; `fewest` requests are, whatever the pace, so that the
    machine is never idle. By Little's law (1961) that wait is the number of requests under way
    times the time from one's end to the next one's. A burst may be larger, but not for long (as
    in CoDel, RFC 8289): what matters is work that stands, and keeps all that come later waiting.
    It is averaged over a time, for a batch that ends leaves nothing under way for a moment.
    Of long work `most_long` requests are taken on.
    """

    def __init__(
        self,
        *,
        wait: float,
        fewest: int,
        most_long: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._wait = wait
        self._fewest = fewest
        self._most_long = most_long
        self.clock = clock
        self._short = 0
        self._long: set[Place] = set()
        self._since = 0.0  # when something ended last, or work began after there was none
        self._stood, self._at = 0.0, clock()  # how many stood, and when that was told
        self._busy, self._done = AT_FIRST, 1.0  # seconds, requests: of the last second of work
        self._limit = max(fewest, int(wait / AT_FIRST))

    @property
    def limit(self) -> int:
        """How many requests of short work may be under way now."""
        return self._limit

    @property
    def most(self) -> int:
        """How many may be in a burst."""
        return BURST * self._limit

    @property
    def under_way(self) -> int:
        """How many requests of short work are."""
        return self._short

    def admits(self, kind: Kind) -> bool:
        """Say whether a request of this kind may come in now."""
        if kind == "long":
            return sum(place.at_work for place in self._long) < self._most_long
        if self._short < self._limit:
            return True
        return self._short < self.most and self._standing() < ROOM * self._limit

    def place(self, kind: Kind, path: str) -> "Place":
        """Return a place for a request; it counts once there is something to work on."""
        last = path.rpartition("/")[2]
        return Place(
            self,
            kind,
            droppable=last not in SEE_THEMSELVES,
            while_it_comes=last in WHILE_IT_COMES,
        )

    def begin(self, place: "Place") -> bool:
        """Count a request; return whether it is one too many after all."""
        if place.kind == "long":
            crowded = not self.admits("long")
            self._long.add(place)
            return crowded
        if self._short == 0:
            self._since = self.clock()
        self._change(1)
        return self._short > self.most

    def end(self, place: "Place") -> None:
        """Count a request no more; it tells of the pace if it was answered with success."""
        if place.kind == "long":
            self._long.discard(place)
            return
        self._change(-1)
        passed, self._since = self._at - self._since, self._at
        fading = math.exp(-passed / MEMORY)
        self._busy = self._busy * fading + passed
        self._done = self._done * fading + place.answered
        self._limit = max(self._fewest, int(self._wait * self._done / max(self._busy, 1e-6)))

    def _standing(self) -> float:
        fading = math.exp((self._at - self.clock()) / STANDING)
        return self._short + (self._stood - self._short) * fading

    def _change(self, by: int) -> None:
        self._stood, self._at = self._standing(), self.clock()
        self._short += by


class Place:
    """A request's place among the work, given back when the request ends."""

    def __init__(
        self, admission: Admission, kind: Kind, *, droppable: bool, while_it_comes: bool
    ) -> None:
        self.kind = kind
        self._admission = admission
        self._droppable = droppable
        self._counts = self.ended = False
        self._task: asyncio.Task[Any] | None = None
        self.answered = False
        """Whether it was, with success."""
        self.crowded = False
        """Whether so many came at the same time that it should be sent away after all."""
        self.left = False
        """Whether the client has, so that the work was dropped."""
        self.whole = False
        """Whether the whole request is here."""
        self._while_it_comes = while_it_comes
        self._came, self._steady = 0, -math.inf  # bytes since enough of them had come, and when

    @property
    def at_work(self) -> bool:
        """Whether there is something to work on: all of it, or a body that goes on coming."""
        return self.whole or self._admission.clock() - self._steady < PAUSE

    def come(self, size: int) -> None:
        """Note that so many bytes of the body have come."""
        self._came += size
        if self._while_it_comes and self._came >= STEADY:
            self._came, self._steady = 0, self._admission.clock()
            self._count()

    def begin(self) -> None:
        """Count this request: the whole of it is here, and now it is work."""
        self.whole = True
        self._count()

    def leave(self) -> None:
        """Drop the work where it stands: nobody waits for it any more."""
        if self._task is None:
            self.left = True
            self._end()
        elif self._droppable:
            self.left = True
            self._task.cancel()

    def _count(self) -> None:
        if not (self._counts or self.ended):
            self._counts = True
            self.crowded |= self._admission.begin(self)

    def _end(self) -> None:
        if self._counts and not self.ended:
            self._admission.end(self)
        self.ended = True

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task = None
        self._end()
