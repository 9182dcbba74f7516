"""The service itself: its comparators, its state, its metrics."""

import asyncio

from fastapi import APIRouter, Request, Response

from service import answers
from service.routes.parts import Served

router = APIRouter()


@router.get("/", operation_id="about")
async def about(request: Request) -> answers.About:
    """Say what answers here, and where to read on."""
    return answers.About(version=request.app.version)


@router.get("/comparators", operation_id="list_comparators")
async def list_comparators(parts: Served) -> answers.ComparatorsAnswer:
    """List the comparators in service, and the bundles that were refused."""
    return answers.ComparatorsAnswer(
        comparators=[
            answers.ComparatorAnswer.of(c) for c in parts.recogniser.comparators.values()
        ],
        refused={refusal.bundle: refusal.reason for refusal in parts.shelf.refusals},
    )


@router.get("/comparators/{name}", operation_id="get_comparator")
async def get_comparator(name: str, parts: Served) -> answers.ComparatorDetail:
    """Describe one comparator, card and all: `name@version`, or the newest of a name."""
    return answers.ComparatorDetail.of(parts.recogniser.comparator(name))


@router.head("/health/live", operation_id="live", include_in_schema=False)
@router.get("/health/live", operation_id="live")
async def live() -> answers.Alive:
    """Answer: the process does."""
    return answers.Alive()


@router.head("/health/ready", operation_id="ready", include_in_schema=False)
@router.get("/health/ready", operation_id="ready", responses={503: {"model": answers.Readiness}})
async def ready(request: Request, parts: Served, response: Response) -> answers.Readiness:
    """Say whether requests should come here, and why not: 503 if they should not."""
    galleries = parts.recogniser.galleries
    reasons = galleries.reasons + ["draining"] * request.app.state.draining
    response.status_code = 503 if reasons else 200
    return answers.Readiness(
        ready=not reasons,
        reasons=reasons,
        details=galleries.details + [str(refusal) for refusal in parts.shelf.refusals],
        galleries=len(galleries.replicas),
        comparators=sorted(parts.recogniser.comparators),
    )


@router.head("/metrics", operation_id="metrics", include_in_schema=False)
@router.get("/metrics", operation_id="metrics", response_class=Response)
async def metrics(parts: Served) -> Response:
    """Show every Prometheus series."""
    content, media_type = await asyncio.to_thread(parts.telemetry.exposition)  # some 10 ms
    return Response(content, media_type=media_type)
