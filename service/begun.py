"""What a start waits for, begun before the rest of the service is imported."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Self, TypeVar

from models_store import Found, TrialLimits, find_bundles
from service.replicas.contents import ReadAhead, read_ahead
from service.settings import Settings
from service.store.embedded_redis import EmbeddedRedis

T = TypeVar("T")


class Begun:
    """Bundles are tried, the embedded store reads its file, and snapshots are read.

    All of it goes on in other processes, or in threads that let others run. `store` is None where
    the settings name another; one that nobody has ended is ended on leaving. Raises DataDirInUse
    or StoreDidNotStart.
    """

    def __init__(self, settings: Settings) -> None:
        self.bundles = _in_thread(lambda: _find(settings))
        self.store = None if settings.redis_url else EmbeddedRedis(settings.data_dir)
        if self.store is not None:
            self.store.begin()
        self.snapshots_folder = settings.data_dir.absolute() / "snapshots"
        self.snapshots: ReadAhead = read_ahead(self.snapshots_folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.store is not None:
            self.store.end()


def _find(settings: Settings) -> Found:
    limits = TrialLimits(settings.bundle_seconds, settings.bundle_memory)
    return find_bundles(settings.models_store, most=settings.max_bundle_bytes, trial=limits)


def _in_thread(function: Callable[[], T]) -> "Future[T]":
    """Call it in a thread that a process which ends does not wait for."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on nobody can cancel it

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, name="bundles", daemon=True).start()
    return future
