"""uvicorn's HTTP/1.1, with bounds on a request's head, and problems where it is refused."""

import uuid
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.problems import HEADERS_TOO_LARGE, MALFORMED_REQUEST, MEDIA_TYPE, Kind

LONGEST_HEAD = 64 * 1024  # bytes of the request line and all headers
MOST_HEADERS = 100


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too long, as it comes in, or that another server may read otherwise.

    That is one with more or less than one Host, or with a transfer encoding beside chunked.
    """

    _head = 0  # bytes of this request's head that are read
    _unread = 0  # bytes that came since the last head was whole
    _in_body = False
    _refusal = MALFORMED_REQUEST

    def data_received(self, data: bytes) -> None:
        """Take in what comes, unless the connection is given up."""
        if self.transport.is_closing():
            return
        self._unread += len(data)
        super().data_received(data)
        if not self._in_body and self._unread > LONGEST_HEAD and not self.transport.is_closing():
            self._refusal = HEADERS_TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head = 0
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
        """Let the application begin, if the head says one thing only."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):
            raise ValueError("expected one Host")
        if codings not in ([], [b"chunked"]):
            raise ValueError("expected no transfer encoding but chunked")
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._in_body, self._unread = False, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Tell why the head is refused, and close the connection; `msg` is uvicorn's own."""
        request_id = uuid.uuid4().hex
        body = _problem(self._refusal, request_id)
        status = HTTPStatus(self._refusal.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nx-content-type-options: nosniff\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > LONGEST_HEAD or len(self.headers) >= MOST_HEADERS:
            self._refusal = HEADERS_TOO_LARGE
            raise ValueError("expected a shorter head")


def _problem(kind: Kind, request_id: str) -> bytes:
    detail = (
        f"expected at most {LONGEST_HEAD} bytes and {MOST_HEADERS} headers before the body"
        if kind is HEADERS_TOO_LARGE
        else "expected HTTP/1.1, with one Host and one way to tell where the body ends"
    )
    problem = kind.problem(detail, f"urn:request:{request_id}")
    return problem.model_dump_json(exclude_none=True).encode()
