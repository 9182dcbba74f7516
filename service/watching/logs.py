"""What the log tells: one JSON line an event, and nothing in it that must stay private."""

import fcntl
import io
import logging
import os
import re
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from traceback import walk_tb
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

ROOM = 2**20  # bytes that may wait in a pipe for its reader
A_MOMENT = 10  # milliseconds that the rest of a long line may wait to be taken

_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)
_REQUESTS = logging.getLogger("kindred.requests")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C


def request_line(
    *,
    request_id: str,
    method: str,
    route: str,
    status: int,
    ms: float,
    caller: str | None = None,
    comparator: str | None = None,
    gallery: str | None = None,
    problem: str | None = None,
    samples: int | None = None,
    outcomes: Mapping[str, int] | None = None,
    timings_ms: Mapping[str, float] | None = None,
    traceparent: str | None = None,
) -> None:
    """Log one request; these arguments are all that may ever be told of it.

    There is no place for samples, file names, identities, embeddings, scores or keys. `caller` is
    the name that the key has in its file, `route` the template, not the path, and `gallery` is as
    `Telemetry.gallery_label` gives it. A `traceparent` that is not one (W3C Trace Context) is left
    out.
    """
    failed = status >= 500 and status != 503  # a 503 is a polite refusal
    level = logging.ERROR if failed else logging.INFO
    if not _REQUESTS.isEnabledFor(level):
        return
    event: EventDict = {
        "event": "request",
        "logger": _REQUESTS.name,
        "level": "error" if failed else "info",
        "id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "ms": round(ms, 3),
    }
    known = (
        ("caller", caller),
        ("comparator", comparator),
        ("gallery", gallery),
        ("problem", problem),
        ("samples", samples),
        ("outcomes", outcomes and dict(outcomes)),
        ("timings_ms", timings_ms and {stage: round(t, 3) for stage, t in timings_ms.items()}),
    )
    for name, value in known:
        if value is not None:
            event[name] = value
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
        event["traceparent"] = traceparent
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    # As structlog would, by way of `logging`, but that costs as much as a good deal of a request.
    for handler in logging.root.handlers:
        if isinstance(handler, _Unblocked):
            handler.write(handler.rendered(event))


def configure_logging(level: str = "info", *, json: bool | None = None) -> None:
    """Send every log of the process, uvicorn's too, to stdout in one form.

    `json` is one object a line, else columns for people to read; `None` is JSON unless stdout is
    a terminal. Run uvicorn with `log_config=None`, or it sets its own.
    """
    if json is None:
        json = not sys.stdout.isatty()
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _STAMP,
        _without_messages,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    render = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    handler = _Unblocked(sys.stdout, render)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # what libraries tell at DEBUG includes what clients sent
    for name in ("kindred", "service", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    # Its line has the whole path and query, and so the identity in them; ours has not.
    logging.getLogger("uvicorn.access").disabled = True


class _Unblocked(logging.StreamHandler[TextIO]):
    """Writes a line where it is taken at once, and counts it where it is not.

    A pipe whose reader has stopped would otherwise stop every request with it.
    """

    dropped = 0

    def __init__(self, stream: TextIO, render: Processor) -> None:
        super().__init__(stream)
        self._render = render
        self._poll: select.poll | None = None
        self._torn = False  # whether a line was written in part
        try:
            self._file = stream.fileno()
        except (io.UnsupportedOperation, AttributeError):
            return  # it is in memory
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLOUT)
        with suppress(OSError):  # it is no pipe, or may not be larger
            fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ, ROOM)

    def rendered(self, event: EventDict) -> str:
        """Return an event as a line."""
        return str(self._render(None, event["level"], event))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or count it."""
        try:
            self.write(self.format(record))
        except Exception:  # noqa: BLE001 - as the library has it
            self.handleError(record)

    def write(self, text: str) -> None:
        """Write a line, or count it."""
        if self._poll is None:
            self.stream.write(text + self.terminator)
            self.flush()
            return
        try:
            line = text.encode() + b"\n"
            line = b"\n" + line if self._torn else line
            for start in range(0, len(line), select.PIPE_BUF):
                if not self._poll.poll(0 if start == 0 else A_MOMENT):
                    _Unblocked.dropped += 1
                    self._torn |= start > 0
                    return
                os.write(self._file, line[start : start + select.PIPE_BUF])
            self._torn = False
        except OSError:
            _Unblocked.dropped += 1  # nobody reads it


def take_dropped() -> int:
    """Return how many lines were not written since this was last asked."""
    count, _Unblocked.dropped = _Unblocked.dropped, 0
    return count


def _without_messages(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace an exception by its types and places: its message may quote what a client sent."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event["exceptions"] = [
            {
                "type": f"{type(e).__module__}.{type(e).__qualname__}",
                "frames": [
                    f"{frame.f_globals.get('__name__')}:{line} {frame.f_code.co_name}"
                    for frame, line in walk_tb(e.__traceback__)
                ],
            }
            for e in _chain(error)
        ]
    return event


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
