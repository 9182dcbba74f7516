"""HTTP/1.1 as uvicorn has it, with bounds on what a client sends and on how long that takes."""

import asyncio
import fcntl
import re
import sys
import termios
from http import HTTPStatus
from random import getrandbits
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.edge.admission import PLACE, Place
from service.edge.clients import ReceiveTimeout
from service.edge.connections import Stage
from service.edge.entrance import Entrance
from service.edge.middleware import REQUEST_ID
from service.edge.problems import (
    HEADERS_TOO_LARGE,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    PROBLEMS,
    Kind,
)
from service.embedding.batching import Overloaded

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(:\d*)?", re.ASCII)  # RFC 3986
LONGEST_HEAD = 64 * 1024  # bytes of the request line and all headers
MOST_HEADERS = 100
SHORT_BODY = 64 * 1024  # bytes that are read to the end, although the answer is given already
OVERLOADED = PROBLEMS[Overloaded]

_DETAILS = {
    HEADERS_TOO_LARGE: (
        f"expected at most {LONGEST_HEAD} bytes and {MOST_HEADERS} headers before the body"
    ),
    MALFORMED_REQUEST: (
        "expected HTTP/1.1, with one Host and one way to tell where the body ends"
    ),
    PROBLEMS[ReceiveTimeout]: "expected the whole head of a request sooner",
    OVERLOADED: "as much work waits as is done in the time that a request may wait",
}


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what is too long, takes too long or is too much, before it costs anything.

    That is a head that is too long, as it comes in, or that another server may read otherwise:
    with more or less than one Host, or with a transfer encoding beside chunked. A client has so
    long for each step, and more work than there is time for is turned away at its head.
    """

    def __init__(self, entrance: Entrance, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._entrance = entrance
        self.headers = []
        self._head = 0  # bytes of this request's head that are read
        self._came = 0  # bytes that came since the last head was whole
        self._in_head = False
        self._in_body = False
        self._refused = False  # whether the request that is being read was turned away
        self._leaving = False  # whether nothing is read any more
        self._said_all = False  # … and nothing written
        self._held = b""  # the head of an answer whose body has not been written
        self._feeding = False  # whether what came is being read just now …
        self._next: tuple[Stage | None] | None = None  # … and what is waited for after that
        self._place: Place | None = None  # of the request that is being read
        self._places: set[Place] = set()

    def connection_made(self, transport: Any) -> None:
        """Take in a connection, or end it: uvicorn calls this."""
        super().connection_made(transport)
        if not self._entrance.connections.enter(self):
            self._answer(OVERLOADED)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection, and of the work that was done for it."""
        self._entrance.connections.leave(self)
        self.pipeline.clear()
        super().connection_lost(exc)
        for place in self._places:
            place.leave()

    def data_received(self, data: bytes) -> None:
        """Take in what comes, unless the connection is given up."""
        if self._ended():
            return
        self._came += len(data)
        self._feeding, self._next = True, None
        if not (self._in_head or self._in_body):
            self._in_head = True
            if self._quiet():
                self._wait(Stage.HEAD)
        super().data_received(data)
        if not (self._in_body or self._ended()) and self._came > LONGEST_HEAD:
            self._refuse(HEADERS_TOO_LARGE)
        self._feeding = False
        if self._next is not None:
            self._wait(*self._next)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head, self._in_head = 0, True
        self._refusal = MALFORMED_REQUEST
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take in a piece of the path."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the application begin, if the head says one thing only and there is time for it."""
        length = self._check_head()
        self._in_head, self._in_body = False, True
        path = unquote(httptools.parse_url(self.url).path.decode("ascii"))  # as it is routed by
        kind, admitted = self._entrance.admits(path)
        if not admitted and self._quiet():
            self._turn_away(path, length)
            return
        if kind is not None:
            self._place = self._entrance.admission.place(kind, path)
            self._place.crowded = not admitted
            self._places.add(self._place)
            self.scope[PLACE] = self._place  # type: ignore[literal-required]
        self._wait(Stage.BODY)
        super().on_headers_complete()
        self._places = {place for place in self._places if not place.ended}
        self.cycle.transport = cast("asyncio.Transport", self)  # see write and close
        if length > SHORT_BODY or self._entrance.connections.closing:
            self.cycle.keep_alive = False  # until, where it is long, the body has come

    def on_body(self, body: bytes) -> None:
        """Take in a piece of the body."""
        if self._place is not None:
            self._place.come(len(body))
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._in_body, self._came = False, 0
        if self._refused:
            self._refused = False
            self._wait(Stage.IDLE)
            return
        if self._place is not None:
            self._place.begin()
            self._place = None
        if self.cycle.response_complete:
            self._wait(Stage.IDLE)
        else:
            self._wait(None)
            if not self.cycle.response_started:
                self.cycle.keep_alive = self._keeps_alive()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody reads."""
        if self._leaving:
            self.pipeline.clear()
        super().on_response_complete()
        self._unset_keepalive_if_required()  # how long it is kept is seen to elsewhere
        if self._ended() or not self._quiet():
            return
        stage = Stage.LEAVING if self._in_body else Stage.HEAD if self._in_head else Stage.IDLE
        self._wait(stage)

    def send_400_response(self, msg: str) -> None:
        """Tell why the request is refused, and close the connection; `msg` is uvicorn's own."""
        told = sys.exc_info()[1]
        crowded = told is not None and isinstance(told.__context__, MemoryError)
        self._refuse(OVERLOADED if crowded else self._refusal)

    def unread(self) -> int:
        """Return how many bytes of answers the client has not taken."""
        return int(self.transport.get_write_buffer_size())

    def asks(self) -> bool:
        """Say whether something has come that nobody has read yet."""
        number = self.transport.get_extra_info("socket").fileno()
        return any(fcntl.ioctl(number, termios.FIONREAD, bytes(4)))

    def sent(self) -> int:
        """Return how many bytes of a body have come, 0 while none is being sent."""
        return self._came if self._in_body else 0

    def give_up(self, stage: Stage) -> None:
        """End the connection, because the client took too long or others need the place."""
        if stage == Stage.HEAD and not self.transport.is_closing():
            self._answer(PROBLEMS[ReceiveTimeout])
            self.transport.close()
        elif stage in (Stage.READING, Stage.BODY) or self.unread():
            self.transport.abort()
        else:
            self.transport.close()

    def close(self) -> None:
        """Close the connection, once there is nothing more that the client wants to send."""
        self._let_go()
        if self._in_body:
            self._linger()
        else:
            self.transport.close()

    def is_closing(self) -> bool:
        """Say whether nobody is there any more."""
        return self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write, as long as somebody may read it: of pipelined requests uvicorn does not ask.

        A head is held back until its body is written, so that both are one packet.
        """
        if self._said_all or self.transport.is_closing():
            return
        if data.startswith(_HEAD) and not self._held:
            self._held = data
            self.loop.call_soon(self._let_go)  # if nothing follows at once
            return
        if self._held and len(data) <= SHORT_BODY:
            data, self._held = self._held + data, b""
        self._let_go()
        self.transport.write(data)

    def _let_go(self) -> None:
        """Write the head that was held back."""
        if self._held and not self.transport.is_closing():
            self.transport.write(self._held)
        self._held = b""

    def _linger(self) -> None:
        """Read on for a while without looking, so that the client reads what we said.

        To close while something comes in would reset the connection, and take our answer back.
        """
        if self._ended():
            return
        self._let_go()
        self._leaving = self._said_all = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self._wait(Stage.LEAVING)

    def _check_head(self) -> int:
        """Return how long the body is said to be, or raise ValueError."""
        hosts, length, codings = 0, 0, []
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if not _HOST.fullmatch(value):
                    raise ValueError("expected a host and perhaps a port")
            elif name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                codings.append(value.lower())
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):
            raise ValueError("expected one Host")
        if codings not in ([], [b"chunked"]):
            raise ValueError("expected no transfer encoding but chunked")
        return SHORT_BODY + 1 if codings else length

    def _turn_away(self, path: str, length: int) -> None:
        """Answer before anything of the body is read."""
        self._refused = True
        self._entrance.turned_away(path)
        keep = length <= SHORT_BODY and self._keeps_alive()
        self._answer(OVERLOADED, keep=keep)
        if keep:
            self._wait(Stage.LEAVING)
        else:
            self._linger()

    def _wait(self, stage: Stage | None) -> None:
        """Wait for the client to do this from now on, or for nothing: once what came is read."""
        if self._feeding:
            self._next = (stage,)
        elif stage is None:
            self._entrance.connections.go_on(self)
        else:
            self._entrance.connections.wait(self, stage)

    def _ended(self) -> bool:
        """Say whether what comes is of no interest any more."""
        return self._leaving or self.transport.is_closing()

    def _quiet(self) -> bool:
        """Say whether no request is being answered."""
        return getattr(self.cycle, "response_complete", True)

    def _keeps_alive(self) -> bool:
        if self._entrance.connections.closing or self.parser.get_http_version() == "1.0":
            return False
        return bool(self.parser.should_keep_alive())

    def _refuse(self, kind: Kind) -> None:
        """Say what is wrong; behind a request that is being answered only end with its answer."""
        if self._quiet() or (self._in_body and not self.cycle.response_started):
            self._answer(kind)
            self._linger()
        else:
            self._leaving = True
            self.pipeline.clear()
            self.cycle.keep_alive = False

    def _answer(self, kind: Kind, *, keep: bool = False) -> None:
        self._let_go()
        asked = next((value for name, value in self.headers if name == b"x-request-id"), b"")
        text = asked.decode("latin-1")
        request_id = text if REQUEST_ID.fullmatch(text) else f"{getrandbits(128):032x}"
        head, body = _PREPARED[kind.slug]
        body = body.replace(_ID, request_id.encode())
        head = head % (len(body), request_id.encode(), b"" if keep else b"connection: close\r\n")
        self.transport.write(head + body)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > LONGEST_HEAD or len(self.headers) >= MOST_HEADERS:
            self._refusal = HEADERS_TOO_LARGE
            raise ValueError("expected a shorter head")


_HEAD = b"HTTP/1."
_ID = b"{id}"


def _prepare(kind: Kind, detail: str) -> tuple[bytes, bytes]:
    """Return the head of a refusal, with places for its three variable parts, and its body."""
    status = HTTPStatus(kind.status)
    after = f"retry-after: {kind.retry_after}\r\n" if kind.retry_after is not None else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: %d\r\n{after}x-request-id: %s\r\n"
        "x-content-type-options: nosniff\r\n%s\r\n"
    )
    body = kind.problem(detail, f"urn:request:{_ID.decode()}").model_dump_json(exclude_none=True)
    return head.encode(), body.encode()


_PREPARED = {kind.slug: _prepare(kind, detail) for kind, detail in _DETAILS.items()}
