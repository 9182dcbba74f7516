"""Many enrollments in one request: NDJSON lines in, an outcome a line out."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from itertools import repeat
from typing import Any, TypeVar

import structlog

from service.edge.problems import INTERNAL, kind_of, problem_of
from service.quick_json import write
from service.requests.ndjson import split_chunks
from service.requests.upload import TooLarge
from service.routes.bulk_lines import read_lines
from service.use_cases.enrolling import Asked, Prepared, Stored
from service.use_cases.recogniser import Recogniser
from service.use_cases.results import Enrollments

log = structlog.get_logger("kindred.bulk")

A = TypeVar("A")
B = TypeVar("B")
_Read = Sequence[Asked | Exception]  # lines

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
) -> AsyncGenerator[bytes, None]:
    """Yield one JSON line for each line that came, in order, some lines at a time.

    `{"line", "identity", "outcome": "added" | "duplicate", "id", "version"}`, with
    `warnings` if there are any, or
    `{"line", "outcome": "failed", "problem"}`. A line that fails does not stop the others; a body
    that passes a limit does, and the last answer is then of the first line that was not enrolled.
    `on_outcome` is told how many are `added`, `duplicate` or `refused`.

    `"searched": false` tells that it was not looked whether somebody else would be named by that
    sample, which in a large gallery is done for every line only if asked to be `thorough`, or
    where it decides.

    While some lines are written the next are read and embedded, and those before are taken into
    the index; and no more than these: the body waits for its answers.
    """

    async def prepare(lines: Sequence[bytes]) -> tuple[_Read, Prepared | Exception]:
        read = await asyncio.to_thread(read_lines, lines, longest_metadata)
        good = [each for each in read if isinstance(each, Asked)]
        return read, await _caught(recogniser.prepare_many(gallery, good, thorough=thorough))

    async def write(group: tuple[_Read, Prepared | Exception]) -> tuple[_Read, Stored]:
        read, prepared = group
        stored: Stored | Exception = (
            prepared
            if isinstance(prepared, Exception)
            else await _caught(recogniser.enroll_many(prepared))
        )
        if isinstance(stored, Exception):
            stored = Stored([stored] * sum(isinstance(each, Asked) for each in read))
        return read, stored

    ready = _ahead(_groups(split_chunks(chunks, longest_line)), prepare)
    number = 0
    async with aclosing(_ahead(ready, write)) as groups:
        try:
            async for read, stored in groups:
                unfollowed = await _caught(stored.followed())
                told = repeat(unfollowed) if unfollowed else iter(stored.outcomes)
                answers = [
                    _answer(each, next(told)) if isinstance(each, Asked) else _failed(each)
                    for each in read
                ]
                for outcome, n in Counter(answer["outcome"] for answer in answers).items():
                    on_outcome("refused" if outcome == "failed" else outcome, n)
                yield b"".join(_line(number + i, answer) for i, answer in enumerate(answers))
                number += len(answers)
        except TooLarge as error:  # the status is sent already
            yield _line(number, _failed(error))


async def unread(answers: AsyncGenerator[bytes, None], most: int) -> AsyncGenerator[bytes, None]:
    """Yield these bytes; while nobody takes them more are made, until `most` wait or are passed.

    Many a client sends a whole body before it reads: it would wait for us, and we for it.
    """
    held: deque[bytes] = deque()
    changed, over = asyncio.Condition(), False

    async def make() -> None:
        nonlocal over
        try:
            async with aclosing(answers):
                async for answer in answers:
                    async with changed:
                        held.append(answer)
                        changed.notify_all()
                        await changed.wait_for(lambda: sum(map(len, held)) < most)
        finally:
            async with changed:
                over = True
                changed.notify_all()

    making = asyncio.create_task(make())
    try:
        while True:
            async with changed:
                await changed.wait_for(lambda: held or over)
                answer = held.popleft() if held else None
                changed.notify_all()
            if answer is None:
                break
            yield answer
        await making
    finally:
        making.cancel()
        await asyncio.wait([making])


async def _ahead(
    items: AsyncGenerator[A, None], do: Callable[[A], Awaitable[B]]
) -> AsyncGenerator[B, None]:
    """Yield what is made of each item, in order, while it is made of the next."""

    async def make() -> B:
        return await do(await anext(items))

    coming = asyncio.create_task(make())
    try:
        while True:
            made = await coming
            coming = asyncio.create_task(make())
            yield made
    except StopAsyncIteration:
        return
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        await items.aclose()


async def _groups(chunks: AsyncIterator[list[bytes]]) -> AsyncGenerator[list[bytes], None]:
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
