"""Many enrollments in one request: NDJSON lines in, an outcome a line out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from service.edge.problems import INTERNAL, kind_of, problem_of
from service.quick_json import write
from service.requests.ndjson import split_chunks
from service.requests.upload import TooLarge
from service.routes.bulk_lines import read_lines
from service.use_cases.enrolling import Asked, Prepared
from service.use_cases.recogniser import Recogniser
from service.use_cases.results import Enrollments

log = structlog.get_logger("kindred.bulk")

LINES_AT_ONCE = 256
"""Lines that are embedded and written together, so that they share model runs and fsyncs."""

LINGER = 0.05
"""Seconds that lines wait for more of them to come."""


async def enroll_lines(
    recogniser: Recogniser,
    gallery: str,
    chunks: AsyncIterator[bytes],
    *,
    longest_line: int,
    longest_metadata: int,
    thorough: bool = False,
    on_outcome: Callable[[str, int], None] = lambda _outcome, _n: None,
) -> AsyncIterator[bytes]:
    """Yield one JSON line for each line that came, in order, some lines at a time.

    `{"line", "identity", "outcome": "added" | "duplicate", "id", "version"}`, with
    `warnings` if there are any, or
    `{"line", "outcome": "failed", "problem"}`. A line that fails does not stop the others; a body
    that passes a limit does, and the last answer is then of the first line that was not enrolled.
    `on_outcome` is told how many are `added`, `duplicate` or `refused`.

    `"searched": false` tells that it was not looked whether somebody else would be named by that
    sample, which in a large gallery is done for every line only if asked to be `thorough`, or
    where it decides.

    While some lines are written the next are read and embedded, and no more than these: the body
    waits for its answers.
    """

    async def prepare(lines: Sequence[bytes]) -> _Group:
        asked = await asyncio.to_thread(read_lines, lines, longest_metadata)
        good = [each for each in asked if isinstance(each, Asked)]
        prepared = recogniser.prepare_many(gallery, good, thorough=thorough)
        return _Group(asked, await _caught(prepared))

    ready: asyncio.Queue[_Group | Exception | None] = asyncio.Queue(1)
    groups = _groups(split_chunks(chunks, longest_line))
    preparing = asyncio.create_task(_prepare_all(groups, prepare, ready))
    number = 0
    try:
        while group := await ready.get():
            if isinstance(group, TooLarge):  # the status is sent already
                yield _line(number, _failed(group))
                return
            if isinstance(group, Exception):
                raise group
            answers = await group.enrolled(recogniser)
            outcomes = Counter(answer["outcome"] for answer in answers)
            for outcome, n in outcomes.items():
                on_outcome("refused" if outcome == "failed" else outcome, n)
            yield b"".join(_line(number + i, answer) for i, answer in enumerate(answers))
            number += len(answers)
    finally:
        preparing.cancel()
        with suppress(asyncio.CancelledError):
            await preparing


class _Group:
    """Lines as read, and those of them that could be as prepared."""

    def __init__(self, asked: Sequence[Asked | Exception], prepared: Prepared | Exception) -> None:
        self._asked = asked
        self._prepared = prepared

    async def enrolled(self, recogniser: Recogniser) -> list[dict[str, Any]]:
        """Write them, and return what became of each."""
        done: list[Enrollments | Exception] | Exception
        if isinstance(self._prepared, Exception):
            done = self._prepared
        else:
            done = await _caught(recogniser.enroll_many(self._prepared))
        good = sum(isinstance(each, Asked) for each in self._asked)
        told = iter([done] * good if isinstance(done, Exception) else done)
        return [
            _answer(each, next(told)) if isinstance(each, Asked) else _failed(each)
            for each in self._asked
        ]


async def _prepare_all(
    groups: AsyncIterator[list[bytes]],
    prepare: Callable[[Sequence[bytes]], Awaitable[_Group]],
    ready: "asyncio.Queue[_Group | Exception | None]",
) -> None:
    """Prepare lines, one group ahead of what is taken; None or an error is the last."""
    try:
        async for lines in groups:
            await ready.put(await prepare(lines))
    except Exception as error:  # noqa: BLE001 - whoever waits must be told
        await ready.put(error)
    else:
        await ready.put(None)


async def _groups(chunks: AsyncIterator[list[bytes]]) -> AsyncIterator[list[bytes]]:
    """Yield as many lines as are taken at once, or those that came when no more do for a while."""
    held: list[bytes] = []
    coming: asyncio.Future[list[bytes]] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(chunks))
            await asyncio.wait([coming], timeout=LINGER if held else None)
            if not coming.done():
                yield held
                held = []
                continue
            more, coming = coming.result(), None
            held += [line for line in more if line.strip()]
            while len(held) >= LINES_AT_ONCE:
                yield held[:LINES_AT_ONCE]
                held = held[LINES_AT_ONCE:]
    except StopAsyncIteration:
        if held:
            yield held
    finally:
        if coming is not None:
            coming.cancel()


async def _caught(done: Awaitable[Any]) -> Any:
    """Return what is awaited, or the error that it raises: that is the outcome of each line."""
    try:
        return await done
    except Exception as error:  # noqa: BLE001
        return error


def _answer(asked: Asked, done: Enrollments | Exception) -> dict[str, Any]:
    if isinstance(done, Exception):
        return _failed(done)
    (kept,) = done.samples
    answer = {
        "identity": asked.identity,
        "outcome": kept.outcome,
        "id": str(kept.id),
        "version": done.version,
    }
    if kept.outcome == "duplicate":
        return answer
    odd = {"warnings": done.warnings} if done.warnings else {}
    return answer | odd | ({} if done.searched else {"searched": False})


def _line(number: int, answer: dict[str, Any]) -> bytes:
    return write({"line": number} | answer) + b"\n"


def _failed(error: Exception) -> dict[str, Any]:
    if kind_of(error) is INTERNAL:
        log.error("defect", error=type(error).__name__, exc_info=error)
    return {"outcome": "failed", "problem": problem_of(error).model_dump(exclude_none=True)}
