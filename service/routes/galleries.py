"""Galleries: made, described, judged, carried elsewhere, deleted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from annotated_types import Interval
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from service import answers
from service.edge.middleware import Facts
from service.requests import fields
from service.requests.bodies import bounded_lines, read_upload
from service.requests.fields import DIGITS, GalleryName
from service.routes.parts import MAX_PAGE, NDJSON, Served, read_small
from service.routes.wire import body, leads_to
from service.use_cases import cohorts
from service.use_cases.exports import export_lines
from service.use_cases.imports import import_lines
from service.use_cases.operating import boundary, operating_curve

router = APIRouter()


@router.post(
    "/galleries",
    operation_id="create_gallery",
    status_code=201,
    openapi_extra=body(fields.GalleryFields),
    responses={
        201: leads_to(
            "get_gallery",
            "list_identities",
            "get_operating_curve",
            "get_boundary",
            "map_gallery",
            "check_gallery",
            "export_gallery",
            "delete_gallery",
            gallery="$response.body#/name",
        )
    },
)
async def create_gallery(request: Request, parts: Served) -> answers.GalleryAnswer:
    """Make an empty gallery of one comparator version."""
    asked = await read_small(request, fields.GalleryFields)
    replica = await parts.recogniser.create_gallery(
        asked.name,
        asked.comparator,
        rule=asked.rule,
        target_fpir=asked.target_fpir,
        prior_known=asked.prior_known,
        keep_samples=asked.keep_samples,
        references=asked.references,
    )
    return answers.GalleryAnswer.of(replica, parts.recogniser.target_fpir)


@router.get("/galleries", operation_id="list_galleries")
async def list_galleries(parts: Served) -> answers.GalleriesAnswer:
    """List every gallery that the key reaches."""
    default = parts.recogniser.target_fpir
    return answers.GalleriesAnswer(
        galleries=[
            answers.GalleryAnswer.of(replica, default) for replica in parts.recogniser.replicas()
        ]
    )


@router.get("/galleries/{gallery}", operation_id="get_gallery")
async def get_gallery(gallery: GalleryName, parts: Served) -> answers.GalleryAnswer:
    """Describe one gallery."""
    replica = parts.recogniser.gallery(gallery)
    return answers.GalleryAnswer.of(replica, parts.recogniser.target_fpir)


@router.delete("/galleries/{gallery}", operation_id="delete_gallery")
async def delete_gallery(gallery: GalleryName, parts: Served) -> answers.GalleryDeleted:
    """Delete a gallery and everything in it; `default` is there again at once, empty."""
    await parts.recogniser.delete_gallery(gallery)
    return answers.GalleryDeleted(gallery=gallery)


@router.get(
    "/galleries/{gallery}/export",
    operation_id="export_gallery",
    response_class=StreamingResponse,
    responses={200: {"content": NDJSON}},
)
async def export_gallery(gallery: GalleryName, request: Request, parts: Served) -> Response:
    """Give all that is kept of a gallery, as NDJSON: whole if its last line is `{"end": …}`."""
    parts.recogniser.gallery(gallery)
    request.state.deadline.reschedule(None)  # of any length, as fast as the client reads
    lines = export_lines(parts.store, gallery)
    first = await anext(lines)  # before the status is sent

    async def all_lines() -> AsyncIterator[bytes]:
        yield first
        async for some in lines:
            yield some

    return StreamingResponse(all_lines(), media_type="application/x-ndjson")


@router.post(
    "/galleries/{gallery}/import",
    operation_id="import_gallery",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": NDJSON}},
)
async def import_gallery(
    gallery: GalleryName, request: Request, parts: Served
) -> answers.GalleryAnswer:
    """Make a gallery of an export of the same comparator: whole, or not at all."""
    request.state.deadline.reschedule(None)
    comparators = {c.digest: c for c in parts.recogniser.comparators.values()}
    replica = await parts.recogniser.import_gallery(
        gallery,
        lambda: import_lines(
            parts.store,
            gallery,
            bounded_lines(request, parts.import_limit),
            comparators,
            parts.imports,
        ),
    )
    request.state.facts = Facts(
        comparator=replica.comparator.title, gallery=gallery, samples=replica.index.samples
    )
    return answers.GalleryAnswer.of(replica, parts.recogniser.target_fpir)


@router.post(
    "/galleries/{gallery}/cohort",
    operation_id="put_cohort",
    status_code=201,
    openapi_extra=body(fields.CohortFields, many=("files",)),
)
async def put_cohort(
    gallery: GalleryName, request: Request, parts: Served
) -> answers.CohortAnswer:
    """Judge a gallery by these strangers from now on, instead of by the bundle's."""
    upload = await read_upload(request, parts.uploads, ("files",))
    asked = fields.CohortFields.of(upload)
    files = upload.many("files")
    done = await cohorts.put_cohort(parts.recogniser, gallery, files, asked.identities)
    samples = done.samples
    request.state.facts = Facts(
        gallery=gallery, samples=len(files), timings=samples.timings, failures=samples.failures
    )
    _, strangers = parts.recogniser.gallery(gallery).cohort
    return answers.CohortAnswer.of(gallery, strangers, done)


@router.get("/galleries/{gallery}/operating-curve", operation_id="get_operating_curve")
async def get_operating_curve(
    gallery: GalleryName, request: Request, parts: Served
) -> answers.OperatingCurveAnswer:
    """Say what `/identify` would need and miss at each target, in the gallery as it is now."""
    found = await operating_curve(parts.recogniser, gallery)
    request.state.facts = Facts(gallery=gallery, timings=found.timings)
    return answers.OperatingCurveAnswer.of(found)


@router.get("/galleries/{gallery}/operating-curve/boundary", operation_id="get_boundary")
async def get_boundary(
    gallery: GalleryName,
    request: Request,
    parts: Served,
    target_fpir: Annotated[float | None, Interval(gt=0, lt=1)] = None,
    limit: Annotated[int, Interval(ge=1, le=100), DIGITS] = 6,
) -> answers.BoundaryAnswer:
    """Show the trials nearest to a target's threshold: the enrolled left out, and strangers."""
    found = await boundary(parts.recogniser, gallery, target_fpir, limit)
    request.state.facts = Facts(gallery=gallery, timings=found.timings)
    return answers.BoundaryAnswer.of(found)


@router.get("/galleries/{gallery}/health", operation_id="check_gallery")
async def check_gallery(
    gallery: GalleryName,
    request: Request,
    parts: Served,
    few: Annotated[int, Interval(ge=1, le=100), DIGITS] = 3,
    limit: Annotated[int | None, Interval(ge=1, le=MAX_PAGE), DIGITS] = None,
) -> answers.GalleryHealth:
    """Say who seems enrolled twice, mislabelled, alike to many or unlike itself.

    Wrong names and duplicates are those that are `likely`, the first 100 of them; with a `limit`
    they are the first so many whether likely or not.
    """
    request.state.deadline.reschedule(
        asyncio.get_running_loop().time() + parts.evaluation_deadline
    )
    found = await parts.recogniser.check_up(gallery, few=few, limit=limit)
    request.state.facts = Facts(gallery=gallery, timings=found.timings)
    return answers.GalleryHealth.of(found)
