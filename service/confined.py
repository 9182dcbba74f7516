"""`python -m service.confined PARENT BYTES MODULE …`: a module run politely, bounded, not alone.

It runs at the lowest priority, in at most so many bytes of address space, leaves no core, and ends
at once with the process that started it, however that ends.
"""

import ctypes
import os
import resource
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
NICENESS = 3  # one evaluation of 200 pictures still ends within a minute on a busy machine


def main() -> None:
    """Confine this process, then become the module that the arguments name."""
    parent, memory, module = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    end_with(parent)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def end_with(parent: int) -> None:
    """End this process at once when its parent does, or now if it has."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        sys.exit(1)


if __name__ == "__main__":
    main()
