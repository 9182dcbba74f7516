"""Concurrent samples share one model run; a full queue refuses."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter

from models_store import Degenerate
from models_store.comparator import Array
from models_store.preparation import Windows


class Overloaded(Exception):
    """More samples wait than the queue holds; trying again a moment later may help."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedding of shape (d,), and the seconds that it waited and was computed in."""

    embedding: Array
    queue: float
    encode: float


@dataclass(frozen=True, slots=True)
class _Entry:
    input: Windows
    result: asyncio.Future[Embedded | Exception]
    since: float


class Batcher:
    """Runs one encoder on whatever has queued, at most `max_batch` samples at a time.

    An idle model starts at once: on a CPU a small network gains nothing from waiting for company,
    on a GPU the queue that builds up during a run is the next batch. A sample whose client has
    left is dropped unrun. `on_batch` is told the size of each run.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[Windows]], Array],
        executor: Executor,
        *,
        max_batch: int,
        queue_length: int,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._embed = embed
        self._executor = executor
        self._max_batch = max_batch
        self._limit = queue_length
        self._on_batch = on_batch
        self._waiting: deque[_Entry] = deque()
        self._running: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """How many samples wait."""
        return len(self._waiting)

    async def embed(self, inputs: list[Windows]) -> list[Embedded | Degenerate]:
        """Return what became of each input, in their order.

        Raises Overloaded, before anything is queued, if not all of them can wait.
        """
        if len(self._waiting) + len(inputs) > self._limit:
            raise Overloaded(f"expected at most {self._limit} samples to wait, try again later")
        loop, now = asyncio.get_running_loop(), perf_counter()
        entries = [_Entry(one, loop.create_future(), now) for one in inputs]
        self._waiting.extend(entries)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        found: list[Embedded | Degenerate] = []
        try:
            for entry in entries:
                one = await entry.result
                if isinstance(one, Exception) and not isinstance(one, Degenerate):
                    raise one
                found.append(one)
        finally:
            for entry in entries[len(found) :]:
                entry.result.cancel()  # nobody waits for it
        return found

    async def _run(self) -> None:
        while batch := self._next_batch():
            started = perf_counter()
            try:
                results = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._embed_each, [entry.input for entry in batch]
                )
            except Exception as error:  # noqa: BLE001 - whoever waits must be told
                results = [error] * len(batch)
            encode = perf_counter() - started
            self._on_batch(len(batch))
            for entry, result in zip(batch, results, strict=True):
                if entry.result.done():  # its client left during the run
                    continue
                if isinstance(result, Exception):
                    entry.result.set_result(result)
                else:
                    entry.result.set_result(Embedded(result, started - entry.since, encode))

    def _next_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        while self._waiting and len(batch) < self._max_batch:
            entry = self._waiting.popleft()
            if not entry.result.done():
                batch.append(entry)
        return batch

    def _embed_each(self, inputs: list[Windows]) -> list[Array | Exception]:
        """Embed together; if one of them cannot be, embed each alone to find which."""
        try:
            return list(self._embed(inputs))
        except Degenerate:
            if len(inputs) == 1:
                raise
        results: list[Array | Exception] = []
        for one in inputs:
            try:
                results.append(self._embed([one])[0])
            except Degenerate as error:
                results.append(error)
        return results
