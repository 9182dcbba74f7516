"""The process that decoders are forked from, and the seats that they work in."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

import structlog

from models_store.confinement import bare_environment
from service.embedding.decoder import FORK, LENGTH, READY, SECONDS, Outcome, Result, results

log = structlog.get_logger("kindred.template")


class Template:
    """`python -m service.embedding.decoder` as a child, which ends with this process.

    `told` is what `describe` gives; `memory` the bytes that a decoder may take for a request.
    """

    def __init__(self, told: bytes, memory: int) -> None:
        self.memory = memory
        self._told = told
        self._ready = asyncio.Event()
        self._control: socket.socket
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Start it, and wait until it can fork; raise ChildProcessError if it does not."""
        loop = asyncio.get_running_loop()
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)  # noqa: FBT003 - the library has it so
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "service.embedding.decoder", str(os.getpid()), str(self.memory)),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                # What one sample took, the next may take again.
                env=bare_environment(MALLOC_MMAP_THRESHOLD_=str(2**18)),
            )
        with suppress(OSError):
            await loop.sock_sendall(self._control, self._told)
            if await loop.sock_recv(self._control, len(READY)):
                self._ready.set()
                return
        self._kill()
        raise ChildProcessError("the template of the decoders did not start")

    async def keep(self) -> None:
        """Start it again whenever it ends, and as often as it takes."""
        while True:
            status = await self._process.wait()
            self._ready.clear()
            log.error("the decoders' template ended, and is started again", status=status)
            self._control.close()
            with suppress(ChildProcessError):
                await self.start()
            await asyncio.sleep(0.1)

    async def fork(self) -> socket.socket:
        """Return a channel to a new decoder."""
        await self._ready.wait()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [FORK], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        return ours

    async def end(self) -> None:
        """End it, and all that were forked from it."""
        self._kill()
        await self._process.wait()

    def _kill(self) -> None:
        self._control.close()
        with suppress(ProcessLookupError):
            self._process.kill()


class Seat:
    """Where one decoder works at a time; it comes when asked."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._channel: _Channel | None = None

    async def ask(self, samples: Sequence[bytes], seconds: float) -> list[Result]:
        """Return what became of the first samples, at least one; each comes as `SAMPLE` has it.

        All of them may take so many processor seconds. If the decoder is lost, that is the only
        result. Raises EOFError or OSError if no answer comes: of a decoder that ends without a
        word, so did the template.
        """
        loop = asyncio.get_running_loop()
        if self._channel is None:
            channel = await self._template.fork()
            most = self._template.memory
            _, self._channel = await loop.create_unix_connection(
                lambda: _Channel(most), sock=channel
            )
        try:
            found = list(results(await self._channel.ask(b"".join(samples), seconds)))
        except struct.error as error:
            raise EOFError("expected an answer") from error
        if found[0].outcome == Outcome.LOST:
            self.leave()
        return found

    def leave(self) -> None:
        """Let the decoder go: it ends when it finds its channel closed."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class _Channel(asyncio.Protocol):
    """One question to a decoder at a time, and its answer, of at most so many bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._transport: asyncio.WriteTransport
        self._got = bytearray()
        self._answer: asyncio.Future[memoryview] | None = None
        self._lost = False

    async def ask(self, request: bytes, seconds: float) -> memoryview:
        asked = LENGTH.pack(len(request)) + SECONDS.pack(seconds) + request
        self._answer = asyncio.get_running_loop().create_future()
        if self._lost:
            raise EOFError("the decoder has ended")
        self._transport.write(asked)
        return await self._answer

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # it is one that writes

    def data_received(self, data: bytes) -> None:
        self._got += data
        if len(self._got) < LENGTH.size:
            return
        (length,) = LENGTH.unpack_from(self._got)
        if length > self._most:
            self.close()
        elif len(self._got) >= LENGTH.size + length:
            answer, self._got = memoryview(bytes(self._got))[LENGTH.size :], bytearray()
            if self._answer and not self._answer.done():
                self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._answer and not self._answer.done():
            # Where memory ran out here, the decoder had no part in that.
            ours = error if isinstance(error, MemoryError) else None
            self._answer.set_exception(ours or EOFError("the decoder has ended"))
