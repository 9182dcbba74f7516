"""Many enrollments in one request: NDJSON lines in, an outcome a line out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog

from service.fields import BulkLine, bound_metadata
from service.ndjson import split_lines
from service.parameters import InvalidParameter
from service.problems import INTERNAL, kind_of, problem_of
from service.recogniser import Recogniser
from service.uploads import TooLarge, parse_json, read_sample

log = structlog.get_logger("kindred.bulk")

MOST_VALUES = 2**16  # of one line: an embedding and metadata

LINES_AT_ONCE = 64
"""Lines that are embedded and written together, so that they share model runs and fsyncs."""


async def enroll_lines(
    recogniser: Recogniser,
    gallery: str,
    chunks: AsyncIterator[bytes],
    *,
    longest_line: int,
    longest_metadata: int,
    on_outcome: Callable[[str], None] = lambda _outcome: None,
) -> AsyncIterator[bytes]:
    """Yield one JSON line for each line that came, in order.

    `{"line", "identity", "outcome": "added" | "duplicate", "id", "version"}`, with
    `warnings` if there are any, or
    `{"line", "outcome": "failed", "problem"}`. A line that fails does not stop the others; a body
    that passes a limit does, and the last answer is then of the first line that was not enrolled.
    `on_outcome` is told `added`, `duplicate` or `refused` for each.
    """
    number = 0
    try:
        async for lines in _batches(split_lines(chunks, longest_line)):
            calls = (_enroll_line(recogniser, gallery, line, longest_metadata) for line in lines)
            for answer in await asyncio.gather(*calls):
                outcome = answer["outcome"]
                on_outcome("refused" if outcome == "failed" else outcome)
                yield _answer(number, answer)
                number += 1
    except TooLarge as error:  # the status is sent already
        yield _answer(number, _failed(error))


async def _enroll_line(
    recogniser: Recogniser, gallery: str, line: bytes, longest_metadata: int
) -> dict[str, Any]:
    try:
        document = parse_json(line, MOST_VALUES)
        if not isinstance(document, dict):
            raise InvalidParameter("line", "expected a JSON object")  # noqa: TRY301
        named = {"identity", "metadata"}
        fields = {name: value for name, value in document.items() if name in named}
        said = BulkLine.read(fields, strict=True)
        bound_metadata(said.metadata, longest_metadata)
        sample = read_sample({k: v for k, v in document.items() if k not in named}, "line")
        done = await recogniser.enroll(gallery, said.identity, [sample], said.metadata)
    except Exception as error:
        if kind_of(error) is INTERNAL:
            log.exception("defect", error=type(error).__name__)
        return _failed(error)
    (kept,) = done.samples
    answer = {
        "identity": said.identity,
        "outcome": kept.outcome,
        "id": str(kept.id),
        "version": done.version,
    }
    odd = done.warnings if kept.outcome == "added" else []
    return answer | ({"warnings": odd} if odd else {})


def _answer(number: int, answer: dict[str, Any]) -> bytes:
    return json.dumps({"line": number} | answer).encode() + b"\n"


def _failed(error: Exception) -> dict[str, Any]:
    return {"outcome": "failed", "problem": problem_of(error).model_dump(exclude_none=True)}


async def _batches(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    async for line in lines:
        if not line.strip():
            continue
        batch.append(line)
        if len(batch) == LINES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
