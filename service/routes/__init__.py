"""Each route: read the input, call one use case, shape the answer."""

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

__all__ = ["Parts", "Straight", "router", "successes"]

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


def successes() -> dict[str, set[int]]:
    """Return the codes that each route of the table succeeds with, by its path."""
    found: dict[str, set[int]] = {}
    for room in ROOMS:
        for route in room.router.routes:
            code = getattr(route, "status_code", None) or HTTPStatus.OK
            found.setdefault(getattr(route, "path", ""), set()).add(int(code))
    return dict(sorted(found.items()))
