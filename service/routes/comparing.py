"""Samples compared, embedded and grouped, whoever they are."""

from fastapi import APIRouter, Request

from service import answers, fields
from service.edge import Facts
from service.routes.parts import Served
from service.uploads import read_upload
from service.wire import body

router = APIRouter()


@router.post(
    "/verify", operation_id="verify", openapi_extra=body(fields.VerifyFields, one=("a", "b"))
)
async def verify(request: Request, parts: Served) -> answers.VerifyAnswer:
    """Say whether two samples are the same."""
    upload = await read_upload(request, parts.uploads, ("a", "b"))
    asked = fields.VerifyFields.of(upload)
    found = await parts.recogniser.verify(
        upload.one("a"), upload.one("b"), asked.comparator, asked.target_fmr, asked.threshold
    )
    parts.telemetry.verified(found.comparator.title, match=found.match)
    request.state.facts = Facts(
        comparator=found.comparator.title, timings=found.timings, samples=2
    )
    return answers.VerifyAnswer.of(found)


@router.post(
    "/embed", operation_id="embed", openapi_extra=body(fields.EmbedFields, many=("files",))
)
async def embed(request: Request, parts: Served) -> answers.EmbedAnswer:
    """Return the vectors that search compares."""
    upload = await read_upload(request, parts.uploads, ("files",))
    asked = fields.EmbedFields.of(upload)
    files = upload.many("files")
    comparator, found = await parts.recogniser.embed(files, asked.comparator, asked.side)
    request.state.facts = Facts(
        comparator=comparator.title,
        samples=len(files),
        timings=found.timings,
        failures=found.failures,
    )
    return answers.EmbedAnswer.of(comparator, found)


@router.post(
    "/cluster", operation_id="cluster", openapi_extra=body(fields.ClusterFields, many=("files",))
)
async def cluster(request: Request, parts: Served) -> answers.ClusterAnswer:
    """Say which samples belong together: those sent, or those enrolled in a gallery."""
    upload = await read_upload(request, parts.uploads, ("files",))
    asked = fields.ClusterFields.of(upload)
    found = await parts.recogniser.cluster(
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
    return answers.ClusterAnswer.of(found)
