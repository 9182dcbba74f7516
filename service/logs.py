"""What the log tells: one JSON line an event, and nothing in it that must stay private."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from traceback import walk_tb

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C


def request_line(
    *,
    request_id: str,
    method: str,
    route: str,
    status: int,
    ms: float,
    comparator: str | None = None,
    gallery: str | None = None,
    problem: str | None = None,
    samples: int | None = None,
    outcomes: Mapping[str, int] | None = None,
    timings_ms: Mapping[str, float] | None = None,
    traceparent: str | None = None,
) -> None:
    """Log one request; these arguments are all that may ever be told of it.

    There is no place for samples, file names, identities, embeddings, scores or keys. `route` is
    the template, not the path, and `gallery` is as `Telemetry.gallery_label` gives it. A
    `traceparent` that is not one (W3C Trace Context) is left out.
    """
    fields = {
        "id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "ms": round(ms, 3),
        "comparator": comparator,
        "gallery": gallery,
        "problem": problem,
        "samples": samples,
        "outcomes": outcomes and dict(outcomes),
        "timings_ms": timings_ms and {stage: round(t, 3) for stage, t in timings_ms.items()},
        "traceparent": traceparent if _TRACEPARENT.fullmatch(traceparent or "") else None,
    }
    failed = status >= 500 and status != 503  # a 503 is a polite refusal
    structlog.stdlib.get_logger("kindred.requests").log(
        logging.ERROR if failed else logging.INFO,
        "request",
        **{name: value for name, value in fields.items() if value is not None},
    )


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
        structlog.processors.TimeStamper(fmt="iso", utc=True),
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
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer()
                if json
                else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()),
            ],
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
