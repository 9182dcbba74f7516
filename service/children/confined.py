"""`python -m service.children.confined PARENT BYTES MODULE …`: a module, run within bounds.

It runs at the lowest priority, in at most so many bytes of address space, leaves no core, and ends
at once with the process that started it, however that ends.
"""

import os
import resource
import runpy
import sys

from models_store.confinement import end_with, leave_no_core

NICENESS = 3  # one evaluation of 200 pictures still ends within a minute on a busy machine


def main() -> None:
    """Confine this process, then become the module that the arguments name."""
    parent, memory, module = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    end_with(parent)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    leave_no_core()
    sys.argv = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
