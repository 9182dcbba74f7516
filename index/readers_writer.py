"""Many readers or one writer at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition


class ReadersWriterLock:
    """Lets many threads read together and one write alone; not reentrant.

    A waiting writer goes before readers that come after it, and those that waited for a writer go
    before the next: neither a stream of searches nor one of enrollments keeps the other waiting.
    """

    def __init__(self) -> None:
        self._turn = Condition()
        self._readers = 0
        self._readers_waiting = 0
        self._readers_next = 0  # who waited for the last writer, and are still to come
        self._writers_waiting = 0
        self._writing = False
        self._written = 0  # how many writers have ended

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._turn:
            if self._writing or self._writers_waiting:
                written = self._written
                self._readers_waiting += 1
                self._turn.wait_for(lambda: self._written > written)
                self._readers_next -= 1
            self._readers += 1
        with self._as_reader():
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock alone."""
        self._begin_writing()
        try:
            yield
        finally:
            self._end_writing()

    @contextmanager
    def reading_after(self, prepare: Callable[[], None]) -> Iterator[None]:
        """Prepare alone, and then hold the lock together with other readers.

        No writer comes between, who might undo what was prepared.
        """
        self._begin_writing()
        try:
            prepare()
        except BaseException:
            self._end_writing()
            raise
        self._end_writing(readers=1)
        with self._as_reader():
            yield

    @contextmanager
    def _as_reader(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._turn:
                self._readers -= 1
                self._turn.notify_all()

    def _begin_writing(self) -> None:
        with self._turn:
            self._writers_waiting += 1
            self._turn.wait_for(lambda: not (self._writing or self._readers or self._readers_next))
            self._writers_waiting -= 1
            self._writing = True

    def _end_writing(self, readers: int = 0) -> None:
        with self._turn:
            self._writing = False
            self._written += 1
            self._readers += readers
            self._readers_next, self._readers_waiting = self._readers_waiting, 0
            self._turn.notify_all()
