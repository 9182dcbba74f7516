"""Each route: read the input, call one use case, shape the answer."""

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

__all__ = ["Parts", "Straight", "router", "templates"]

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
    return sorted({str(getattr(r, "path", "")) for room in ROOMS for r in room.router.routes})
