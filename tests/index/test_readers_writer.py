"""Readers share, a writer does not, and a waiting writer is not passed by."""

from threading import Barrier, Event, Thread

import pytest

from index.readers_writer import ReadersWriterLock

SOON = 5.0  # seconds; reached only when something hangs
PAUSE = 0.05


def test_readers_hold_the_lock_together():
    lock, together = ReadersWriterLock(), Barrier(2)

    def read() -> None:
        with lock.reading():
            together.wait(SOON)

    readers = [Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(SOON)

    assert not together.broken


def test_a_writer_waits_for_readers_and_later_readers_wait_for_the_writer():
    lock, order = ReadersWriterLock(), []
    wrote, read_again = Event(), Event()

    def write() -> None:
        with lock.writing():
            order.append("write")
        wrote.set()

    def read() -> None:
        with lock.reading():
            order.append("read")
        read_again.set()

    with lock.reading():
        Thread(target=write).start()
        assert not wrote.wait(PAUSE)
        Thread(target=read).start()
        assert not read_again.wait(PAUSE)
    assert wrote.wait(SOON)
    assert read_again.wait(SOON)

    assert order == ["write", "read"]


def test_the_lock_is_free_again_after_an_error():
    lock = ReadersWriterLock()

    for hold in (lock.reading, lock.writing):
        with pytest.raises(ValueError, match="invalid literal"), hold():
            int("no number")

    with lock.writing():
        pass
