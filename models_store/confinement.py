"""What a process gives up before it meets what it cannot trust, or keeps to itself."""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_DUMPABLE = 4


def end_with(parent: int) -> None:
    """End this process at once when its parent does, or now if it has."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        sys.exit(1)


def bare_environment(**told: str) -> dict[str, str]:
    """Return what a child may know of our environment: where code lies, and what it is told."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",  # no threads in a process that forks
        "LC_ALL": "C.UTF-8",
    } | told


def leave_no_core(*, debuggers: bool = False) -> None:
    """Let no crash write this process's memory to a file, and nobody of its user read it.

    Children inherit the first of both; the second ends with `exec`, so that each must ask for it
    anew. `debuggers` may still read it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not debuggers:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
