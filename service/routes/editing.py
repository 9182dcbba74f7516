"""A gallery edited, so that it can be undone."""

from typing import Annotated

from annotated_types import Interval
from fastapi import APIRouter, Request

from service import answers
from service.callers.keys import Role
from service.edge.access import demand
from service.parameters import InvalidParameter
from service.requests import fields
from service.requests.fields import DIGITS, GalleryName, IdentityName
from service.routes.parts import Asking, IdempotencyKey, Served, read_optional, read_small
from service.routes.wire import body
from service.use_cases.editing import merge, patch, similar, split, undo

router = APIRouter()

UNDO = body(fields.UndoFields)
UNDO["requestBody"]["required"] = False


@router.patch(
    "/galleries/{gallery}",
    operation_id="update_gallery",
    openapi_extra=body(fields.GalleryPatch),
)
async def update_gallery(
    gallery: GalleryName, request: Request, parts: Served
) -> answers.GalleryAnswer:
    """Change what a gallery decides by, which can be undone."""
    asked = await read_small(request, fields.GalleryPatch)
    if not asked.model_fields_set:
        raise InvalidParameter("body", "expected rule, target_fpir or prior_known")
    await patch(parts.recogniser, parts.edits, gallery, asked.model_dump(exclude_unset=True))
    replica = parts.recogniser.gallery(gallery)
    return answers.GalleryAnswer.of(replica, parts.recogniser.target_fpir)


@router.post(
    "/galleries/{gallery}/merge",
    operation_id="merge_identities",
    openapi_extra=body(fields.MergeFields),
)
async def merge_identities(
    gallery: GalleryName, request: Request, parts: Served, idempotency_key: IdempotencyKey = None
) -> answers.EditAnswer:
    """Let one identity be another: all its samples are that one's, under the ids they have."""
    asked = await read_small(request, fields.MergeFields)
    done = await merge(
        parts.recogniser, parts.edits, gallery, asked.from_, asked.into, idempotency_key
    )
    return answers.EditAnswer.of(gallery, done)


@router.post(
    "/galleries/{gallery}/split",
    operation_id="split_identity",
    openapi_extra=body(fields.SplitFields),
)
async def split_identity(
    gallery: GalleryName, request: Request, parts: Served, idempotency_key: IdempotencyKey = None
) -> answers.EditAnswer:
    """Let some samples of an identity be another's, who is made if there is none of that name."""
    asked = await read_small(request, fields.SplitFields)
    done = await split(
        parts.recogniser,
        parts.edits,
        gallery,
        asked.identity,
        [int(sample) for sample in asked.samples],
        asked.into,
        idempotency_key,
    )
    return answers.EditAnswer.of(gallery, done)


@router.get(
    "/galleries/{gallery}/identities/{identity}/similar", operation_id="similar_identities"
)
async def similar_identities(
    gallery: GalleryName,
    identity: IdentityName,
    parts: Served,
    top: Annotated[int, Interval(ge=1, le=100), DIGITS] = 5,
) -> answers.SimilarAnswer:
    """Say who is most like an identity: nobody where references are not compared so."""
    found = await similar(parts.recogniser, parts.store, gallery, identity, top)
    return answers.SimilarAnswer.of(found)


@router.get("/galleries/{gallery}/edits", operation_id="list_edits")
async def list_edits(gallery: GalleryName, parts: Served) -> answers.EditsAnswer:
    """List the edits that can be undone, the newest first."""
    parts.recogniser.gallery(gallery)
    return answers.EditsAnswer.of(gallery, await parts.edits.edits(gallery))


@router.post("/galleries/{gallery}/undo", operation_id="undo_edit", openapi_extra=UNDO)
async def undo_edit(
    gallery: GalleryName,
    request: Request,
    parts: Served,
    caller: Asking,
    idempotency_key: IdempotencyKey = None,
) -> answers.EditAnswer:
    """Undo an edit, or the last, where nothing that rests on it came since."""
    parts.recogniser.gallery(gallery)
    asked = await read_optional(request, fields.UndoFields)
    settings = caller.role >= Role.ADMINISTER
    if asked.version is not None and not settings:
        for edit in await parts.edits.edits(gallery):
            if edit.version == asked.version and edit.operation == "patch":
                demand(caller, Role.ADMINISTER, "to undo a change of settings")
    done = await undo(
        parts.recogniser,
        parts.edits,
        gallery,
        asked.version,
        settings=settings,
        key=idempotency_key,
    )
    return answers.EditAnswer.of(gallery, done)
