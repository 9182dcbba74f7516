"""`python -m service`: serve until SIGTERM or SIGINT, then end what is in flight."""

import asyncio
import signal
import socket
import sys

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from service.app import from_settings
from service.embedded_redis import DataDirInUse, StoreDidNotStart
from service.logs import configure_logging
from service.protocol import BoundedProtocol
from service.settings import Settings

KEEP_ALIVE = 30  # seconds that an idle connection is kept

log = structlog.get_logger("kindred")


def main() -> int:
    """Serve with the environment's settings; return the exit status."""
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"kindred: {f'KINDRED_{name}: ' if name else ''}{problem['msg']}\n")
        return 2
    configure_logging(settings.log_level)
    try:
        uvloop.run(_serve(settings))
    except (DataDirInUse, StoreDidNotStart, OSError) as error:
        sys.stderr.write(f"kindred: {error}\n")
        return 3
    return 0


async def _serve(settings: Settings) -> None:
    listener = _listen(settings.host, settings.port)  # first: a port that is taken is told at once
    async with from_settings(settings) as app:
        server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=int(settings.drain_timeout),
                http=BoundedProtocol,
                ws="none",
            ),
            app,
        )
        host, port = listener.getsockname()[:2]
        log.info("serving", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs")
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Uvicorn that turns unready at the first signal, and exits 0 once it has drained."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain, number)
        await self._serve(sockets)

    def _drain(self, number: int) -> None:
        log.info("draining", signal=signal.Signals(number).name)
        self._app.state.draining = True
        self.handle_exit(number, None)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


if __name__ == "__main__":
    sys.exit(main())
