"""What every route stands on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from models_store import Shelf
from service.callers.keys import Caller
from service.callers.quotas import Questions
from service.edge.access import check_role
from service.embedding.embedder import Embedder
from service.parameters import InvalidParameter
from service.replicas.stowing import Stowage
from service.requests import fields
from service.requests.bodies import read_json
from service.requests.raw_bodies import is_raw
from service.requests.upload import UploadLimits
from service.store.edits import EditStore
from service.store.identities import IdentityStore
from service.use_cases.decisions import Decisions
from service.use_cases.evaluating import Evaluator
from service.use_cases.imports import ImportLimits
from service.use_cases.mapping import Maps
from service.use_cases.migrator import Migrator
from service.use_cases.recogniser import Recogniser
from service.watching.drift import Drift
from service.watching.telemetry import Telemetry

FieldsT = TypeVar("FieldsT", bound=fields.RequestFields)

ALWAYS_ANSWER = ("/health/", "/metrics")
SAID_ONCE = (b"content-type", b"content-encoding", b"idempotency-key")
LARGE = 64  # items of an answer
SMALL_BODY = 64 * 1024  # bytes of a JSON body that carries no samples
MAX_PAGE = 1000
NDJSON: dict[str, Any] = {"application/x-ndjson": {"schema": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes stand on. Limits are in bytes, the deadline in seconds."""

    recogniser: Recogniser
    stowage: Stowage
    store: IdentityStore
    shelf: Shelf
    telemetry: Telemetry
    drift: Drift
    uploads: UploadLimits
    bulk_limit: int
    bulk_unread: int
    import_limit: int
    imports: ImportLimits
    metadata_limit: int
    evaluator: Evaluator
    evaluation_uploads: UploadLimits
    evaluation_deadline: float
    questions: Questions
    migrator: Migrator
    edits: EditStore
    embedder: Embedder
    decisions: Decisions
    maps: Maps

    def seen_by(self, caller: Caller) -> Self:
        """Return the same as a caller has it, who may not see every gallery."""
        recogniser = self.recogniser.seen_by(caller)
        return replace(self, recogniser=recogniser, evaluator=self.evaluator.over(recogniser))


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    caller: Caller = request.state.caller
    return parts if caller.name is None else parts.seen_by(caller)


Served = Annotated[Parts, Depends(_parts)]
Asking = Annotated[Caller, Depends(_caller)]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")
]


async def authorised(request: Request) -> None:
    """Refuse a caller whose role is too low for the route, whatever it is asked."""
    check_role(request.state.caller, request.scope["route"].operation_id)


async def read_small(request: Request, model: type[FieldsT]) -> FieldsT:
    """Return what a small JSON body says: raise InvalidParameter if it breaks the model."""
    document = await read_json(request, SMALL_BODY)
    if not isinstance(document, dict):
        raise InvalidParameter("body", "expected a JSON object")
    return model.read(document, strict=True)


async def read_optional(request: Request, model: type[FieldsT]) -> FieldsT:
    """Return what a small JSON body says, or the defaults where there is none."""
    if "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0":
        return await read_small(request, model)
    return model.read({}, strict=True)


async def in_json(answer: Callable[[], BaseModel], items: int) -> Response:
    """Return an answer about so many items; a large one is made in a thread, or all would wait."""

    def written() -> str:
        return answer().model_dump_json(by_alias=True)

    content = written() if items < LARGE else await asyncio.to_thread(written)
    return Response(content, media_type="application/json")


async def no_strange_parameters(request: Request) -> None:
    """Refuse a query parameter that the route has not, or that comes twice."""
    if not request.scope["query_string"] or request.url.path.startswith(ALWAYS_ANSWER):
        return
    route = request.scope["route"]
    known = {field.alias for field in route.dependant.query_params}
    if is_raw(request):
        known |= {field["name"] for field in (route.openapi_extra or {}).get("parameters", ())}
    left = set(known)
    for name, _ in request.query_params.multi_items():
        if name not in left:
            where = name if name in known else fields.field_name(name)
            raise InvalidParameter(where, "expected each parameter once, and no others")
        left.remove(name)


async def no_repeated_headers(request: Request) -> None:
    """Refuse a header twice of which others may read the other one."""
    told = [name.decode() for name, _ in request.scope["headers"] if name in SAID_ONCE]
    for name in set(told):
        if told.count(name) > 1:
            raise InvalidParameter(name, "expected the header once")


GUARDS = (authorised, no_repeated_headers, no_strange_parameters)
"""What is asked of every request before its route is."""
