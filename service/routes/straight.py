"""Requests to the busiest routes take no way through the framework where it has nothing to do."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.routes import comparing, recognising
from service.routes.parts import GUARDS

BUSY = (comparing.verify, comparing.embed, recognising.identify)

Endpoint = Callable[..., Coroutine[Any, Any, Response]]


class Straight:
    """ASGI middleware: calls the endpoint of a busy route as the framework would.

    That finds the route, reads headers, and resolves what is injected. A request that has a
    header that the route reads goes that way, as all others do.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        rooms = (comparing, recognising)
        self._busy = {
            ("POST", route.path): _Busy(route)
            for room in rooms
            for route in room.router.routes
            if isinstance(route, APIRoute) and route.endpoint in BUSY
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        busy = self._busy.get((scope["method"], scope["path"])) if "method" in scope else None
        if busy is None or busy.reads_headers(scope):
            await self._app(scope, receive, send)
            return
        scope["route"] = busy.route
        request = Request(scope, receive, send)
        for guard in GUARDS:
            await guard(request)
        response = await busy.answer(request)
        await response(scope, receive, send)


class _Busy:
    """A route, and what its endpoint is given besides the request."""

    def __init__(self, route: APIRoute) -> None:
        self.route = route
        self._endpoint: Endpoint = route.endpoint
        self._given = [(d.name, d.call) for d in route.dependant.dependencies if d.call]
        self._headers = {str(p.alias).encode() for p in route.dependant.header_params}

    def reads_headers(self, scope: Scope) -> bool:
        return any(name in self._headers for name, _ in scope["headers"])

    async def answer(self, request: Request) -> Response:
        given = [(name, await call(request)) for name, call in self._given]
        return await self._endpoint(request, **{name: one for name, one in given if name})
