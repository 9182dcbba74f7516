"""A gallery gets another comparator."""

import asyncio

from fastapi import APIRouter, Request, Response

from service import answers
from service.edge.middleware import Facts
from service.requests import fields
from service.requests.fields import GalleryName
from service.routes.parts import Parts, Served, read_optional, read_small
from service.routes.wire import body

router = APIRouter()

SWITCH = body(fields.SwitchFields)
SWITCH["requestBody"]["required"] = False


async def _read_switch(request: Request, parts: Parts) -> fields.SwitchFields:
    """Return what the body says, if there is one; the gallery may take long to be read anew."""
    request.state.deadline.reschedule(
        asyncio.get_running_loop().time() + parts.evaluation_deadline
    )
    return await read_optional(request, fields.SwitchFields)


@router.post(
    "/galleries/{gallery}/migrate",
    operation_id="migrate_gallery",
    status_code=202,
    openapi_extra=body(fields.MigrateFields),
)
async def migrate_gallery(
    gallery: GalleryName, request: Request, response: Response, parts: Served
) -> answers.MigrationAnswer:
    """Begin to embed a gallery's kept samples by another comparator; it answers all the while."""
    parts.recogniser.gallery(gallery)
    asked = await read_small(request, fields.MigrateFields)
    found = await parts.migrator.start(
        gallery,
        asked.comparator,
        automatic=asked.switch == "auto",
        leave_behind=asked.leave_behind,
    )
    answer = answers.MigrationAnswer.of(found)
    response.headers["Location"] = answer.url
    request.state.facts = Facts(comparator=answer.after, gallery=gallery)
    return answer


@router.get("/galleries/{gallery}/migration", operation_id="get_migration")
async def get_migration(gallery: GalleryName, parts: Served) -> answers.MigrationAnswer:
    """Say how far a migration is, who would be left behind, and how far both comparators agree."""
    parts.recogniser.gallery(gallery)
    return answers.MigrationAnswer.of(await parts.migrator.migration(gallery))


@router.post(
    "/galleries/{gallery}/migration/switch",
    operation_id="switch_comparator",
    openapi_extra=SWITCH,
)
async def switch_comparator(
    gallery: GalleryName, request: Request, parts: Served
) -> answers.MigrationAnswer:
    """Answer by the new comparator from now on; the one before is kept until `finish`."""
    parts.recogniser.gallery(gallery)
    asked = await _read_switch(request, parts)
    request.state.facts = Facts(gallery=gallery)
    found = await parts.migrator.switch(gallery, leave_behind=asked.leave_behind)
    return answers.MigrationAnswer.of(found)


@router.post(
    "/galleries/{gallery}/migration/rollback",
    operation_id="roll_back_comparator",
    openapi_extra=SWITCH,
)
async def roll_back_comparator(
    gallery: GalleryName, request: Request, parts: Served
) -> answers.MigrationAnswer:
    """Answer by the comparator of before again, with all that was enrolled since the switch."""
    parts.recogniser.gallery(gallery)
    asked = await _read_switch(request, parts)
    request.state.facts = Facts(gallery=gallery)
    found = await parts.migrator.roll_back(gallery, leave_behind=asked.leave_behind)
    return answers.MigrationAnswer.of(found)


@router.post("/galleries/{gallery}/migration/finish", operation_id="finish_migration")
async def finish_migration(gallery: GalleryName, parts: Served) -> answers.Forgotten:
    """Forget the embeddings of the comparator before; there is no way back then."""
    parts.recogniser.gallery(gallery)
    version = await parts.migrator.end(gallery, switched_only=True)
    return answers.Forgotten.at(gallery, version)


@router.delete("/galleries/{gallery}/migration", operation_id="end_migration")
async def end_migration(gallery: GalleryName, parts: Served) -> answers.Forgotten:
    """Forget the embeddings of the comparator that is not in force, whichever that is."""
    parts.recogniser.gallery(gallery)
    version = await parts.migrator.end(gallery, switched_only=False)
    return answers.Forgotten.at(gallery, version)
