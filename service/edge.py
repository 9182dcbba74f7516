"""Around every request: its id, who may pass, its deadline, its problem, its log line."""

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access import Door
from service.identities import NotDurable
from service.logs import request_line
from service.parameters import InvalidParameter
from service.problems import (
    INTERNAL,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEMS,
    DeadlineExceeded,
    Kind,
    Problem,
    kind_of,
    problem_of,
)
from service.telemetry import OTHER, Telemetry

BARRIER_MISSED = PROBLEMS[NotDurable].slug
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a route leaves in `request.state` for the edge to tell; timings in seconds by stage."""

    comparator: str | None = None
    gallery: str | None = None
    samples: int | None = None
    outcomes: dict[str, int] | None = None
    timings: dict[str, float] = field(default_factory=dict)
    failures: dict[int, Exception] = field(default_factory=dict)


log = structlog.get_logger("kindred.edge")


class Edge:
    """ASGI middleware: what holds for every request, whatever its route."""

    def __init__(self, app: ASGIApp, door: Door, telemetry: Telemetry, deadline: float) -> None:
        self._app = app
        self._door = door
        self._telemetry = telemetry
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong is answered with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(scope, receive, send)
        scope["state"] = {"facts": Facts(), "request_id": call.id}
        with self._telemetry.in_progress():
            try:
                self._door.check(scope["method"], scope["path"], call.headers)
                await self._within_deadline(scope, call)
            except ClientDisconnect:
                pass  # nobody is left to be told
            except Exception as error:  # noqa: BLE001 - the last resort of every route
                await self._answer(call, error)
        self._tell(call)

    async def _within_deadline(self, scope: Scope, call: "_Call") -> None:
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._deadline) as deadline:
                scope["state"]["deadline"] = deadline
                await self._app(scope, call.receive, call.send)
        except TimeoutError as error:
            seconds = round((deadline.when() or begun) - begun, 1)  # a route may have moved it
            raise DeadlineExceeded(f"expected an answer within {seconds:g} s") from error

    async def _answer(self, call: "_Call", error: Exception) -> None:
        kind = kind_of(error)
        if kind is INTERNAL:
            log.error("defect", id=call.id, error=type(error).__name__, exc_info=error)
        if call.status is None:
            response = problem_response(error, call.id)
            await response(call.scope, call.receive, call.send)

    def _tell(self, call: "_Call") -> None:
        facts: Facts = call.scope["state"]["facts"]
        seconds = perf_counter() - call.started
        route = getattr(call.scope.get("route"), "path", OTHER)
        status = call.status or 499  # the client left before there was an answer
        self._telemetry.request(route, status, seconds, call.body_bytes)
        timings = {"receive": call.received} | facts.timings
        for stage, duration in timings.items():
            self._telemetry.stage(stage, duration)
        for failure in facts.failures.values():
            self._telemetry.problem(kind_of(failure).slug)
        if call.problem:
            self._telemetry.problem(call.problem)
        if call.problem == BARRIER_MISSED:
            self._telemetry.barrier_failed()
        request_line(
            request_id=call.id,
            method=call.scope["method"],
            route=route,
            status=status,
            ms=seconds * 1000,
            comparator=facts.comparator,
            gallery=facts.gallery and self._telemetry.gallery_label(facts.gallery),
            problem=call.problem,
            samples=facts.samples,
            outcomes=facts.outcomes,
            timings_ms={stage: 1000 * time for stage, time in timings.items()},
            traceparent=call.headers.get("traceparent"),
        )


class _Call:
    """One request on its way: counts what comes in, and marks what goes out with its id."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        asked = self.headers.get("x-request-id", "")
        self.id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        self.started = perf_counter()
        self.body_bytes = 0
        self.received = 0.0  # seconds until the whole body was here
        self.status: int | None = None
        self.problem: str | None = None
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.body_bytes += len(message.get("body", b""))
            self.received = perf_counter() - self.started
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
            self.problem = headers.get("x-problem")
            del headers["x-problem"]
        await self._send(message)


def problem_response(error: Exception, request_id: str) -> Response:
    """Return the response that tells a problem."""
    kind = kind_of(error)
    return _response(kind, problem_of(error, f"urn:request:{request_id}"))


async def tell_framework_error(request: Request, error: Exception) -> Response:
    """Answer the framework's own errors as problems: no route, no method, a bad parameter."""
    request_id = request.state.request_id
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return problem_response(InvalidParameter(where, first["msg"]), request_id)
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}.get(status, MALFORMED_REQUEST)
    response = _response(kind, kind.problem(kind.title, f"urn:request:{request_id}"))
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _response(kind: Kind, problem: Problem) -> Response:
    headers = {"X-Problem": kind.slug}  # for the edge, which takes it off
    if kind.retry_after is not None:
        headers["Retry-After"] = str(kind.retry_after)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, kind.status, headers, MEDIA_TYPE)
