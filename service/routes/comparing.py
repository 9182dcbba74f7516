"""Samples compared, embedded and grouped, whoever they are."""

from fastapi import APIRouter, Request, Response

from service import answers
from service.answers import bands
from service.edge.middleware import Facts
from service.requests import fields
from service.requests.bodies import read_upload
from service.requests.raw_bodies import read_samples
from service.routes.guessing import demand_samples, demand_usual_terms, one_more_pair
from service.routes.parts import Asking, Served, in_json
from service.routes.wire import body
from service.use_cases import clustering

router = APIRouter()


@router.post(
    "/verify",
    operation_id="verify",
    response_model=answers.VerifyAnswer,
    openapi_extra=body(fields.VerifyFields, one=("a", "b")),
)
async def verify(request: Request, parts: Served, caller: Asking) -> Response:
    """Say whether two samples are the same."""
    upload = await read_upload(request, parts.uploads, ("a", "b"))
    asked = fields.VerifyFields.of(upload)
    demand_usual_terms(caller, asked)
    a, b = upload.one("a"), upload.one("b")
    demand_samples(caller, [a, b])
    with one_more_pair(parts.questions, caller, a, b, asked.model_dump()) as told:
        found = await parts.recogniser.verify(
            a, b, asked.comparator, asked.target_fmr, asked.threshold
        )
        told(bands.of_pair(found))
    parts.telemetry.verified(found.comparator.title, match=found.match)
    request.state.facts = Facts(
        comparator=found.comparator.title, timings=found.timings, samples=2
    )
    return await in_json(
        lambda: answers.VerifyAnswer.of(found, figures=caller.sees_figures), items=2
    )


@router.post(
    "/embed",
    operation_id="embed",
    response_model=answers.EmbedAnswer,
    openapi_extra=body(fields.EmbedFields, many=("files",), raw=True),
)
async def embed(request: Request, parts: Served) -> Response:
    """Return the vectors that search compares."""
    upload = await read_samples(request, parts.uploads)
    asked = fields.EmbedFields.of(upload)
    files = upload.many("files")
    comparator, found = await parts.recogniser.embed(files, asked.comparator, asked.side)
    request.state.facts = Facts(
        comparator=comparator.title,
        samples=len(files),
        timings=found.timings,
        failures=found.failures,
    )
    return await in_json(lambda: answers.EmbedAnswer.of(comparator, found), len(files))


@router.post(
    "/cluster",
    operation_id="cluster",
    response_model=answers.ClusterAnswer,
    openapi_extra=body(fields.ClusterFields, many=("files",)),
)
async def cluster(request: Request, parts: Served) -> Response:
    """Say which samples belong together: those sent, or those enrolled in a gallery."""
    upload = await read_upload(request, parts.uploads, ("files",))
    asked = fields.ClusterFields.of(upload)
    found = await clustering.cluster(
        parts.recogniser,
        upload.samples.get("files", []),
        gallery=asked.gallery,
        comparator=asked.comparator,
        threshold=asked.threshold,
        target_fmr=asked.target_fmr,
        target_purity=asked.target_purity,
        method=asked.method,
        side=asked.side,
    )
    request.state.facts = Facts(
        comparator=found.comparator.title,
        samples=len(found.names) + len(found.failures),
        timings=found.timings,
        failures=found.failures,
    )
    return await in_json(lambda: answers.ClusterAnswer.of(found), len(found.names))
