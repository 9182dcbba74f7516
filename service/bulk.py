"""Many enrollments in one request: NDJSON lines in, an outcome a line out."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from service.fields import BulkLine
from service.parameters import InvalidParameter
from service.problems import kind_of
from service.recogniser import Recogniser
from service.uploads import TooLarge, parse_json, read_sample

LINES_AT_ONCE = 64
"""Lines that are embedded and written together, so that they share model runs and fsyncs."""


async def enroll_lines(
    recogniser: Recogniser, gallery: str, chunks: AsyncIterator[bytes], longest_line: int
) -> AsyncIterator[bytes]:
    """Yield one JSON line for each line that came, in order.

    `{"line", "identity", "outcome": "added" | "duplicate", "id", "version"}`, or
    `{"line", "outcome": "failed", "problem"}`. A line that fails does not stop the others.
    """
    number = 0
    async for lines in _batches(_lines(chunks, longest_line)):
        calls = (_enroll_line(recogniser, gallery, line) for line in lines)
        for answer in await asyncio.gather(*calls):
            yield json.dumps({"line": number} | answer).encode() + b"\n"
            number += 1


async def _enroll_line(recogniser: Recogniser, gallery: str, line: bytes) -> dict[str, Any]:
    try:
        document = parse_json(line)
        if not isinstance(document, dict):
            raise InvalidParameter("line", "expected a JSON object")  # noqa: TRY301
        named = {"identity", "metadata"}
        fields = {name: value for name, value in document.items() if name in named}
        said = BulkLine.read(fields, strict=True)
        sample = read_sample({k: v for k, v in document.items() if k not in named}, "line")
        done = await recogniser.enroll(gallery, said.identity, [sample], said.metadata)
    except Exception as error:  # noqa: BLE001 - one line must not sink the others
        problem = kind_of(error).problem(str(error))
        return {"outcome": "failed", "problem": problem.model_dump(exclude_none=True)}
    (kept,) = done.samples
    return {
        "identity": said.identity,
        "outcome": kept.outcome,
        "id": str(kept.id),
        "version": done.version,
    }


async def _lines(chunks: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    """Split a stream at its newlines; blank lines are skipped."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in filter(bytes.strip, whole):
            yield line
        if len(rest) > longest:
            raise TooLarge(f"expected lines of at most {longest} bytes")
    if rest.strip():
        yield rest


async def _batches(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    async for line in lines:
        batch.append(line)
        if len(batch) == LINES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
