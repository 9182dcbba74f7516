"""Who is enrolled in a gallery, and how they are forgotten."""

from typing import Annotated

from annotated_types import Interval
from fastapi import APIRouter, Path, Request, Response

from service import answers
from service.parameters import InvalidParameter
from service.replicas.erasure import receipt_of
from service.requests import fields
from service.requests.fields import DIGITS, GalleryName, IdentityName, SampleId
from service.routes.parts import MAX_PAGE, IdempotencyKey, Served, read_small
from service.routes.wire import body
from service.use_cases.editing import rename
from service.use_cases.previews import preview_of

router = APIRouter()

SHOWN_ONLY = {
    "Cache-Control": "no-store",
    "Content-Disposition": "inline",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What keeps a browser from taking what somebody sent for a page, and from keeping it."""


@router.get("/galleries/{gallery}/identities", operation_id="list_identities")
async def list_identities(
    gallery: GalleryName,
    parts: Served,
    limit: Annotated[int, Interval(ge=1, le=MAX_PAGE), DIGITS] = 100,
    after: Annotated[int, Interval(ge=0, lt=2**63), DIGITS] = 0,
) -> answers.IdentitiesAnswer:
    """List who is enrolled, page by page: pass `next` as `after` to go on."""
    parts.recogniser.gallery(gallery)
    page = await parts.store.identities(gallery, after, limit + 1)
    items = [answers.IdentityAnswer.of(identity) for identity in page[:limit]]
    return answers.IdentitiesAnswer(
        items=items, next=str(page[limit - 1].number) if len(page) > limit else None
    )


@router.get("/galleries/{gallery}/identities/{identity}", operation_id="get_identity")
async def get_identity(
    gallery: GalleryName, identity: IdentityName, parts: Served
) -> answers.IdentityAnswer:
    """Describe one identity."""
    parts.recogniser.gallery(gallery)
    return answers.IdentityAnswer.of(await parts.store.identity(gallery, identity))


@router.patch(
    "/galleries/{gallery}/identities/{identity}",
    operation_id="update_identity",
    openapi_extra=body(fields.IdentityFields),
)
async def update_identity(
    gallery: GalleryName,
    identity: IdentityName,
    request: Request,
    parts: Served,
    idempotency_key: IdempotencyKey = None,
) -> answers.IdentityAnswer:
    """Give an identity another name, which can be undone; or replace its metadata."""
    asked = await read_small(request, fields.IdentityFields)
    recogniser, name = parts.recogniser, asked.name
    if (name is None) == (asked.metadata is None):
        raise InvalidParameter("body", "expected either name or metadata")
    if name is not None:
        await rename(recogniser, parts.edits, gallery, identity, name, idempotency_key)
    elif asked.metadata is not None:
        fields.bound_metadata(asked.metadata, parts.metadata_limit)
        await recogniser.describe(gallery, identity, asked.metadata)
    return answers.IdentityAnswer.of(await parts.store.identity(gallery, name or identity))


@router.delete("/galleries/{gallery}/identities/{identity}", operation_id="forget_identity")
async def forget_identity(
    gallery: GalleryName, identity: IdentityName, parts: Served
) -> answers.Forgotten:
    """Forget an identity: it is found nowhere once this is answered."""
    change = await parts.recogniser.forget_identity(gallery, identity)
    return answers.Forgotten.of(gallery, change)


@router.delete(
    "/galleries/{gallery}/identities/{identity}/samples/{sample}", operation_id="forget_sample"
)
async def forget_sample(
    gallery: GalleryName, identity: IdentityName, sample: SampleId, parts: Served
) -> answers.Forgotten:
    """Forget one sample of an identity."""
    change = await parts.recogniser.forget_sample(gallery, identity, int(sample))
    return answers.Forgotten.of(gallery, change)


@router.get(
    "/galleries/{gallery}/identities/{identity}/samples/{sample}/preview",
    operation_id="get_preview",
    response_class=Response,
    responses={
        200: {
            "content": {
                "image/png": {"schema": {"type": "string", "format": "binary"}},
                "text/plain": {"schema": {"type": "string"}},
            }
        }
    },
)
async def get_preview(
    gallery: GalleryName, identity: IdentityName, sample: SampleId, parts: Served
) -> Response:
    """Show a sample that is kept: a picture made anew of at most 160 pixels, or its text."""
    found = await preview_of(
        parts.recogniser, parts.store, parts.embedder, gallery, identity, int(sample)
    )
    return Response(found.content, media_type=found.media_type, headers=SHOWN_ONLY)


@router.get("/galleries/{gallery}/receipts/{version}", operation_id="get_receipt")
async def get_receipt(
    gallery: GalleryName,
    version: Annotated[int, Interval(gt=0, lt=2**53), DIGITS, Path()],
    parts: Served,
) -> answers.ReceiptAnswer:
    """Say which places hold no byte any more of what a deletion took away."""
    replica = parts.recogniser.gallery(gallery)
    return answers.ReceiptAnswer.of(await receipt_of(parts.store, parts.stowage, replica, version))
