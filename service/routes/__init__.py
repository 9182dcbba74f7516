"""Each route: read the input, call one use case, shape the answer."""

from fastapi import APIRouter, Depends

from service.routes import comparing, evaluation, galleries, identities, recognising, serving
from service.routes.parts import Parts, no_strange_parameters

__all__ = ["Parts", "router"]

router = APIRouter(dependencies=[Depends(no_strange_parameters)])
for room in (comparing, recognising, evaluation, galleries, identities, serving):
    router.include_router(room.router)
