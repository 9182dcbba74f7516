"""Many readers or one writer at a time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Condition


class _Held(AbstractContextManager[None]):
    """What is begun, and ended with the context.

    A generator would take more than twice as long, and an identification reads twice a probe.
    """

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin = begin
        self._end = end

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, *_: object) -> None:
        self._end()


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
        self._as_reader = _Held(self._begin_reading, self._end_reading)
        self._as_writer = _Held(self._begin_writing, self._end_writing)

    def reading(self) -> AbstractContextManager[None]:
        """Hold the lock together with other readers."""
        return self._as_reader

    def writing(self) -> AbstractContextManager[None]:
        """Hold the lock alone."""
        return self._as_writer

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
        try:
            yield
        finally:
            self._end_reading()

    def _begin_reading(self) -> None:
        with self._turn:
            if self._writing or self._writers_waiting:
                written = self._written
                self._readers_waiting += 1
                self._turn.wait_for(lambda: self._written > written)
                self._readers_next -= 1
            self._readers += 1

    def _end_reading(self) -> None:
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
