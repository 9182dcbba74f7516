"""Bundles are tried in processes that may be lost, before the service loads the same bytes.

A bundle says what ONNX Runtime and a tokenizer build and run. One that crashes them, hangs them or
swells them is found out there, and refused with the reason.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil

from models_store.confinement import bare_environment
from models_store.folder import BundleFiles, shown

WALL_SECONDS = 4
"""How many seconds one of the processor may take: it may wait for one, or wait for ever."""

STARTING = 60  # seconds that the template may take besides


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What trying one bundle may take: seconds of the processor, and bytes of memory."""

    seconds: float = 60.0
    memory: int = 4 * 2**30


def try_bundles(bundles: Sequence[BundleFiles], limits: TrialLimits) -> list[str | None]:
    """Return for each bundle why it cannot be served, or None if it can."""
    if not bundles:
        return []
    files = [in_memory(bundle) for bundle in bundles]
    words = [str(os.getpid()), str(limits.seconds), str(limits.memory), *map(str, files)]
    rounds = ceil(len(bundles) / at_once())
    try:
        with subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            [sys.executable, "-m", "models_store.trial", *words],
            env=bare_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=files,
            start_new_session=True,
        ) as template:
            try:
                said, _ = template.communicate(
                    timeout=STARTING + rounds * WALL_SECONDS * limits.seconds
                )
            except subprocess.TimeoutExpired:
                said = b""
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(template.pid, signal.SIGKILL)
    finally:
        for file in files:
            os.close(file)
    return _verdicts(said, len(bundles))


def _verdicts(said: bytes, count: int) -> list[str | None]:
    verdicts: list[str | None] = ["the process that tries bundles was lost"] * count
    for line in said.splitlines():
        with suppress(ValueError, KeyError, IndexError, TypeError):
            told = json.loads(line)
            verdicts[told["bundle"]] = told["reason"] and shown(told["reason"])
    return verdicts


def in_memory(bundle: BundleFiles) -> int:
    """Return a file that only a descriptor leads to: a line about a bundle, and its bytes."""
    contents = bundle.contents
    about = {
        "manifest": bundle.manifest.model_dump_json(),
        "files": {name: len(content) for name, content in contents.items()},
    }
    file = os.memfd_create("bundle", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(file), "wb") as out:
        out.write(json.dumps(about).encode() + b"\n")
        out.writelines(contents.values())
    return file


def at_once() -> int:
    """Return how many bundles are tried at a time."""
    return os.cpu_count() or 1
