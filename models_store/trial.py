"""`python -m models_store.trial PARENT SECONDS BYTES FILE…`: tries bundles where they do no harm.

This process is a template. It imports once what trying takes, forks a process for each bundle, as
many at a time as there are cores, and writes how each ended: a line of JSON. In the fork a bundle
is loaded and tested as the service would, within so many processor seconds and bytes of memory.
The kernel enforces both. A FILE is a descriptor in memory that `models_store.trials` has written.
"""

import io
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from models_store.bundle import load_bundle
from models_store.comparator import runtime
from models_store.confinement import end_with, leave_no_core
from models_store.folder import BundleFiles
from models_store.manifest import BundleRefused, parse_manifest
from models_store.sample import SampleLimits
from models_store.trials import WALL_SECONDS, TrialLimits, at_once

MOST_SAID = 4096  # bytes of a reason


def main() -> None:
    """Try the bundle of each descriptor in a fork of this process."""
    parent, seconds, memory = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    end_with(parent)
    leave_no_core()
    runtime()  # once for all forks
    waiting = [(number, int(file)) for number, file in enumerate(sys.argv[4:])]
    running: dict[int, tuple[int, int]] = {}
    while waiting or running:
        while waiting and len(running) < at_once():
            number, file = waiting.pop(0)
            pid, reason = start(file, TrialLimits(seconds, memory))
            running[pid] = (number, reason)
        pid, status = os.wait()
        number, reason = running.pop(pid)
        verdict = {"bundle": number, "reason": verdict_of(status, reason, seconds)}
        sys.stdout.write(json.dumps(verdict) + "\n")
        sys.stdout.flush()


def _from_memory(file: int) -> BundleFiles:
    with os.fdopen(file, "rb") as given:
        given.seek(0)
        about = json.loads(given.readline())
        contents = {name: given.read(size) for name, size in about["files"].items()}
    return BundleFiles(parse_manifest(about["manifest"].encode()), "", contents)


def start(file: int, limits: TrialLimits) -> tuple[int, int]:
    """Start the trial of a bundle; return its process, and where it will say why it is refused."""
    reason, say = os.pipe()
    template = os.getpid()
    if not (pid := os.fork()):
        _try(file, say, template, limits)
    os.close(say)
    os.close(file)
    return pid, reason


def _try(file: int, say: int, template: int, limits: TrialLimits) -> NoReturn:
    """Be the process that a bundle is tried in."""
    status = 1
    try:
        end_with(template)
        _confine(limits)
        load_bundle(_from_memory(file), "cpu", 1, SampleLimits())
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it says why
        told = str(error) if isinstance(error, BundleRefused) else type(error).__name__
        if any(_lacks_memory(one) for one in _chain(error)):
            told = f"it takes more than {limits.memory} bytes of memory"
        os.write(say, told.encode(errors="replace")[:MOST_SAID])
    finally:
        os._exit(status)


def _confine(limits: TrialLimits) -> None:
    """Write nothing anywhere, and take no more memory than now and so many bytes."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = now + limits.memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS * limits.seconds)


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def verdict_of(status: int, reason: int, seconds: float) -> str | None:
    """Return why a bundle whose trial ended like this is refused, or None if it is not."""
    with io.FileIO(reason) as said:
        told = (said.read(MOST_SAID) or b"").decode(errors="replace")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGPROF:
            return f"it takes more than {seconds:g} seconds of the processor to be tried"
        if number == signal.SIGALRM:
            return "it hangs when it is tried"
        return f"it crashes the process that it is tried in ({signal.Signals(number).name})"
    if os.waitstatus_to_exitcode(status) == 0:
        return None
    return told or "it ends the process that it is tried in"


if __name__ == "__main__":
    main()
