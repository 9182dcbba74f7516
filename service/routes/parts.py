"""What every route stands on."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from models_store import Shelf
from service import fields
from service.evaluating import Evaluator
from service.identities import IdentityStore
from service.imports import ImportLimits
from service.parameters import InvalidParameter, field_name
from service.recogniser import Recogniser
from service.stowing import Stowage
from service.telemetry import Telemetry
from service.uploads import UploadLimits, read_json

FieldsT = TypeVar("FieldsT", bound=fields.RequestFields)

ALWAYS_ANSWER = ("/health/", "/metrics")
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
    uploads: UploadLimits
    bulk_limit: int
    import_limit: int
    imports: ImportLimits
    metadata_limit: int
    evaluator: Evaluator
    evaluation_uploads: UploadLimits
    evaluation_deadline: float


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Served = Annotated[Parts, Depends(_parts)]


async def read_small(request: Request, model: type[FieldsT]) -> FieldsT:
    """Return what a small JSON body says: raise InvalidParameter if it breaks the model."""
    document = await read_json(request, SMALL_BODY)
    if not isinstance(document, dict):
        raise InvalidParameter("body", "expected a JSON object")
    return model.read(document, strict=True)


async def no_strange_parameters(request: Request) -> None:
    """Refuse a query parameter that the route has not, or that comes twice."""
    if not request.scope["query_string"] or request.url.path.startswith(ALWAYS_ANSWER):
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise InvalidParameter(field_name(name), "expected each parameter once, and no others")
        known.remove(name)
