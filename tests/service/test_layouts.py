"""Samples laid out in a process of its own, which may fail, and ends with who wanted it."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from index import principal_plane
from service.children.layouts import NoLayout, ToLayOut, lay_out

pytestmark = pytest.mark.anyio

MEMORY = 3 * 2**30


@pytest.fixture
def anyio_backend():
    return "asyncio"


def crowd(count):
    rows = np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)
    return ToLayOut(rows, principal_plane(rows), "l2", (1.0, 2.0), 0.5)


def children():
    """Processes that this one started and that still run."""
    told = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in told]
    return sum(b"evaluation.layout" in command for command in commands)


async def test_every_sample_has_a_place_and_a_cluster_and_it_is_told_how_far_it_is():
    shares = []

    found = await lay_out(crowd(40), memory=MEMORY, seconds=60, on_share=shares.append)

    assert len(found.x) == len(found.y) == len(found.clusters) == 40
    assert shares == sorted(shares)
    assert len(shares) > 10
    assert children() == 0


async def test_what_takes_too_long_is_ended():
    with pytest.raises(NoLayout, match=r"more than 0\.1 seconds"):
        await lay_out(crowd(40), memory=MEMORY, seconds=0.1, on_share=lambda _: None)

    assert children() == 0


async def test_too_little_memory_is_told_as_such():
    with pytest.raises(NoLayout, match="of memory did not suffice"):
        await lay_out(crowd(40), memory=2**28, seconds=60, on_share=lambda _: None)


async def test_a_process_that_fails_is_told():
    odd = crowd(40)
    odd = ToLayOut(odd.embeddings, odd.start[:3], "l2", odd.head, odd.cluster_threshold)

    with pytest.raises(NoLayout, match="ended with status 1"):
        await lay_out(odd, memory=MEMORY, seconds=60, on_share=lambda _: None)


async def test_cancelled_it_leaves_no_process():
    begun = asyncio.Event()
    task = asyncio.create_task(
        lay_out(crowd(2000), memory=MEMORY, seconds=60, on_share=lambda _: begun.set())
    )
    await begun.wait()
    assert children() == 1

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert children() == 0
