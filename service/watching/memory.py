"""How much memory the service may take, and takes: of its container, or else of the machine."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use that cannot be had back for the asking, and the bytes there may be."""

    used: int
    limit: int


def memory(cgroup: Path = CGROUP) -> Memory:
    """Return what a limited control group (v2) has in use, as the kubelet counts it.

    That is all its processes: decoders and an embedded store too. Without a limit it is what this
    process holds of the machine's memory.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE
    try:
        limit = int((cgroup / "memory.max").read_text())  # "max" where there is none
        current = int((cgroup / "memory.current").read_text())
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return Memory(max(0, current - int(counts["inactive_file"])), min(limit, machine))
    except (OSError, ValueError, KeyError):
        held = int(Path("/proc/self/statm").read_text().split()[1])
        return Memory(held * _PAGE, machine)
