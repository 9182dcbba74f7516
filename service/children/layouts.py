"""`python -m evaluation.layout` as a child: bounded in memory and time, and nothing on disk."""

import asyncio
import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import structlog

from index import Embeddings, Metric, Plane
from service.children.starting import end, out_of_memory, start_confined

LONGEST_LINE = 2**26  # bytes; 64 for each of a million samples
_TAIL = 4096  # bytes of what the child said last

log = structlog.get_logger("kindred.layouts")


Missing = Literal["late", "memory", "uninstalled", "failed"]


class NoLayout(Exception):
    """There is no layout; the message says why, and `outcome` in a word of a closed list."""

    def __init__(self, reason: str, outcome: Missing) -> None:
        super().__init__(reason)
        self.outcome: Missing = outcome


@dataclass(frozen=True, slots=True)
class Layout:
    """Where samples lie so that neighbours stay neighbours, and which belong together (n,)."""

    x: Sequence[float]
    y: Sequence[float]
    clusters: Sequence[int]


@dataclass(frozen=True, slots=True)
class ToLayOut:
    """Embeddings (n, d), where they lie at first (n, 2), and what scores are made by."""

    embeddings: Embeddings
    start: Plane
    metric: Metric
    head: tuple[float, float]
    cluster_threshold: float

    def packed(self) -> bytes:
        """Return all of it as the child reads it."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            embeddings=self.embeddings,
            start=self.start,
            metric=self.metric,
            head=self.head,
            cluster_threshold=self.cluster_threshold,
        )
        return buffer.getvalue()


async def lay_out(
    asked: ToLayOut, *, memory: int, seconds: float, on_share: Callable[[float], None]
) -> Layout:
    """Lay samples out in a process of its own, or raise NoLayout.

    It has `memory` bytes of address space and as many seconds by the clock. Cancelled, this leaves
    no process behind; samples go to it through a pipe, so that none is left in a file.
    """
    content = await asyncio.to_thread(asked.packed)
    child = await start_confined(
        memory,
        "evaluation.layout",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    said = asyncio.create_task(_tail(child))
    try:
        async with asyncio.timeout(seconds):
            last = await _converse(child, content, on_share)
            status = await child.wait()
    except TimeoutError:
        raise NoLayout(f"it took more than {seconds:g} seconds", "late") from None
    finally:
        await end(child)
        words = await said
    if status or "clusters" not in last:
        raise _reason(status, words, memory)
    return Layout(**last)


async def _converse(
    child: asyncio.subprocess.Process, content: bytes, on_share: Callable[[float], None]
) -> Mapping[str, Any]:
    """Give the child its input, tell how far it is, and return its last line."""
    assert child.stdin is not None  # noqa: S101 - it was asked for
    assert child.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(content)
        await child.stdin.drain()
    child.stdin.close()
    line: Mapping[str, Any] = {}
    async for text in child.stdout:
        with contextlib.suppress(ValueError):  # cut off: the child is gone
            line = await asyncio.to_thread(json.loads, text)
            on_share(line.get("share", 1.0))
    return line


async def _tail(child: asyncio.subprocess.Process) -> str:
    """Return what the child said last on standard error."""
    assert child.stderr is not None  # noqa: S101
    said = b""
    while some := await child.stderr.read(_TAIL):
        said = (said + some)[-_TAIL:]
    return said.decode("utf-8", "replace").strip()


def _reason(status: int, said: str, memory: int) -> NoLayout:
    if out_of_memory(status, said):
        reason = f"{memory} bytes of memory did not suffice for so many samples"
        return NoLayout(reason, "memory")
    if "No module named 'openTSNE'" in said:
        return NoLayout("openTSNE is not installed here", "uninstalled")
    log.error("layout failed", status=status, error=said.rpartition("\n")[2].partition(":")[0])
    return NoLayout(f"the process that lays it out ended with status {status}", "failed")
