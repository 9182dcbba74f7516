"""Each route: read the input, call one use case, shape the answer."""

from fastapi import APIRouter, Depends

from service.routes import (
    comparing,
    evaluation,
    galleries,
    identities,
    migrating,
    recognising,
    serving,
)
from service.routes.parts import Parts, authorised, no_strange_parameters

__all__ = ["Parts", "router", "templates"]

ROOMS = (comparing, recognising, evaluation, galleries, migrating, identities, serving)

router = APIRouter(dependencies=[Depends(authorised), Depends(no_strange_parameters)])
for room in ROOMS:
    router.include_router(room.router)


def templates() -> list[str]:
    """Return the path of every route, as the route table has it."""
    return sorted({str(getattr(r, "path", "")) for room in ROOMS for r in room.router.routes})
