"""The real service, forked from a process that has read its code already, with failpoints.

The service knows nothing of failpoints: what is wrapped here is wrapped in the child of a test
only, and does nothing until a test arms it.
"""

import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import httpx

ROOMS = ["service.__main__", "service.serving", "tests.torture.launcher"]

STEPS = {
    "E0": "the body is not complete",
    "E1": "decoded",
    "E2": "embedded",
    "E3": "the script is sent, the store has not read it",
    "E4": "the script is executed, its fsync is not done",
    "E5": "the store has answered, its barrier is not read",
    "E6": "durable, nothing is answered",
    "E7": "durable, the index is about to follow",
    "E7'": "answered",
    "E8": "the snapshot is half written",
    "E9": "erased in the store, not in index and snapshot",
}
"""Where a process is killed; the service knows these moments by what it calls."""


class Launched:
    """A service on a port of its own choice, over a folder that outlives it."""

    def __init__(
        self,
        folder: Path,
        bundles: Path,
        port: int,
        *,
        host: str = "127.0.0.1",
        before: Callable[[], None] | None = None,
        **settings: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "log"
        self.port = port
        self.url = f"http://{host}:{port}"
        self._before = before  # what its process does first of all
        self.arm_file = folder / "armed"
        self._environment = {
            "KINDRED_HOST": host,
            "KINDRED_PORT": str(port),
            "KINDRED_DATA_DIR": str(folder / "var"),
            "KINDRED_MODELS_STORE": str(bundles),
            "KINDRED_DECODERS": "2",
            **{f"KINDRED_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(ROOMS)
        self.process: Any = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return int(self.process.pid)

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self.process is not None and self.process.is_alive()

    def start(self) -> "Launched":
        """Start it, and go on while it does."""
        self.process = self._context.Process(
            target=_serve, args=(self._environment, self.log, self.arm_file, self._before)
        )
        self.process.start()
        return self

    def wait_ready(self, seconds: float = 180) -> "Launched":
        """Wait until it takes reads and writes."""
        until = time.monotonic() + seconds
        while not self.is_ready():
            assert self.runs, f"the service ended:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < until, f"not ready:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)
        return self

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def arm(self, step: str, victims: list[int], store: int) -> None:
        """Let the next process that comes to this step kill these processes."""
        partial = self.arm_file.with_suffix(".partial")
        partial.write_text(json.dumps({"step": step, "victims": victims, "store": store}))
        partial.replace(self.arm_file)

    def disarm(self) -> bool:
        """Let nothing be killed any more; return whether something was still to be."""
        armed = self.arm_file.exists()
        self.arm_file.unlink(missing_ok=True)
        return armed

    def kill9(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.join()

    def term(self, seconds: float = 30) -> int | None:
        """End it as an init system does; return its exit status."""
        self.process.terminate()
        self.process.join(seconds)
        return self.process.exitcode if not self.runs else None


def _serve(
    environment: Mapping[str, str],
    log: Path,
    arm_file: Path,
    before: Callable[[], None] | None,
) -> None:
    if before is not None:
        before()
    os.environ.update(environment)
    sys.argv[1:] = []  # those of pytest
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from service.__main__ import main

    _wrap(_Trap(arm_file))
    raise SystemExit(main())


class _Trap:
    """Kills what it is armed for at the step it is armed for, once."""

    def __init__(self, arm_file: Path) -> None:
        self._file = arm_file

    def is_set(self, step: str) -> bool:
        """Whether this is the step."""
        return self._file.exists() and self._read()["step"] == step

    def reached(self, step: str) -> None:
        """Kill, if this is the step."""
        if not self.is_set(step):
            return
        armed = self._read()
        self._file.unlink(missing_ok=True)
        for pid in armed["victims"]:
            os.kill(pid, signal.SIGKILL)

    def store(self) -> int:
        """Return the store's process."""
        return int(self._read()["store"])

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text()))
        except FileNotFoundError:
            return {"step": None, "victims": [], "store": 0}


def _wrap(trap: _Trap) -> None:
    """Let every step be noticed."""
    from redis.asyncio.client import Pipeline
    from redis.asyncio.connection import AbstractConnection

    from index import Identifier
    from service import app
    from service.edge.middleware import Edge
    from service.embedding.decoding import Decoders
    from service.embedding.embedder import Embedder
    from service.replicas import snapshots, stowing
    from service.store.redis_store import RedisIdentityStore

    # A test has no time for five seconds of quiet, nor for the processes that a start makes:
    # bundles are not tried apart, and decoders may come a little later.
    stowing.QUIET = 0.1
    app.TrialLimits = lambda *_: None  # type: ignore[assignment,misc]

    async def enter_behind(decoders: Decoders) -> Decoders:
        async def start_and_keep() -> None:
            await decoders._template.start()
            await decoders._template.keep()

        decoders._keeper = asyncio.create_task(start_and_keep())
        return decoders

    Decoders.__aenter__ = enter_behind  # type: ignore[assignment,method-assign]
    _after(Embedder, "_prepare", lambda *_: trap.reached("E1"))
    _after(Embedder, "embed", lambda *_: trap.reached("E2"))
    _after(Pipeline, "parse_response", lambda _, name: name != "EVALSHA" or trap.reached("E5"))
    _after(RedisIdentityStore, "enroll_all", lambda *_: trap.reached("E6"))
    _after(RedisIdentityStore, "forget_identity", lambda *_: trap.reached("E9"))
    change = Identifier.change

    def about_to_change(index: Identifier, *arguments: Any) -> None:
        trap.reached("E7")
        change(index, *arguments)

    Identifier.change = about_to_change  # type: ignore[method-assign]
    pieces = snapshots._pieces

    def half(snapshot: snapshots.Snapshot) -> Iterator[bytes | memoryview]:
        for number, piece in enumerate(pieces(snapshot)):
            if number == 3:
                trap.reached("E8")
            yield piece

    snapshots._pieces = half
    send = AbstractConnection.send_packed_command

    async def sending(connection: Any, command: Any, *arguments: Any, **named: Any) -> None:
        sent = command if isinstance(command, bytes) else b"".join(command)
        writes = b"WAITAOF" in sent and b"EVALSHA" in sent
        if writes and trap.is_set("E3"):
            os.kill(trap.store(), signal.SIGSTOP)
        await send(connection, command, *arguments, **named)
        if writes:
            trap.reached("E3")
            if trap.is_set("E4"):
                await asyncio.sleep(
                    random.uniform(0, 0.1)
                )  # fsync is slow then, if there is strace
                trap.reached("E4")

    AbstractConnection.send_packed_command = sending  # type: ignore[method-assign]
    call = Edge.__call__

    async def traced(edge: Edge, scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            if message.get("more_body"):
                trap.reached("E0")
            return message

        async def answered(message: Any) -> None:
            await send(message)
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            if ended and scope["path"] == "/enroll":
                trap.reached("E7'")

        await call(edge, scope, received, answered)

    Edge.__call__ = traced  # type: ignore[method-assign]


def _after(owner: type, name: str, then: Callable[..., Any]) -> None:
    """Call `then` with the first two arguments after an asynchronous method has returned."""
    method = getattr(owner, name)

    @wraps(method)
    async def wrapped(self: Any, first: Any, *others: Any, **named: Any) -> Any:
        answer = await method(self, first, *others, **named)
        then(first, *others[:1])
        return answer

    setattr(owner, name, wrapped)
