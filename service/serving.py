"""Connections are served until SIGTERM or SIGINT; then what is in flight is ended."""

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from time import sleep

import structlog
import uvicorn
from fastapi import FastAPI

from service.app import from_settings
from service.begun import Begun
from service.edge.entrance import Entrance
from service.edge.protocol import BoundedProtocol
from service.processes import Member, forget_others
from service.settings import Settings

SPARE_FILES = 200  # descriptors for other things than connections
AT_ONCE = 16
"""Connections that are taken up in one turn of the event loop. Of libuv it is one for each socket
that listens, and a turn is long where there is much to do: those that come new would wait longest.
"""
BEFORE_IT_HELPS = 60.0
"""Seconds that a process which takes another's place may take before it is asked anything."""
CUT_OFF = 0.5
"""Seconds to answer those that are cut off, and as many to end what serves the service."""

log = structlog.get_logger("kindred")


async def serve(
    settings: Settings, member: Member | None, listeners: Sequence[socket.socket], begun: Begun
) -> None:
    """Serve with these settings; the second listener is a member's own."""
    async with from_settings(settings, begun) as app:
        room = _room_for(settings.max_connections)
        entrance = Entrance(settings, app.state.parts.telemetry, room)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here asks where a client is
            http=partial(BoundedProtocol, entrance),  # type: ignore[arg-type]  # what makes one
            ws="none",
        )
        gc.collect()
        gc.freeze()  # so that no collection walks what is there to stay: that took 0.1 s each time
        url, *own = [_url(listener) for listener in listeners]
        told: dict[str, object] = {"url": url, "docs": f"{url}/docs"}
        if member is None:
            forget_others(settings.data_dir, processes=1)
        else:
            await _until_started(app, BEFORE_IT_HELPS if member.again else 0)
            told |= {"process": member.number, "own": own[0]}
        server = _Server(config, app, entrance, settings.drain_delay, settings.drain_timeout, told)
        more = [each.dup() for each in listeners for _ in range(AT_ONCE - 1)]
        await server.serve(sockets=[*listeners, *more])


class _Server(uvicorn.Server):
    """Uvicorn that stops in steps, each bounded, and ends with status 0.

    At the first signal it says that it is not ready and asks its clients to connect anew, which
    should be elsewhere; after `delay` seconds it takes no connection any more; `timeout` seconds
    after the signal it cuts off what is left. At the second signal it ends at once. What is `told`
    is logged once it can be reached.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        entrance: Entrance,
        delay: float,
        timeout: float,
        told: Mapping[str, object],
    ) -> None:
        super().__init__(config)
        self._app = app
        self._entrance = entrance
        self._delay = min(delay, timeout)
        self._timeout = timeout
        self._told = told
        self._begun = self._end = 0.0  # when it was told to end, and when all has to be over

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        _end_at_signal(self._timeout + 2 * CUT_OFF, self._drain)
        watching = asyncio.create_task(self._entrance.watch())
        await self._serve(sockets)
        watching.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("serving", **self._told)  # not before: whoever reads it may connect at once

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop, tasks = asyncio.get_running_loop(), self.server_state.tasks
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._end):
                await super().shutdown(sockets)
        cut_off = len(tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_OFF)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # who does not read, or send
        log.info("drained", seconds=round(loop.time() - self._begun, 3), cut_off=cut_off)

    def _drain(self, number: int) -> None:
        if self._app.state.draining:
            log.warning("ending at once", signal=signal.Signals(number).name)
            os._exit(128 + number)  # a write is one script of the store: done, or not begun
        self._app.state.draining = True
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        self._end = self._begun + self._timeout
        self._entrance.connections.closing = True
        delay = self._delay if number == signal.SIGTERM else 0
        loop.call_later(delay, self.handle_exit, number, None)
        log.info("draining", signal=signal.Signals(number).name)


def _end_at_signal(seconds: float, drain: Callable[[int], None]) -> None:
    """At a signal call `drain` in the event loop, and end this process so many seconds later.

    It may still be there then, as a thread that computes cannot be cancelled. What it would still
    do is nothing that is missed: all were answered, and snapshots are caches. Who waits is there
    from now on, and a byte tells it, whatever the loop is stuck in: when memory has run out, no
    thread starts any more, and anything may fail.
    """
    told, tell = os.pipe()

    def wait() -> None:
        os.read(told, 1)
        sleep(seconds)
        os._exit(0)

    Thread(target=wait, name="end", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, drain, number)
        signal.signal(number, lambda *_: os.write(tell, b"!"))  # besides: the loop is told anyway


def _room_for(connections: int) -> int:
    """Let this process open files for so many connections, or as many as it may; return those."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if files < wanted:
        files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    room = min(connections, max(1, files - SPARE_FILES))
    if room < connections:
        log.warning("fewer connections than asked for", most=room, open_files=files)
    return room


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


async def _until_started(app: FastAPI, patience: float) -> None:
    """Wait until the galleries are read: meanwhile the other processes answer for this one."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while "starting" in app.state.parts.recogniser.galleries.reasons:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
