"""Decisions read again, and judged by people."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from service import answers
from service.edge.middleware import Facts
from service.parameters import InvalidParameter
from service.requests import fields
from service.requests.bodies import read_upload
from service.requests.fields import GalleryName
from service.routes.parts import Asking, Served
from service.routes.wire import body
from service.use_cases.feedback import decision_of, judge

router = APIRouter()

DecisionId = Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]
RejectionId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


@router.get("/decisions/{decision}", operation_id="get_decision")
async def get_decision(
    decision: DecisionId, parts: Served, caller: Asking
) -> answers.DecisionAnswer:
    """Tell a decision again as it was made, as long as it is remembered by who made it."""
    kept = decision_of(parts.recogniser, parts.decisions, caller, decision)
    return answers.DecisionAnswer.of(kept, figures=caller.sees_figures)


@router.post(
    "/feedback",
    operation_id="give_feedback",
    status_code=201,
    openapi_extra=body(fields.FeedbackFields, many=("files",)),
)
async def give_feedback(request: Request, parts: Served, caller: Asking) -> answers.FeedbackAnswer:
    """Confirm a decision, which enrolls its sample; or reject it, which later decisions know."""
    upload = await read_upload(request, parts.uploads, ("files",))
    asked = fields.FeedbackFields.of(upload)
    sent = upload.samples.get("files", [])
    if len(sent) > 1:
        raise InvalidParameter("files", "expected at most one sample")
    kept = decision_of(parts.recogniser, parts.decisions, caller, asked.decision)
    done = await judge(
        parts.recogniser,
        parts.edits,
        kept,
        asked.verdict,
        asked.identity,
        sent[0] if sent else None,
    )
    parts.telemetry.feedback(done.gallery, done.verdict)
    request.state.facts = Facts(gallery=done.gallery, samples=len(sent))
    return answers.FeedbackAnswer.of(done)


@router.get("/galleries/{gallery}/rejections", operation_id="list_rejections")
async def list_rejections(gallery: GalleryName, parts: Served) -> answers.RejectionsAnswer:
    """List what was said not to be whom, the oldest first."""
    replica = parts.recogniser.gallery(gallery)
    kept = await parts.store.rejections(gallery, replica.position)
    return answers.RejectionsAnswer.of(gallery, kept, replica.names)


@router.delete("/galleries/{gallery}/rejections/{rejection}", operation_id="take_rejection_back")
async def take_rejection_back(
    gallery: GalleryName, rejection: RejectionId, parts: Served
) -> answers.Forgotten:
    """Take a rejection back: the next decision knows nothing of it."""
    change = await parts.recogniser.change(
        gallery, "edit", lambda: parts.edits.accept(gallery, rejection)
    )
    return answers.Forgotten.of(gallery, change)
