"""Several processes on one port, each started again when it ends.

Each has every gallery in memory and follows the store, as a replica on another machine would.
"""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from service.settings import Settings, environment
from service.store.embedded_redis import EmbeddedRedis, keep_running

CANNOT = (2, 3)  # statuses of a process that cannot serve, whenever it is tried
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a process that ended is started again
LIVED = 60.0  # seconds after which it had started well, and the next pause is short again

log = structlog.get_logger("kindred.processes")


@dataclass(frozen=True, slots=True)
class Member:
    """What one of the processes is told: its number from 1, and a port that is its own.

    Port 0 is a free one. `again` says that another served in its place before.
    """

    number: int
    parent: int
    port: int
    again: bool = False

    @classmethod
    def read(cls, words: list[str]) -> Self | None:
        """Return what the arguments of `python -m service` tell, None if there are none."""
        if len(words) != 4:
            return None
        number, parent, port, again = map(int, words)
        return cls(number, parent, port, again=bool(again))

    def words(self) -> list[str]:
        """Return the arguments that tell it."""
        return [str(int(word)) for word in (self.number, self.parent, self.port, self.again)]


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket that is bound; `shared` with other processes of this user, by the kernel."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


async def run_processes(settings: Settings) -> int:
    """Run as many processes as the settings ask for, until a signal; return the exit status.

    Raises DataDirInUse, StoreDidNotStart, or OSError if the port is taken.
    """
    with _reserved(settings) as port:
        async with AsyncExitStack() as stack:
            url = None
            if settings.redis_url is None:
                server = await stack.enter_async_context(EmbeddedRedis(settings.data_dir))
                url = server.url
                task = asyncio.create_task(keep_running(server))
                stack.callback(task.cancel)
            forget_others(settings.data_dir, settings.processes)
            return await _Processes(settings, port, url).run()


@contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Keep the port for the processes to share, or raise OSError if somebody listens on it."""
    listen(settings.host, settings.port).close()  # a shared one would not tell
    with listen(settings.host, settings.port, shared=True) as listener:
        yield listener.getsockname()[1]


def _folder(data_dir: Path, number: int) -> Path:
    return data_dir / "processes" / str(number)


def forget_others(data_dir: Path, processes: int) -> None:
    """Remove snapshots that none of the processes keeps, or they would outlive what they hold."""
    alone = data_dir / "snapshots"
    kept = {_folder(data_dir, number + 1) for number in range(processes)}
    for folder in {alone, *_folder(data_dir, 0).parent.glob("*")}:
        if folder not in ({alone} if processes == 1 else kept):
            shutil.rmtree(folder, ignore_errors=True)


class _Processes:
    """The processes of one service: signals go to all, and the last to end ends the service."""

    def __init__(self, settings: Settings, port: int, store: str | None) -> None:
        self._settings = settings
        self._port = port
        self._store = store
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._signals: list[signal.Signals] = []
        self._status = 0

    async def run(self) -> int:
        """Serve until a signal; return the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        numbers = range(1, self._settings.processes + 1)
        await asyncio.gather(*(self._keep(number) for number in numbers))
        return 128 + self._signals[1] if len(self._signals) > 1 else self._status

    async def _keep(self, number: int) -> None:
        """Start a process, and start it again whenever it ends, until all are to end."""
        loop = asyncio.get_running_loop()
        pause, again = PAUSE, False
        while not self._signals:
            begun = loop.time()
            status = await self._start(number, again=again)
            if not self._signals and status in CANNOT and not again:
                self._status = status
                self._end(signal.SIGTERM)
            if self._signals:
                return
            again = True
            log.error("a process ended, and is started again", process=number, status=status)
            pause = PAUSE if loop.time() - begun > LIVED else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause / 2)

    async def _start(self, number: int, *, again: bool) -> int:
        """Return the status with which a process ends."""
        own = self._settings.port and self._settings.port + number
        member = Member(number, os.getpid(), own, again=again)
        # In a group of its own, Ctrl-C reaches this process only, which tells the others once.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", *member.words()),
            env=self._told(number),
            process_group=0,
        )
        self._running[number] = process
        if self._signals:  # it came meanwhile
            process.send_signal(self._signals[-1])
        return await process.wait()

    def _told(self, number: int) -> dict[str, str]:
        """Return the environment of a process, which has its share of the cores."""
        settings = self._settings
        share = max(1, len(os.sched_getaffinity(0)) // settings.processes)
        told: dict[str, object] = {
            "port": self._port,
            "data_dir": _folder(settings.data_dir.absolute(), number),
            "threads": settings.threads or share,
        }
        if self._store is not None:
            told["redis_url"] = self._store
        return {"OMP_NUM_THREADS": str(share)} | environment(**told)

    def _end(self, number: signal.Signals) -> None:
        self._signals.append(number)
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)
