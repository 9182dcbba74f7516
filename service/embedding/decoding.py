"""Samples are decoded in processes of their own: a crash, a hang or a bomb costs one sample."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Self

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
from models_store.manifest import AudioInput, ImageInput
from service.embedding.decoder import SAMPLE, Outcome, Result, Task, describe, unpack
from service.embedding.template import Seat, Template

A_CORE = 4
"""Decoders for each core where no number is set; they are forked when needed, and share memory."""

MOST = 32
SMALL = 2**14
"""Bytes of a sample that is decoded together with others: to wake a process would cost more."""

TOGETHER = 16
"""Samples that a decoder is given at a time, and twice as many as one request has among them."""

SOON = 0.05
"""Processor seconds that all of them may take; if it is not enough, each is decoded alone."""

ORDINARY, ORDINARY_MEBIBYTE = 0.08, 0.1
"""Processor seconds that a picture or text takes at most, and for each MiB more, or it is slow.

A sound takes what it lasts, and how long that may be is bounded: it is slow if it is not ready.
"""

LOSSES: dict[int, str] = {
    signal.SIGPROF: "slow",
    signal.SIGALRM: "hung",
    signal.SIGKILL: "killed",
}

_Waiting = tuple[bytes, asyncio.Future[Result | None]]

log = structlog.get_logger("kindred.decoding")


class Budget:
    """Processor seconds that are left for the slow samples of a request, one at a time.

    It is spent once there is another that none are left for: then no more are decoded.
    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.spent = False
        self.turn = asyncio.Lock()


class Decoders:
    """Decodes the samples of every comparator in processes of their own.

    Small samples that come at the same time are decoded together, by as many decoders as there
    are cores. Large ones, and those that were not back soon, are decoded one by one, by others:
    who sends what takes long, or breaks its decoder, keeps the rest waiting for a moment only.

    There are at most `at_once` decoders (two at least; 0: as many as suit the machine), each of
    which may take so many processor `seconds` and bytes of `memory` for a sample, and all slow
    samples of a request that has several `slow_seconds`. `on_loss` is told of each that ended in
    the middle of a sample: `slow`, `hung`, `killed` or `crashed`.
    """

    def __init__(
        self,
        comparators: Mapping[str, Comparator],
        *,
        at_once: int = 0,
        seconds: float = 0.8,
        slow_seconds: float = 0.6,
        memory: int = 64 * 2**20,
        on_loss: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        cores = len(os.sched_getaffinity(0))
        at_once = at_once or min(MOST, A_CORE * cores)
        self._share = max(1, min(cores, at_once // 2))  # that one request has, of each kind
        self._seconds = seconds
        self._slow_seconds = slow_seconds
        expected = (
            f"expected at most {self._slow_seconds:g} s of processor time for a request's slow "
            f"samples: those over {ORDINARY:g} s, and {ORDINARY_MEBIBYTE:g} s for each MiB"
        )
        self._too_much = Result(Outcome.OUT_OF_BOUNDS, 0, memoryview(expected.encode()))
        self._on_loss = on_loss
        sides = [(c, side) for c in comparators.values() for side in c.manifest.encoders]
        self._numbers = {(c.title, side): number for number, (c, side) in enumerate(sides)}
        self._sounds = {
            number
            for number, (c, side) in enumerate(sides)
            if isinstance(c.manifest.encoders[side].input, AudioInput)
        }
        self._template = Template(
            describe([(c.manifest.encoders[side].input, c.limits, c.assets) for c, side in sides]),
            memory,
        )
        self._quick = [Seat(self._template) for _ in range(self._share)]
        self._waiting: deque[_Waiting] = deque()
        self._at_work: set[asyncio.Task[None]] = set()
        self._seats: asyncio.LifoQueue[Seat] = asyncio.LifoQueue()  # the last used is the warmest
        for _ in range(max(1, at_once - self._share)):
            self._seats.put_nowait(Seat(self._template))
        self._keeper: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Start the process that decoders are forked from; it ends with this one."""
        await self._template.start()
        self._keeper = asyncio.create_task(self._template.keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every decoder."""
        for task in (self._keeper, *self._at_work):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        while not self._seats.empty():
            self._quick.append(self._seats.get_nowait())
        for seat in self._quick:
            seat.leave()
        await self._template.end()

    def budget(self, requests: int = 1) -> Budget:
        """Return what slow samples may take of a request, or of so many that come together."""
        return Budget(self._slow_seconds * requests)

    async def prepare(
        self,
        comparator: Comparator,
        side: Side,
        samples: Sequence[Sample],
        budget: Budget | None = None,
    ) -> list[Windows | Exception]:
        """Return for each sample what the encoder is given of it, or why it cannot be used.

        That is Undecodable, SampleOutOfBounds, Degenerate or WrongModality. The budget is that of
        the request, where it has other samples too.
        """

        def content_of(sample: Sample) -> bytes | Exception:
            try:
                return comparator.content_of(sample, side)
            except WrongModality as error:
                return error

        number = self._numbers[comparator.title, side]
        contents = [content_of(sample) for sample in samples]
        found = await self._decode(Task.PREPARE, number, contents, budget)
        return [one if isinstance(one, Exception) else unpack(one) for one in found]

    async def pictures(
        self,
        comparator: Comparator,
        side: Side,
        samples: Sequence[Sample],
        budget: Budget | None = None,
    ) -> list[bytes | None]:
        """Return a thumbnail of each sample that is an image of a side, as PNG."""
        if not isinstance(comparator.manifest.encoders[side].input, ImageInput):
            return [None] * len(samples)
        number = self._numbers[comparator.title, side]
        contents = [sample.content for sample in samples]
        found = await self._decode(Task.PICTURE, number, contents, budget)
        return [None if isinstance(one, Exception) else bytes(one) for one in found]

    async def preview(self, comparator: Comparator, side: Side, sample: Sample) -> bytes:
        """Return a picture of an image or a sound, as PNG; raise what `prepare` returns."""
        number = self._numbers[comparator.title, side]
        [found] = await self._decode(Task.PREVIEW, number, [comparator.content_of(sample, side)])
        if isinstance(found, Exception):
            raise found
        return bytes(found)

    async def _decode(
        self,
        task: Task,
        number: int,
        contents: Sequence[bytes | Exception],
        budget: Budget | None = None,
    ) -> list[memoryview | Exception]:
        """Return what a task makes of each content, or why nothing; what failed stays so."""
        payer = budget or (self.budget() if len(contents) > 1 else Budget(self._seconds))

        def ordinary(sample: bytes) -> float:
            if number in self._sounds:
                return self._seconds
            return min(self._seconds, ORDINARY + ORDINARY_MEBIBYTE * len(sample) / 2**20)

        some = TOGETHER // 2
        found = [one if isinstance(one, Exception) else memoryview(b"") for one in contents]
        asked = [(i, one) for i, one in enumerate(contents) if isinstance(one, bytes)]
        slices = iter([asked[start : start + some] for start in range(0, len(asked), some)])

        async def work() -> None:
            for each in slices:
                samples = [SAMPLE.pack(task, number, len(one)) + one for _, one in each]
                small = 0 if payer.spent else SMALL
                soon = [self._soon(one) if len(one) <= small else None for one in samples]
                for (i, _), sample, coming in zip(each, samples, soon, strict=True):
                    result = await coming if coming else None
                    found[i] = self._read(
                        result or await self._alone(sample, payer, ordinary(sample))
                    )

        if len(asked) <= some:
            await work()
        else:
            await asyncio.gather(*(work() for _ in range(self._share)))
        return found

    def _soon(self, sample: bytes) -> "asyncio.Future[Result | None]":
        """Return what will have become of a sample together with others; None if not soon."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result | None] = loop.create_future()
        self._waiting.append((sample, result))
        if self._quick:
            task = loop.create_task(self._serve(self._quick.pop()))
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
        return result

    async def _serve(self, seat: Seat) -> None:
        """Have a seat's decoder decode until nothing waits: whatever came meanwhile, together."""
        while batch := self._next_batch():
            found: list[Result] = []
            try:
                found = await seat.ask([sample for sample, _ in batch], min(SOON, self._seconds))
            except (EOFError, OSError, MemoryError):
                seat.leave()
            except BaseException:
                seat.leave()  # or the rest of this answer would be taken for the next
                raise
            finally:
                if found and found[0].outcome == Outcome.LOST:
                    found = []
                for (_, result), one in zip_longest(batch, found):
                    if not result.done():
                        result.set_result(one)
        self._quick.append(seat)

    def _next_batch(self) -> list[_Waiting]:
        size = min(TOGETHER, -(-len(self._waiting) // self._share))
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < size:
            sample, result = self._waiting.popleft()
            if not result.done():  # its client has left
                batch.append((sample, result))
        return batch

    async def _alone(self, sample: bytes, budget: Budget, ordinary: float) -> Result:
        """Return what becomes of a sample that is decoded by itself, slow or not.

        Beside a slow one, or if nothing is left for such, it has an ordinary one's seconds first.
        """
        if not budget.spent and (budget.turn.locked() or budget.left <= 0):
            result = await self._ask(sample, ordinary)
            if not _is_late(result):
                return result
        async with budget.turn:
            if budget.left <= 0:
                budget.spent = True
                return self._too_much
            most = min(self._seconds, max(ordinary, budget.left))
            result = await self._ask(sample, most)
            if result.outcome == Outcome.LOST:
                budget.left -= most
            else:
                budget.left -= max(0, result.seconds - ordinary)
        return self._too_much if _is_late(result) and most < self._seconds else result

    async def _ask(self, sample: bytes, seconds: float) -> Result:
        """Return what becomes of a sample in a decoder that has nothing else to do.

        One that ends without a word did so with its template: another is asked, once.
        """
        for _ in range(2):
            seat = await self._seats.get()
            try:
                (result,) = await seat.ask([sample], seconds)
            except (EOFError, OSError):
                seat.leave()
                await asyncio.sleep(0.1)  # until it is noticed that the template is gone
            except BaseException:
                seat.leave()  # or the rest of this answer would be taken for the next
                raise
            else:
                return result
            finally:
                self._seats.put_nowait(seat)
        return Result(Outcome.LOST, 0, memoryview(bytes([signal.SIGKILL])))

    def _read(self, result: Result) -> memoryview | Exception:
        outcome = result.outcome
        if outcome == Outcome.DONE:
            return result.said
        if outcome == Outcome.LOST:
            return self._loss(result.said[0])
        said = bytes(result.said).decode()
        match outcome:
            case Outcome.OUT_OF_BOUNDS | Outcome.OUT_OF_MEMORY:
                return SampleOutOfBounds(said)
            case Outcome.UNDECODABLE:
                return Undecodable(said)
            case Outcome.DEGENERATE:
                return Degenerate(said)
        log.error("defect", error=said)
        return Undecodable("expected a sample that decodes")

    def _loss(self, number: int) -> Exception:
        reason = LOSSES.get(number, "crashed")
        self._on_loss(reason)
        log.warning("decoder lost", reason=reason, signal=number)
        if reason in ("slow", "hung"):
            return SampleOutOfBounds(
                f"expected a sample that is decoded in {self._seconds:g} s of processor time"
            )
        return Undecodable("expected a sample that does not end who decodes it")


def _is_late(result: Result) -> bool:
    """Whether a sample took longer than it might."""
    return result.outcome == Outcome.LOST and LOSSES.get(result.said[0]) in ("slow", "hung")
