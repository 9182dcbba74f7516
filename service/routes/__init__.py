"""Each route: read the input, call one use case, shape the answer."""

from collections.abc import Iterator
from http import HTTPStatus

from fastapi import APIRouter, Depends

from service.routes import (
    comparing,
    editing,
    evaluation,
    feedback,
    galleries,
    identities,
    mapping,
    migrating,
    recognising,
    serving,
)
from service.routes.parts import GUARDS, Parts
from service.routes.straight import Straight

__all__ = ["Parts", "Straight", "created", "router", "templates"]

ROOMS = (
    comparing,
    recognising,
    feedback,
    evaluation,
    galleries,
    mapping,
    migrating,
    identities,
    editing,
    serving,
)

router = APIRouter(dependencies=[Depends(guard) for guard in GUARDS])
for room in ROOMS:
    router.include_router(room.router)


def templates() -> list[str]:
    """Return the path of every route, as the route table has it."""
    return sorted({path for path, _ in _routes()})


def created() -> list[str]:
    """Return the paths whose success is a 201."""
    return sorted({path for path, status in _routes() if status == HTTPStatus.CREATED})


def _routes() -> Iterator[tuple[str, int | None]]:
    for room in ROOMS:
        for route in room.router.routes:
            yield str(getattr(route, "path", "")), getattr(route, "status_code", None)
