"""`python -m service.embedding.decoder PARENT BYTES`: it decodes for others, and may be lost.

This process is a template. It loads once what decoding takes, never sees a sample, and ends with
the service. For each channel that comes over its standard input, a socket, it forks a decoder,
which answers one request after the other, each within as many processor seconds as come with it,
and so many bytes of memory. The kernel enforces both. How a decoder ended, the template writes on
its channel.
"""

import gc
import json
import math
import os
import resource
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from enum import IntEnum
from functools import partial
from pathlib import Path
from time import process_time
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from models_store.confinement import end_with, leave_no_core
from models_store.image import thumbnail
from models_store.manifest import ImageInput, Input, TextInput
from models_store.preparation import Windows, preparation
from models_store.preview import preview
from models_store.sample import Degenerate, SampleLimits, SampleOutOfBounds, Undecodable

SECONDS = struct.Struct("!d")  # that a request may take, before it
LENGTH = struct.Struct("!Q")  # of a request or an answer, before it
SAMPLE = struct.Struct("!BHI")  # of a request: task, number of the preparation, bytes that follow
RESULT = struct.Struct("!BdI")  # of an answer: outcome, seconds it took, bytes that follow
READY, FORK = b"R", b"F"

WALL_SECONDS = 20
"""How many seconds one of the processor may take: it may wait for one, or wait for ever."""

ENOUGH_SECONDS, ENOUGH_BYTES = 0.015, 2**20
"""After so much an answer is given, although it is not of all samples: the rest asks again."""

_TYPES = ("<f4", "<i8")
_WINDOW = struct.Struct("!BB")  # which type, how many sizes
_SIZE = struct.Struct("!I")


class Task(IntEnum):
    """What is asked for a sample: its windows, the image as a thumbnail, or a picture of it."""

    PREPARE = 0
    PICTURE = 1
    PREVIEW = 2


class Outcome(IntEnum):
    """What became of a sample; after LOST comes the signal that ended the decoder, or 0."""

    DONE = 0
    UNDECODABLE = 1
    OUT_OF_BOUNDS = 2
    DEGENERATE = 3
    OUT_OF_MEMORY = 4
    DEFECT = 5
    LOST = 6


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
    packed = []
    for one in windows:
        packed += [_WINDOW.pack(_TYPES.index(one.dtype.str), one.ndim)]
        packed += [*map(_SIZE.pack, one.shape), one.tobytes()]
    return b"".join(packed)


def unpack(payload: memoryview) -> Windows:
    """Return what `pack` packed, read-only; raise ValueError if it is anything else."""
    windows: list[npt.NDArray[Any]] = []
    start = 0
    try:
        while start < len(payload):
            kind, sizes = _WINDOW.unpack_from(payload, start)
            start += _WINDOW.size
            shape = [_SIZE.unpack_from(payload, start + _SIZE.size * i)[0] for i in range(sizes)]
            start += _SIZE.size * sizes
            one = np.frombuffer(payload, _TYPES[kind], math.prod(shape), start).reshape(shape)
            start += one.nbytes
            windows.append(one)
    except (struct.error, IndexError) as error:
        raise ValueError("expected windows") from error
    return tuple(windows)


class Result(NamedTuple):
    """What became of a sample, the processor seconds that took, and what is said of it."""

    outcome: int
    seconds: float
    said: memoryview


def results(answer: memoryview) -> Iterator[Result]:
    """Yield the result of each sample that an answer is of."""
    start = 0
    while start < len(answer):
        outcome, seconds, length = RESULT.unpack_from(answer, start)
        start += RESULT.size + length
        yield Result(outcome, seconds, answer[start - length : start])


def main() -> None:
    """Load, then fork a decoder for each channel, until the service ends."""
    parent, memory = int(sys.argv[1]), int(sys.argv[2])
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
            _, channels, _, _ = socket.recv_fds(control, len(FORK), 1)
            if not channels:
                return
            channel = socket.socket(fileno=channels[0])
            template = os.getpid()
            if not (pid := os.fork()):
                _be_decoder(channel, template, tasks, memory)
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
        with suppress(Exception):
            prepare(b"")  # so that what is loaded at the first use is shared
        tasks[Task.PREPARE, which] = partial(_prepared, prepare)
        if isinstance(spec, ImageInput):
            tasks[Task.PICTURE, which] = partial(thumbnail, spec=spec, limits=limits)
        if not isinstance(spec, TextInput):
            tasks[Task.PREVIEW, which] = partial(preview, spec=spec, limits=limits)
    return tasks


def _prepared(prepare: Callable[[bytes], Windows], content: bytes) -> bytes:
    return pack(prepare(content))


def _bury(pid: int, ended: int, channel: socket.socket) -> None:
    """Tell who waits on a channel how its decoder ended."""
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    with channel, suppress(OSError):  # where the service let it go
        lost = RESULT.pack(Outcome.LOST, 0, 1) + bytes([number])
        channel.send(LENGTH.pack(len(lost)) + lost, socket.MSG_DONTWAIT)


def _be_decoder(channel: socket.socket, template: int, tasks: Tasks, memory: int) -> NoReturn:
    """Be a decoder: answer what comes over the channel until it is closed."""
    status = 1
    try:
        end_with(template)
        channel = _confine(channel, memory)
        while head := channel.recv(LENGTH.size, socket.MSG_WAITALL):
            (length,) = LENGTH.unpack(head)
            (seconds,) = SECONDS.unpack(channel.recv(SECONDS.size, socket.MSG_WAITALL))
            samples = list(_samples(channel.recv(length, socket.MSG_WAITALL)))
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS * seconds)
            answer = b"".join(_answer(samples, tasks, memory))
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.sendall(LENGTH.pack(len(answer)) + answer)
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


def _samples(request: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the samples of a request: task, number of the preparation, content."""
    start = 0
    while start < len(request):
        task, which, length = SAMPLE.unpack_from(request, start)
        start += SAMPLE.size + length
        yield task, which, request[start - length : start]


def _answer(
    samples: Sequence[tuple[int, int, bytes]], tasks: Tasks, memory: int
) -> Iterator[bytes]:
    """Yield what becomes of samples, of as many as there is time and room for."""
    size, begun = 0, process_time()
    done = begun
    for task, which, content in samples:
        outcome, payload = _decode(tasks[task, which], content)
        before, done = done, process_time()
        if outcome == Outcome.OUT_OF_MEMORY:
            if size:
                return  # there is more when it is alone
            payload = f"expected a sample that is decoded in {memory} bytes of memory".encode()
        yield RESULT.pack(outcome, done - before, len(payload))
        yield payload
        size += RESULT.size + len(payload)
        if size > ENOUGH_BYTES or done - begun > ENOUGH_SECONDS:
            return


def _decode(task: Callable[[bytes], bytes], content: bytes) -> tuple[Outcome, bytes]:
    """Return what becomes of a sample, unless it takes too long: then this process ends."""
    try:
        return Outcome.DONE, task(content)
    except Exception as error:  # noqa: BLE001 - whoever sent it must be told
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            return Outcome.OUT_OF_MEMORY, b""
        outcome = _REFUSALS.get(type(error), Outcome.DEFECT)
        said = type(error).__name__ if outcome == Outcome.DEFECT else str(error)
        return outcome, said.encode()


if __name__ == "__main__":
    main()
