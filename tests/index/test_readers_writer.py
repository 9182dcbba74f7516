"""Readers share, a writer does not, and a waiting writer is not passed by."""

import time
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


def test_who_waited_for_a_writer_reads_before_the_next_one_writes():
    lock, order = ReadersWriterLock(), []

    def write() -> None:
        with lock.writing():
            order.append("write")

    def read() -> None:
        with lock.reading():
            order.append("read")

    with lock.writing():
        others = [Thread(target=each) for each in (write, read, write, read)]
        for thread in others:
            thread.start()
            time.sleep(PAUSE)
    for thread in others:
        thread.join(SOON)

    assert order == ["read", "read", "write", "write"]


def test_no_writer_comes_between_what_is_prepared_and_who_reads_it():
    lock, order = ReadersWriterLock(), []

    def write() -> None:
        with lock.writing():
            order.append("write")

    writer = Thread(target=write)

    def prepare() -> None:
        writer.start()
        time.sleep(PAUSE)
        order.append("prepare")

    with lock.reading_after(prepare):
        time.sleep(PAUSE)
        order.append("read")
    writer.join(SOON)

    assert order == ["prepare", "read", "write"]


def test_the_lock_is_free_again_after_an_error():
    lock = ReadersWriterLock()

    def fail() -> None:
        int("no number")

    for hold in (lock.reading, lock.writing):
        with pytest.raises(ValueError, match="invalid literal"), hold():
            fail()
    with pytest.raises(ValueError, match="invalid literal"), lock.reading_after(fail):
        pass

    with lock.writing():
        pass
