"""Labelled samples measured: a report, or a page."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.requests import ClientDisconnect

from service import answers
from service.callers.keys import Role
from service.edge.access import demand
from service.edge.clients import prefers_html, while_there
from service.edge.middleware import Facts
from service.edge.problems import INTERNAL, kind_of
from service.requests import fields
from service.requests.bodies import read_upload
from service.requests.labelled import read_labelled
from service.routes.parts import Asking, Served
from service.routes.wire import body
from service.watching.telemetry import Telemetry

router = APIRouter()

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
}


@router.post(
    "/evaluate",
    operation_id="evaluate",
    response_model=answers.EvaluateAnswer,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    openapi_extra=body(fields.EvaluateFields, many=("files",), archive=True),
)
async def evaluate(request: Request, parts: Served, caller: Asking) -> Response:
    """Measure a comparator on labelled samples: a JSON report, or a page for who prefers HTML."""
    request.state.deadline.reschedule(
        asyncio.get_running_loop().time() + parts.evaluation_deadline
    )
    with _counted(parts.telemetry), parts.evaluator.runs.admitted():
        upload = await read_upload(request, parts.evaluation_uploads, ("files", "archive"))
        asked = fields.EvaluateFields.of(upload)
        if asked.apply:
            demand(caller, Role.ADMINISTER, "to apply")
        two_sided = parts.evaluator.is_two_sided(asked.comparator, asked.gallery)
        samples, labels = await asyncio.to_thread(
            partial(read_labelled, upload, asked, parts.evaluation_uploads, two_sided=two_sided)
        )
        found = await while_there(
            request,
            parts.evaluator.evaluate(
                samples,
                labels,
                comparator=asked.comparator,
                gallery=asked.gallery,
                apply=asked.apply,
                seed=asked.seed,
            ),
        )
    request.state.facts = Facts(
        comparator=found.comparator.title,
        gallery=asked.gallery,
        samples=len(labels),
        timings=found.timings,
        failures=found.failures,
    )
    if prefers_html(request.headers.get("accept", "")):
        return HTMLResponse(found.page, headers=PAGE_HEADERS)
    answer = await asyncio.to_thread(
        lambda: answers.EvaluateAnswer.of(found, html=asked.html).model_dump_json()
    )
    return Response(answer, media_type="application/json")


@contextmanager
def _counted(telemetry: Telemetry) -> Iterator[None]:
    """Tell of an evaluation: that it is under way, and what became of it."""
    started, outcome = perf_counter(), "late"  # or ended with the service: then it is cancelled
    try:
        with telemetry.evaluating():
            yield
        outcome = "done"
    except ClientDisconnect:
        outcome = "abandoned"
        raise
    except Exception as error:
        outcome = "failed" if kind_of(error) is INTERNAL else "refused"
        raise
    finally:
        telemetry.evaluated(outcome, perf_counter() - started)
