"""Samples are decoded in processes of their own: a crash, a hang or a bomb costs one sample."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self, TypeVar

import structlog

from models_store import (
    Comparator,
    Degenerate,
    Sample,
    SampleOutOfBounds,
    Side,
    Undecodable,
    Windows,
    WrongModality,
)
from models_store.manifest import ImageInput
from service.decoder import ANSWER, READY, REQUEST, Outcome, Task, describe, unpack

A_CORE = 4
"""Decoders for each core where no number is set; a request has at most as many as there are cores,
so that no single one takes them all. They are forked when they are needed, and share memory."""

MOST = 32
BUFFER = 2**20  # bytes of an answer that may wait to be read
LOSSES = {signal.SIGPROF: "slow", signal.SIGALRM: "hung", signal.SIGKILL: "killed"}

T = TypeVar("T")

log = structlog.get_logger("kindred.decoding")


class Decoders:
    """Decodes the samples of every comparator in processes of their own.

    At most `at_once` of them (0: as many as suit the machine), each of which may take so many
    processor `seconds` and bytes of `memory` for one sample. `on_loss` is told of each that ended
    in the middle of one: `slow`, `hung`, `killed` or `crashed`.
    """

    def __init__(
        self,
        comparators: Mapping[str, Comparator],
        *,
        at_once: int = 0,
        seconds: float = 0.8,
        memory: int = 64 * 2**20,
        on_loss: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        cores = os.cpu_count() or 1
        at_once = at_once or min(MOST, A_CORE * cores)
        self._share = max(1, min(cores, at_once // 2))
        self._seconds = seconds
        self._memory = memory
        self._on_loss = on_loss
        sides = [(c, side) for c in comparators.values() for side in c.manifest.encoders]
        self._numbers = {(c.title, side): number for number, (c, side) in enumerate(sides)}
        self._told = describe(
            [(c.manifest.encoders[side].input, c.limits, c.assets) for c, side in sides]
        )
        self._seats: asyncio.LifoQueue[_Seat] = asyncio.LifoQueue()  # the last used is the warmest
        for _ in range(at_once):
            self._seats.put_nowait(_Seat())
        self._ready = asyncio.Event()
        self._control: socket.socket
        self._template: asyncio.subprocess.Process
        self._keeper: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Start the process that decoders are forked from; it ends with this one."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every decoder."""
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        while not self._seats.empty():
            self._seats.get_nowait().leave()
        self._stop()
        await self._template.wait()

    async def prepare(
        self, comparator: Comparator, side: Side, samples: Sequence[Sample]
    ) -> list[Windows | Exception]:
        """Return for each sample what the encoder is given of it, or why it cannot be used.

        That is Undecodable, SampleOutOfBounds, Degenerate or WrongModality.
        """

        async def one(sample: Sample) -> Windows | Exception:
            try:
                content = comparator.content_of(sample, side)
                return unpack(await self._decode(Task.PREPARE, number, content))
            except (Undecodable, SampleOutOfBounds, Degenerate, WrongModality) as error:
                return error

        number = self._numbers[comparator.title, side]
        return await _shared(one, samples, self._share)

    async def pictures(
        self, comparator: Comparator, samples: Sequence[Sample]
    ) -> list[bytes | None]:
        """Return a thumbnail of each sample that is an image of side a, as PNG."""

        async def one(sample: Sample) -> bytes | None:
            try:
                return await self._decode(Task.PICTURE, number, sample.content)
            except (Undecodable, SampleOutOfBounds):
                return None

        if not isinstance(comparator.manifest.encoders["a"].input, ImageInput):
            return [None] * len(samples)
        number = self._numbers[comparator.title, "a"]
        return await _shared(one, samples, self._share)

    async def _decode(self, task: Task, number: int, content: bytes) -> bytes:
        request = REQUEST.pack(task, number, len(content)) + content
        outcome, payload = await self._ask(request)
        match outcome:
            case Outcome.DONE:
                return payload
            case Outcome.OUT_OF_BOUNDS:
                raise SampleOutOfBounds(payload.decode())
            case Outcome.UNDECODABLE:
                raise Undecodable(payload.decode())
            case Outcome.DEGENERATE:
                raise Degenerate(payload.decode())
            case Outcome.LOST:
                raise self._loss(payload[0])
        log.error("defect", error=payload.decode())
        raise Undecodable("expected a sample that decodes")

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        """Return what a decoder answers, or what is said of its end.

        One that ends without a word did so with its template: another is asked, once.
        """
        for _ in range(2):
            seat = await self._seats.get()
            try:
                outcome, payload = await seat.ask(request, self._fork)
            except (EOFError, OSError):
                seat.leave()
                await asyncio.sleep(0.1)  # until it is noticed that the template is gone
                continue
            except BaseException:
                seat.leave()  # or the rest of this answer would be taken for the next
                raise
            finally:
                self._seats.put_nowait(seat)
            if outcome == Outcome.LOST:
                seat.leave()
            return outcome, payload
        return Outcome.LOST, bytes([signal.SIGKILL])

    def _loss(self, number: int) -> Exception:
        reason = LOSSES.get(number, "crashed")  # type: ignore[call-overload]
        self._on_loss(reason)
        log.warning("decoder lost", reason=reason, signal=number)
        if reason in ("slow", "hung"):
            return SampleOutOfBounds(
                f"expected a sample that is decoded in {self._seconds:g} s of processor time"
            )
        return Undecodable("expected a sample that does not end who decodes it")

    async def _fork(self) -> socket.socket:
        """Return a channel to a new decoder."""
        await self._ready.wait()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        return ours

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)  # noqa: FBT003 - the library has it so
        with theirs:
            self._template = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "service.decoder"),
                *(str(os.getpid()), str(self._seconds), str(self._memory)),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        with suppress(OSError):
            await loop.sock_sendall(self._control, self._told)
            if await loop.sock_recv(self._control, len(READY)):
                self._ready.set()
                return
        self._stop()
        raise ChildProcessError("the template of the decoders did not start")

    async def _keep(self) -> None:
        """Start the template again whenever it ends, and as often as it takes."""
        while True:
            status = await self._template.wait()
            self._ready.clear()
            log.error("the decoders' template ended, and is started again", status=status)
            self._control.close()
            with suppress(ChildProcessError):
                await self._start()
            await asyncio.sleep(0.1)

    def _stop(self) -> None:
        self._control.close()
        with suppress(ProcessLookupError):
            self._template.kill()


class _Seat:
    """Where one decoder works at a time; it comes when it is first asked."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, request: bytes, fork: Callable[[], Awaitable[socket.socket]]
    ) -> tuple[int, bytes]:
        """Return the outcome and what follows it; raise EOFError or OSError if nothing comes."""
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=await fork(), limit=BUFFER)
        reader, writer = self._streams
        writer.write(request)
        outcome, length = ANSWER.unpack(await reader.readexactly(ANSWER.size))
        return outcome, await reader.readexactly(length)

    def leave(self) -> None:
        """Let the decoder go: it ends when it finds its channel closed."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _shared(
    task: Callable[[Sample], Awaitable[T]], samples: Sequence[Sample], share: int
) -> list[T]:
    """Return what a task makes of each sample, at most `share` of them at a time."""
    if len(samples) == 1:
        return [await task(samples[0])]
    found: dict[int, T] = {}
    waiting = iter(enumerate(samples))

    async def work() -> None:
        for i, sample in waiting:
            found[i] = await task(sample)

    await asyncio.gather(*(work() for _ in range(min(share, len(samples)))))
    return [found[i] for i in range(len(samples))]


def _environment() -> Mapping[str, str]:
    """Return what decoders may know of our environment: where code lies, and no key."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",  # no threads in a process that forks
        "MALLOC_MMAP_THRESHOLD_": str(2**18),  # what one sample took, the next may take again
        "LC_ALL": "C.UTF-8",
    }
