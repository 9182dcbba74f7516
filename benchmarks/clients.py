"""Many clients in one thread and few microseconds, of any server that speaks HTTP/1.1."""

import re
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.services import ROOT

DRAWING = next((ROOT / "kindred" / "drawings").glob("*/1.png"))
MOST_CONNECTIONS = 1000
PATIENCE = 30.0  # seconds until an answer counts as none
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: its status (0: none), and the seconds since it was due."""

    path: str
    status: int
    seconds: float


@dataclass(slots=True, eq=False)
class _Link:
    """A connection, and the request that it waits for."""

    channel: socket.socket
    path: str = ""
    due: float = 0.0
    got: bytearray = field(default_factory=bytearray)


class Clients:
    """Many clients in one thread, each on a connection of its own, kept where the server does."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._address = (str(where.hostname), int(where.port or 80))
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Link] = []
        self._busy: set[_Link] = set()
        self._look = 0.0  # when those that had no answer for too long are looked for
        self.answers: list[Answer] = []
        self.late: list[float] = []  # seconds after it was due that each request was sent

    def run(self, arrivals: Iterator[tuple[float, str, bytes]]) -> None:
        """Send each request when it is due, in seconds from now, and wait for all answers."""
        begun, coming = time.perf_counter(), next(arrivals, None)
        while coming or self._busy:
            now = time.perf_counter()
            while coming and begun + coming[0] <= now:
                self.send(coming[1], coming[2], begun + coming[0])
                coming = next(arrivals, None)
            wait = begun + coming[0] - time.perf_counter() if coming else 0.1
            self.read(max(wait, 0))

    def closed_loop(self, path: str, request: bytes, connections: int, seconds: float) -> None:
        """Keep so many connections busy for so long."""
        until = time.perf_counter() + seconds
        for _ in range(connections):
            self.send(path, request, time.perf_counter())
        while self._busy:
            before = len(self.answers)
            self.read(0.1)
            if time.perf_counter() < until:
                for _ in range(len(self.answers) - before):
                    self.send(path, request, time.perf_counter())

    def send(self, path: str, request: bytes, due: float) -> None:
        """Send a request on an idle connection or a new one."""
        while self._idle:
            link = self._idle.pop()
            if self._start(link, path, request, due):
                return
        if len(self._busy) >= MOST_CONNECTIONS:
            self.answers.append(Answer(path, 0, time.perf_counter() - due))
            return
        channel = socket.create_connection(self._address)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.setblocking(False)
        link = _Link(channel)
        self._selector.register(channel, selectors.EVENT_READ, link)
        if not self._start(link, path, request, due):
            self.answers.append(Answer(path, 0, time.perf_counter() - due))

    def read(self, wait: float) -> None:
        """Take in what came, for at most so many seconds."""
        for key, _ in self._selector.select(wait):
            link: _Link = key.data
            try:
                data = link.channel.recv(2**18)
            except OSError:
                data = b""
            if not data:
                if link in self._busy:
                    self._end(link, 0)
                self._drop(link)
                continue
            link.got += data
            if (status := _whole(link.got)) and link in self._busy:
                closes = CLOSES.search(link.got)
                self._end(link, status)
                self._drop(link) if closes else self._idle.append(link)
        if (now := time.perf_counter()) > self._look:
            self._look = now + 1
            for link in [link for link in self._busy if now - link.due > PATIENCE]:
                self._end(link, 0)
                self._drop(link)

    def close(self) -> None:
        """Close every connection."""
        for link in [*self._idle, *self._busy]:
            self._drop(link)

    def _start(self, link: _Link, path: str, request: bytes, due: float) -> bool:
        link.path, link.due = path, due
        self.late.append(time.perf_counter() - due)
        link.got.clear()
        try:
            if link.channel.send(request) == len(request):
                self._busy.add(link)
                return True
        except OSError:
            pass
        self.late.pop()
        self._drop(link)
        return False

    def _end(self, link: _Link, status: int) -> None:
        self.answers.append(Answer(link.path, status, time.perf_counter() - link.due))
        self._busy.discard(link)

    def _drop(self, link: _Link) -> None:
        self._busy.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if link.channel.fileno() >= 0:
            self._selector.unregister(link.channel)
            link.channel.close()


def _whole(got: bytearray) -> int:
    """Return the status of an answer that is here as a whole; 0 if it is not."""
    head = got.find(b"\r\n\r\n")
    if head < 0 or not (length := LENGTH.search(got, 0, head + 2)):
        return 0
    return int(got[9:12]) if len(got) >= head + 4 + int(length[1]) else 0


def post(path: str, *parts: str) -> bytes:
    """Return a request with the drawing under each of these names."""
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="x.png"\r\n\r\n%s\r\n'
        % (part.encode(), DRAWING.read_bytes())
        for part in parts
    )
    body += b"--x--\r\n"
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode() + body


def post_raw(path: str) -> bytes:
    """Return a request with the drawing as its body."""
    body = DRAWING.read_bytes()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: image/png\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """Return a request for this."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
