"""A module of ours run as a child of bounded memory, which knows no secret, and how it ended."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import IO

from models_store.confinement import bare_environment

_KILLED = (-signal.SIGKILL, -signal.SIGABRT)  # by the kernel, or by C++ that got no memory
_OUT_OF_MEMORY = (
    "MemoryError",
    "allocate memory",
    "Memory allocation",
    "bad_alloc",  # of C++, as ONNX Runtime has it
    "failed to map segment",  # of what is imported when it is first used
    "can't start new thread",  # which takes memory for its stack
)


async def start_confined(
    memory: int,
    *words: str,
    stdin: int,
    stdout: int,
    stderr: int | IO[bytes],
    limit: int = 2**16,
    **told: str,
) -> asyncio.subprocess.Process:
    """Start `python -m` these words with so many bytes of address space, to end with us.

    Of the environment it knows where code lies, and what it is `told`; `limit` bounds the lines
    that are read of it.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "service.children.confined", str(os.getpid()), str(memory), *words),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        limit=limit,
        env=bare_environment(PYTHONHASHSEED="0", **told),
        start_new_session=True,
    )


async def end(child: asyncio.subprocess.Process) -> None:
    """Leave nothing of a child, if it has not ended by itself."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def out_of_memory(status: int, said: str) -> bool:
    """Whether a child seems to have ended for want of memory, by its status and last words."""
    return status in _KILLED or tells_of_memory(said)


def tells_of_memory(said: str) -> bool:
    """Whether an error's words say that there was no memory, whoever chose them."""
    return any(words in said for words in _OUT_OF_MEMORY)
