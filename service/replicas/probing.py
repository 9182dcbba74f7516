"""Probes that are asked about at the same time, in the same way, share one search."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import numpy as np

from index import Identification, Identifier, Rule
from models_store.comparator import Array

TOGETHER = 64
"""Probes in one search of several requests; a request of more has its own."""


class Terms(TypedDict):
    """How it is asked, as `Identifier.identify` has it."""

    rule: Rule | None
    target_fpir: float | None
    threshold: float | None
    k: int
    top: int
    prior_known: float


@dataclass(frozen=True, slots=True)
class _Entry:
    probes: Array
    result: "asyncio.Future[list[Identification]]"


class Probing:
    """Searches in threads: one search at a time for probes of one gallery on the same terms.

    What comes meanwhile is the next search. So the price of a search, and what decides in a
    version of a gallery, are for all of them; and threads do not wait for each other's turn.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: dict[tuple[object, ...], deque[_Entry]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def identify(
        self, index: Identifier, probes: Array, terms: Terms
    ) -> list[Identification]:
        """Return what `index.identify` says of probes (n, d), or raise as it does."""
        loop = asyncio.get_running_loop()
        if len(probes) > TOGETHER:
            search = partial(index.identify, probes, **terms)
            return await loop.run_in_executor(self._executor, search)
        entry = _Entry(probes, loop.create_future())
        way = (index, *terms.values())
        if way in self._waiting:
            self._waiting[way].append(entry)
        else:
            self._waiting[way] = deque([entry])
            task = loop.create_task(self._run(way, index, terms))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await entry.result

    async def _run(self, way: tuple[object, ...], index: Identifier, terms: Terms) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := _take(self._waiting[way]):
                probes = [entry.probes for entry in batch]
                found: list[list[Identification] | Exception]
                try:
                    found = await loop.run_in_executor(self._executor, _each, index, probes, terms)
                except Exception as error:  # noqa: BLE001 - no thread could be started for it
                    found = [error] * len(batch)
                for entry, one in zip(batch, found, strict=True):
                    if entry.result.done():
                        continue  # its client left during the search
                    if isinstance(one, Exception):
                        entry.result.set_exception(one)
                    else:
                        entry.result.set_result(one)
        finally:
            del self._waiting[way]


def _take(waiting: deque[_Entry]) -> list[_Entry]:
    """Return those next in line whose clients are there, as many as are searched together."""
    batch: list[_Entry] = []
    size = 0
    while waiting and size + len(waiting[0].probes) <= TOGETHER:
        entry = waiting.popleft()
        if not entry.result.done():
            batch.append(entry)
            size += len(entry.probes)
    return batch


def _each(
    index: Identifier, probes: Sequence[Array], terms: Terms
) -> list[list[Identification] | Exception]:
    """Search for all together; if that fails, for each alone, to find for whom."""
    try:
        found = iter(index.identify(np.concatenate(probes), **terms))
        return [[next(found) for _ in some] for some in probes]
    except Exception as error:  # noqa: BLE001 - whoever waits must be told
        if len(probes) == 1:
            return [error]
    return [one for some in probes for one in _each(index, [some], terms)]
