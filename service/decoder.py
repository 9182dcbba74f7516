"""`python -m service.decoder PARENT SECONDS BYTES`: decodes what strangers send, and may be lost.

This process is a template. It loads once what decoding takes, never sees a sample, and ends with
the service. For each channel that comes over its standard input, a socket, it forks a decoder,
which decodes one sample after the other, each within so many processor seconds and bytes of
memory. The kernel enforces both. How a decoder ended, the template writes on its channel.
"""

import gc
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from enum import IntEnum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from models_store.confinement import end_with, leave_no_core
from models_store.image import thumbnail
from models_store.manifest import ImageInput, Input
from models_store.preparation import Windows, preparation
from models_store.sample import Degenerate, SampleLimits, SampleOutOfBounds, Undecodable

REQUEST = struct.Struct("!BHI")  # task, number of the preparation, bytes of the sample
ANSWER = struct.Struct("!BI")  # outcome, bytes that follow
LENGTH = struct.Struct("!Q")
READY = b"R"

WALL_SECONDS = 20
"""How many seconds one of the processor may take: it may wait for one, or wait for ever."""

_TYPES = ("<f4", "<i8")


class Task(IntEnum):
    """What is asked for a sample: its windows, or a thumbnail of the image."""

    PREPARE = 0
    PICTURE = 1


class Outcome(IntEnum):
    """What became of a sample; after LOST comes the signal that ended the decoder, or 0."""

    DONE = 0
    UNDECODABLE = 1
    OUT_OF_BOUNDS = 2
    DEGENERATE = 3
    DEFECT = 4
    LOST = 5


_REFUSALS: Mapping[type[Exception], Outcome] = MappingProxyType(
    {
        Undecodable: Outcome.UNDECODABLE,
        SampleOutOfBounds: Outcome.OUT_OF_BOUNDS,
        Degenerate: Outcome.DEGENERATE,
    }
)

Tasks = dict[tuple[int, int], Callable[[bytes], bytes]]
"""By task and number of the preparation, what turns a sample into the bytes of an answer."""


def describe(
    preparations: Sequence[tuple[Input, SampleLimits, Mapping[str, str]]],
) -> bytes:
    """Return preparations, with the text files that they read, as the template takes them in."""
    document = [
        {
            "input": spec.model_dump(),
            "limits": asdict(limits),
            "files": dict(files),
        }
        for spec, limits, files in preparations
    ]
    told = json.dumps(document).encode()
    return LENGTH.pack(len(told)) + told


def pack(windows: Windows) -> bytes:
    """Return windows as bytes: no pickle, for who decodes is not to be trusted."""
    about = json.dumps([(one.dtype.str, one.shape) for one in windows]).encode()
    about += b" " * (-len(about) % LENGTH.size)  # so that the numbers are aligned
    return b"".join([LENGTH.pack(len(about)), about, *(one.tobytes() for one in windows)])


def unpack(payload: bytes) -> Windows:
    """Return what `pack` packed, read-only; raise ValueError if it is anything else."""
    start = LENGTH.size + LENGTH.unpack_from(payload)[0]
    windows: list[npt.NDArray[Any]] = []
    for kind, shape in json.loads(payload[LENGTH.size : start]):
        if kind not in _TYPES:
            raise ValueError("expected float32 or int64")
        one = np.frombuffer(payload, kind, int(np.prod(shape)), start).reshape(shape)
        start += one.nbytes
        windows.append(one)
    return tuple(windows)


def main() -> None:
    """Load, then fork a decoder for each channel, until the service ends."""
    parent, seconds, memory = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    end_with(parent)
    leave_no_core()
    os.setpgid(0, 0)  # a Ctrl-C in the terminal is the service's to answer
    control = socket.socket(fileno=sys.stdin.fileno())
    tasks = _read_tasks(control)
    gc.freeze()  # so that a collection in a decoder copies nothing of what it shares
    control.send(READY)
    watched = selectors.DefaultSelector()
    watched.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.data is not None:
                watched.unregister(key.fileobj)
                _bury(*key.data)
                continue
            _, channels, _, _ = socket.recv_fds(control, 1, 1)
            if not channels:
                return
            channel = socket.socket(fileno=channels[0])
            template = os.getpid()
            if not (pid := os.fork()):
                _decode_all(channel, template, tasks, seconds, memory)
            ended = os.pidfd_open(pid)
            watched.register(ended, selectors.EVENT_READ, (pid, ended, channel))


def _read_tasks(control: socket.socket) -> Tasks:
    (length,) = LENGTH.unpack(control.recv(LENGTH.size, socket.MSG_WAITALL))
    tasks: Tasks = {}
    for which, told in enumerate(json.loads(control.recv(length, socket.MSG_WAITALL))):
        spec: Input = TypeAdapter(Input).validate_python(told["input"])
        limits = SampleLimits(**told["limits"])
        files = {name: text.encode() for name, text in told["files"].items()}
        prepare = preparation(spec, limits, files.__getitem__)
        tasks[Task.PREPARE, which] = partial(_prepared, prepare)
        if isinstance(spec, ImageInput):
            tasks[Task.PICTURE, which] = partial(thumbnail, spec=spec, limits=limits)
    return tasks


def _prepared(prepare: Callable[[bytes], Windows], content: bytes) -> bytes:
    return pack(prepare(content))


def _bury(pid: int, ended: int, channel: socket.socket) -> None:
    """Tell who waits on a channel how its decoder ended."""
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    with channel, suppress(OSError):  # where the service let it go
        channel.send(ANSWER.pack(Outcome.LOST, 1) + bytes([number]), socket.MSG_DONTWAIT)


def _decode_all(
    channel: socket.socket, template: int, tasks: Tasks, seconds: float, memory: int
) -> NoReturn:
    """Be a decoder: answer what comes over the channel until it is closed."""
    status = 1
    try:
        end_with(template)
        channel = _confine(channel, memory)
        while head := channel.recv(REQUEST.size, socket.MSG_WAITALL):
            task, which, length = REQUEST.unpack(head)
            content = channel.recv(length, socket.MSG_WAITALL)
            outcome, payload = _decode(tasks[task, which], content, seconds, memory)
            channel.sendall(ANSWER.pack(outcome, len(payload)) + payload)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # who asked has left
    finally:
        os._exit(status)


def _confine(channel: socket.socket, memory: int) -> socket.socket:
    """Keep nothing but the channel, and take no more memory than now and so many bytes."""
    os.dup2(channel.fileno(), 0)
    os.dup2(1, 2)  # libraries write what they were given to standard error
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return socket.socket(fileno=0)


def _decode(
    task: Callable[[bytes], bytes], content: bytes, seconds: float, memory: int
) -> tuple[Outcome, bytes]:
    """Return what becomes of a sample, unless it takes too long: then this process ends."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS * seconds)
    try:
        return Outcome.DONE, task(content)
    except Exception as error:  # noqa: BLE001 - whoever sent it must be told
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            said = f"expected a sample that is decoded in {memory} bytes of memory"
            return Outcome.OUT_OF_BOUNDS, said.encode()
        outcome = _REFUSALS.get(type(error), Outcome.DEFECT)
        said = type(error).__name__ if outcome == Outcome.DEFECT else str(error)
        return outcome, said.encode()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
