"""Each route: read the input, call one use case, shape the answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from models_store import Shelf
from service import answers, fields
from service.bulk import enroll_lines
from service.clients import prefers_html, while_there
from service.edge import Facts
from service.erasure import receipt_of
from service.evaluating import Evaluator
from service.exports import export_lines
from service.fields import GalleryName, IdentityName, Whole
from service.identities import IdentityStore
from service.imports import ImportLimits, import_lines
from service.labelled import read_labelled
from service.parameters import InvalidParameter, field_name
from service.problems import INTERNAL, kind_of
from service.recogniser import Recogniser
from service.stowing import Stowage
from service.telemetry import Telemetry
from service.uploads import (
    UploadLimits,
    bounded,
    read_json,
    read_upload,
)
from service.wire import body

FieldsT = TypeVar("FieldsT", bound=fields.RequestFields)

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
}
ALWAYS_ANSWER = ("/health/", "/metrics")
SMALL_BODY = 64 * 1024  # bytes of a JSON body that carries no samples
MAX_PAGE = 1000
NDJSON: dict[str, Any] = {"application/x-ndjson": {"schema": {"type": "string"}}}

IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")
]
SampleId = Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]


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


class _LineByLine(StreamingResponse):
    """A response that is sent while its request is still being read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; the parent would listen for a disconnect meanwhile, and swallow the body."""
        await self.stream_response(send)


Served = Annotated[Parts, Depends(_parts)]


async def _no_strange_parameters(request: Request) -> None:
    """Refuse a query parameter that the route has not, or that comes twice."""
    if not request.scope["query_string"] or request.url.path.startswith(ALWAYS_ANSWER):
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise InvalidParameter(field_name(name), "expected each parameter once, and no others")
        known.remove(name)


router = APIRouter(dependencies=[Depends(_no_strange_parameters)])


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
    "/enroll",
    operation_id="enroll",
    status_code=201,
    openapi_extra=body(fields.EnrollFields, many=("files",)),
)
async def enroll(
    request: Request, parts: Served, idempotency_key: IdempotencyKey = None
) -> answers.EnrollAnswer:
    """Keep samples under an identity: what is answered 201 is not lost."""
    upload = await read_upload(request, parts.uploads, ("files",))
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
    request: Request, parts: Served, gallery: Annotated[GalleryName, Query()] = "default"
) -> StreamingResponse:
    """Enroll a line at a time: `{identity, embedding | base64 | text, metadata?}` as NDJSON."""
    parts.recogniser.galleries.get(gallery)
    # A body of any length: each of its lines is bounded by the store's timeout instead.
    request.state.deadline.reschedule(None)
    lines = enroll_lines(
        parts.recogniser,
        gallery,
        bounded(request, parts.bulk_limit),
        longest_line=parts.uploads.file,
        longest_metadata=parts.metadata_limit,
        on_outcome=partial(parts.telemetry.enrolled, gallery),
    )
    return _LineByLine(lines, media_type="application/x-ndjson")


@router.post(
    "/identify",
    operation_id="identify",
    openapi_extra=body(fields.IdentifyFields, many=("files",)),
)
async def identify(
    request: Request, parts: Served, x_min_version: Annotated[Whole, Header(ge=0)] = 0
) -> answers.IdentifyAnswer:
    """Say whose each sample is, or that it is nobody's who is enrolled."""
    upload = await read_upload(request, parts.uploads, ("files",))
    asked = fields.IdentifyFields.of(upload)
    files = upload.many("files")
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
    comparator = found.replica.comparator.title
    for result in found.results:
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
    return answers.IdentifyAnswer.of(found)


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


@router.post(
    "/evaluate",
    operation_id="evaluate",
    response_model=answers.EvaluateAnswer,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    openapi_extra=body(fields.EvaluateFields, many=("files",), archive=True),
)
async def evaluate(request: Request, parts: Served) -> Response:
    """Measure a comparator on labelled samples: a JSON report, or a page for who prefers HTML."""
    request.state.deadline.reschedule(
        asyncio.get_running_loop().time() + parts.evaluation_deadline
    )
    with _counted(parts.telemetry), parts.evaluator.runs.admitted():
        upload = await read_upload(request, parts.evaluation_uploads, ("files", "archive"))
        asked = fields.EvaluateFields.of(upload)
        samples, labels = await asyncio.to_thread(
            read_labelled, upload, asked, parts.evaluation_uploads
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


@router.post(
    "/galleries",
    operation_id="create_gallery",
    status_code=201,
    openapi_extra=body(fields.GalleryFields),
)
async def create_gallery(request: Request, parts: Served) -> answers.GalleryAnswer:
    """Make an empty gallery of one comparator version."""
    asked = await _read_small(request, fields.GalleryFields)
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
    """List every gallery."""
    default = parts.recogniser.target_fpir
    replicas = parts.recogniser.galleries.replicas
    return answers.GalleriesAnswer(
        galleries=[answers.GalleryAnswer.of(replica, default) for replica in replicas]
    )


@router.get("/galleries/{gallery}", operation_id="get_gallery")
async def get_gallery(gallery: GalleryName, parts: Served) -> answers.GalleryAnswer:
    """Describe one gallery."""
    replica = parts.recogniser.galleries.get(gallery)
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
    parts.recogniser.galleries.get(gallery)
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
        lambda: import_lines(
            parts.store,
            gallery,
            bounded(request, parts.import_limit),
            comparators,
            parts.imports,
        )
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
    done = await parts.recogniser.put_cohort(gallery, files, asked.identities)
    samples = done.samples
    request.state.facts = Facts(
        gallery=gallery, samples=len(files), timings=samples.timings, failures=samples.failures
    )
    _, strangers = parts.recogniser.galleries.get(gallery).cohort
    return answers.CohortAnswer.of(gallery, strangers, done)


@router.get("/galleries/{gallery}/health", operation_id="check_gallery")
async def check_gallery(
    gallery: GalleryName,
    request: Request,
    parts: Served,
    few: Annotated[Whole, Query(ge=1, le=100)] = 3,
    limit: Annotated[Whole, Query(ge=1, le=MAX_PAGE)] = 100,
) -> answers.GalleryHealth:
    """Say who seems enrolled twice, mislabelled, alike to many or unlike itself."""
    request.state.deadline.reschedule(
        asyncio.get_running_loop().time() + parts.evaluation_deadline
    )
    found = await parts.recogniser.check_up(gallery, few=few, limit=limit)
    request.state.facts = Facts(gallery=gallery, timings=found.timings)
    return answers.GalleryHealth.of(found)


@router.get("/galleries/{gallery}/identities", operation_id="list_identities")
async def list_identities(
    gallery: GalleryName,
    parts: Served,
    limit: Annotated[Whole, Query(ge=1, le=MAX_PAGE)] = 100,
    after: Annotated[Whole, Query(ge=0, lt=2**63)] = 0,
) -> answers.IdentitiesAnswer:
    """List who is enrolled, page by page: pass `next` as `after` to go on."""
    parts.recogniser.galleries.get(gallery)
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
    parts.recogniser.galleries.get(gallery)
    return answers.IdentityAnswer.of(await parts.store.identity(gallery, identity))


@router.patch(
    "/galleries/{gallery}/identities/{identity}",
    operation_id="update_identity",
    openapi_extra=body(fields.MetadataFields),
)
async def update_identity(
    gallery: GalleryName, identity: IdentityName, request: Request, parts: Served
) -> answers.IdentityAnswer:
    """Replace an identity's metadata."""
    asked = await _read_small(request, fields.MetadataFields)
    fields.bound_metadata(asked.metadata, parts.metadata_limit)
    await parts.recogniser.describe(gallery, identity, asked.metadata)
    return answers.IdentityAnswer.of(await parts.store.identity(gallery, identity))


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


@router.get("/galleries/{gallery}/receipts/{version}", operation_id="get_receipt")
async def get_receipt(
    gallery: GalleryName, version: Annotated[Whole, Path(gt=0, lt=2**53)], parts: Served
) -> answers.ReceiptAnswer:
    """Say which places hold no byte any more of what a deletion took away."""
    replica = parts.recogniser.galleries.get(gallery)
    return answers.ReceiptAnswer.of(await receipt_of(parts.store, parts.stowage, replica, version))


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
async def get_comparator(name: str, parts: Served) -> answers.ComparatorAnswer:
    """Describe one comparator: `name@version`, or the newest of a name."""
    return answers.ComparatorAnswer.of(parts.recogniser.comparator(name))


@router.get("/health/live", operation_id="live")
async def live() -> answers.Alive:
    """Answer: the process does."""
    return answers.Alive()


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


@router.get("/metrics", operation_id="metrics", response_class=Response)
async def metrics(parts: Served) -> Response:
    """Show every Prometheus series."""
    content, media_type = parts.telemetry.exposition()
    return Response(content, media_type=media_type)


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


async def _read_small(request: Request, model: type[FieldsT]) -> FieldsT:
    document = await read_json(request, SMALL_BODY)
    if not isinstance(document, dict):
        raise InvalidParameter("body", "expected a JSON object")
    return model.read(document, strict=True)
