"""Around every request: its id, who may pass, its deadline, its problem, its log line."""

import asyncio
import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from http import HTTPMethod, HTTPStatus
from random import getrandbits
from time import perf_counter

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.callers.keys import Caller, OutOfScope
from service.callers.quotas import QuotaExceeded
from service.edge.access import Door, Forbidden, Unauthenticated
from service.edge.admission import PLACE, Place
from service.edge.clients import ReceiveTimeout
from service.edge.problems import (
    INTERNAL,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OUT_OF_MEMORY,
    PROBLEMS,
    DeadlineExceeded,
    Kind,
    Problem,
    kind_of,
    problem_of,
)
from service.embedding.batching import Overloaded
from service.parameters import InvalidParameter, rule_told
from service.replicas.galleries import NotReady
from service.store.errors import NotDurable
from service.watching.logs import request_line
from service.watching.series import OTHER
from service.watching.telemetry import Telemetry

BARRIER_MISSED = PROBLEMS[NotDurable].slug
CUT_OFF = "the service stops; what was being written may or may not be kept"
SLOWEST_SENDER = 1024  # bytes of a body that buy a client another second to send the rest in
REFUSED = (Unauthenticated, Forbidden, OutOfScope, QuotaExceeded)
TOLD = b"x-problem"
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
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

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        telemetry: Telemetry,
        deadline: float,
        body_timeout: float,
    ) -> None:
        self._app = app
        self._door = door
        self._telemetry = telemetry
        self._in_progress = telemetry.in_progress()
        self._deadline = deadline
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong is answered with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(scope, receive, send, self._body_timeout)
        scope["state"] = {"facts": Facts(), "request_id": call.id}
        with self._in_progress, call.place or nullcontext():
            try:
                call.demand_room()
                with self._door.admit(
                    scope["method"], scope["path"], call.headers, lambda: call.body_bytes
                ) as scope["state"]["caller"]:
                    await self._within_deadline(scope, call)
            except ClientDisconnect:
                pass  # nobody is left to be told
            except asyncio.CancelledError:
                if call.place is None or not call.place.left:
                    await self._answer(call, NotReady(CUT_OFF))  # the service stops
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
            if call.receiving:
                raise ReceiveTimeout("expected the whole body sooner") from error
            seconds = round((deadline.when() or begun) - begun, 1)  # a route may have moved it
            raise DeadlineExceeded(f"expected an answer within {seconds:g} s") from error

    async def _answer(self, call: "_Call", error: Exception) -> None:
        kind = kind_of(error)
        if kind is INTERNAL:
            log.error("defect", id=call.id, error=type(error).__name__, exc_info=error)
        elif kind is OUT_OF_MEMORY:
            error.__traceback__ = error.__context__ = None  # what its frames held is free again
            log.warning("memory ran out", id=call.id)
            self._telemetry.memory_ran_out()
        if isinstance(error, REFUSED):
            self._telemetry.access_refused(error.reason)
        if call.status is None:
            response = problem_response(error, call.id)
            await response(call.scope, call.receive, call.send)

    def _tell(self, call: "_Call") -> None:
        facts: Facts = call.scope["state"]["facts"]
        caller: Caller | None = call.scope["state"].get("caller")
        seconds = perf_counter() - call.started
        route = getattr(call.scope.get("route"), "path", OTHER)
        status = call.status or 499  # the client left before there was an answer
        self._telemetry.request(route, status, seconds, call.body_bytes)
        timings = {"receive": call.received} | facts.timings
        for stage, duration in timings.items():
            self._telemetry.stage(stage, duration)
        for failure in facts.failures.values():
            self._telemetry.problem(kind_of(failure).slug)
            if isinstance(failure, REFUSED):
                self._telemetry.access_refused(failure.reason)
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
            caller=caller.name if caller else None,
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

    def __init__(self, scope: Scope, receive: Receive, send: Send, body_timeout: float) -> None:
        self.scope = scope
        self.place: Place | None = scope.get(PLACE)
        self.receiving = False  # whether the client is waited for to send its body
        self._patience = body_timeout  # seconds that it may still be waited for
        self._whole = False
        self.headers = Headers(scope=scope)
        asked = self.headers.get("x-request-id", "")
        self.id = asked if REQUEST_ID.fullmatch(asked) else f"{getrandbits(128):032x}"
        self.started = perf_counter()
        self.body_bytes = 0
        self.received = 0.0  # seconds until the whole body was here
        self.status: int | None = None
        self.problem: str | None = None
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        if self.place is not None and self.place.whole:  # and so nobody is waited for
            return self._received(await self._receive(), perf_counter())
        begun, self.receiving = perf_counter(), True
        try:
            async with asyncio.timeout(max(self._patience, 0)):
                message = await self._receive()
        except TimeoutError as error:
            raise ReceiveTimeout("expected the whole body sooner") from error
        self.receiving = False
        return self._received(message, begun)

    def _received(self, message: Message, begun: float) -> Message:
        """Count a message that was waited for since `begun`."""
        if message["type"] == "http.request":
            now, size = perf_counter(), len(message.get("body", b""))
            self.body_bytes += size
            self._patience -= now - begun - size / SLOWEST_SENDER
            self.received = now - self.started
            self._whole = not message.get("more_body", False)
            self.demand_room()
        return message

    def demand_room(self) -> None:
        """Raise Overloaded if so many came at the same time that this one has to leave."""
        if self.place is not None and self.place.crowded:
            raise Overloaded("as much work waits as is done in the time that a request may wait")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.place is not None:
                self.place.answered = self.status in (HTTPStatus.OK, HTTPStatus.CREATED)
            headers = [pair for pair in message["headers"] if pair[0] != TOLD]
            if len(headers) < len(message["headers"]):
                self.problem = next(v.decode() for n, v in message["headers"] if n == TOLD)
            headers += ((b"x-request-id", self.id.encode()), NO_SNIFFING)
            message["headers"] = headers
        await self._send(message)


def problem_response(error: Exception, request_id: str) -> Response:
    """Return the response that tells a problem."""
    kind = kind_of(error)
    response = _response(kind, problem_of(error, f"urn:request:{request_id}"))
    if isinstance(error, QuotaExceeded):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def tell_framework_error(request: Request, error: Exception) -> Response:
    """Answer the framework's own errors as problems: no route, no method, a bad parameter."""
    request_id = request.state.request_id
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return problem_response(InvalidParameter(where, rule_told(first["msg"])), request_id)
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}.get(status, MALFORMED_REQUEST)
    response = _response(kind, kind.problem(kind.title, f"urn:request:{request_id}"))
    if kind is METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[HTTPMethod]:
    """Return the methods of the request's path: the framework tells those of its first route."""
    routes, scope = request.app.routes, request.scope
    asked = {method: {**scope, "method": method} for method in HTTPMethod}
    return {m for m in asked if any(r.matches(asked[m])[0] is Match.FULL for r in routes)}


def _response(kind: Kind, problem: Problem) -> Response:
    headers = {"X-Problem": kind.slug}  # for the edge, which takes it off
    if kind.retry_after is not None:
        headers["Retry-After"] = str(kind.retry_after)
    if kind.status == HTTPStatus.REQUEST_TIMEOUT:
        headers["Connection"] = "close"
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, kind.status, headers, MEDIA_TYPE)
