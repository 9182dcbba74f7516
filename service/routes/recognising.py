"""Samples enrolled under a name, and named."""

import asyncio
from collections import Counter
from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service import answers
from service.edge.middleware import Facts
from service.requests import fields
from service.requests.bodies import bounded_lines
from service.requests.fields import DIGITS, GalleryName
from service.requests.raw_bodies import read_samples
from service.routes.bulk import enroll_lines, unread
from service.routes.guessing import demand_samples, demand_usual_terms, within_quota
from service.routes.parts import LARGE, NDJSON, Asking, IdempotencyKey, Served, in_json
from service.routes.wire import body

router = APIRouter()

STALENESS = {
    "X-Staleness": {
        "description": "Seconds since the gallery was known to be level with the store",
        "schema": {"type": "integer", "minimum": 0},
    }
}


@router.post(
    "/enroll",
    operation_id="enroll",
    status_code=201,
    openapi_extra=body(fields.EnrollFields, many=("files",), raw=True),
)
async def enroll(
    request: Request, parts: Served, idempotency_key: IdempotencyKey = None
) -> answers.EnrollAnswer:
    """Keep samples under an identity: what is answered 201 is not lost."""
    upload = await read_samples(request, parts.uploads)
    asked = fields.EnrollFields.of(upload)
    fields.bound_metadata(asked.metadata, parts.metadata_limit)
    files = upload.many("files")
    done = await parts.recogniser.enroll(
        asked.gallery, asked.identity, files, asked.metadata, idempotency_key
    )
    outcomes = Counter[str](sample.outcome for sample in done.samples)
    outcomes["refused"] = len(done.failures)
    for outcome, count in outcomes.items():
        parts.telemetry.enrolled(asked.gallery, outcome, count)
    request.state.facts = Facts(
        gallery=asked.gallery,
        samples=len(files),
        outcomes=dict(outcomes),
        timings=done.timings,
        failures=done.failures,
    )
    return answers.EnrollAnswer.of(asked.gallery, asked.identity, done)


class _LineByLine(StreamingResponse):
    """A response that is sent while its request is still being read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; the parent would listen for a disconnect meanwhile, and swallow the body."""
        await self.stream_response(send)


@router.post(
    "/enroll/bulk",
    operation_id="enroll_bulk",
    response_class=StreamingResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": NDJSON,
        }
    },
)
async def enroll_bulk(
    request: Request,
    parts: Served,
    gallery: Annotated[GalleryName, Query()] = "default",
    doubts: Annotated[Literal["quick", "all"], Query()] = "quick",
) -> StreamingResponse:
    """Enroll a line at a time: `{identity, embedding | base64 | text, metadata?}` as NDJSON.

    Lines are written some hundreds at a time. Each is warned of that is as unlike its identity as
    strangers are. In a gallery of more than 5,000 samples, unless the service is set otherwise, it
    is looked whether it would be named as another identity only with `doubts=all`, which takes a
    search a line; `"searched": false` tells of an answer that it was not. `…/health` finds all of
    them afterwards.
    """
    parts.recogniser.gallery(gallery)
    # A body of any length: each of its lines is bounded by the store's timeout instead.
    request.state.deadline.reschedule(None)
    lines = enroll_lines(
        parts.recogniser,
        gallery,
        bounded_lines(request, parts.bulk_limit),
        longest_line=parts.uploads.file,
        longest_metadata=parts.metadata_limit,
        thorough=doubts == "all",
        on_outcome=partial(parts.telemetry.enrolled, gallery),
    )
    return _LineByLine(unread(lines, parts.bulk_unread), media_type="application/x-ndjson")


@router.post(
    "/identify",
    operation_id="identify",
    response_model=answers.IdentifyAnswer,
    responses={200: {"headers": STALENESS}},
    openapi_extra=body(fields.IdentifyFields, many=("files",), raw=True),
)
async def identify(
    request: Request,
    parts: Served,
    caller: Asking,
    x_min_version: Annotated[int, Ge(0), DIGITS, Header()] = 0,
) -> Response:
    """Say whose each sample is, or that it is nobody's who is enrolled."""
    upload = await read_samples(request, parts.uploads)
    asked = fields.IdentifyFields.of(upload)
    files = upload.many("files")
    demand_samples(caller, files)
    demand_usual_terms(caller, asked)
    found = await parts.recogniser.identify(
        asked.gallery,
        files,
        target_fpir=asked.target_fpir,
        threshold=asked.threshold,
        rule=asked.rule,
        k=asked.k,
        top=asked.top,
        min_version=x_min_version,
    )
    found = within_quota(parts.questions, caller, asked, files, found)
    comparator = found.replica.comparator.title
    parts.drift.watch(found.replica, found.embeddings)
    decided: list[str | None] = []
    for some in found.slices(LARGE):
        if decided:
            await asyncio.sleep(0)  # so that others go on in between
        decided += parts.decisions.keep(caller.name, files, some)
        for result in some.results:
            parts.telemetry.identified(
                asked.gallery, comparator, result.outcome, result.score, result.p_value
            )
    outcomes = dict(Counter[str](result.outcome for result in found.results))
    request.state.facts = Facts(
        comparator=comparator,
        gallery=asked.gallery,
        samples=len(files),
        outcomes=outcomes,
        timings=found.timings,
        failures=found.failures,
    )
    response = await in_json(
        lambda: answers.IdentifyAnswer.of(found, decided, figures=caller.sees_figures), len(files)
    )
    response.headers["X-Staleness"] = f"{found.replica.staleness:.0f}"
    return response
