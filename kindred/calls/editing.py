"""Galleries edited, and undone; decisions read again, and judged."""

import json
import uuid
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Literal

from kindred import answers
from kindred.calls.call import TOLD, Call, Rule, getting, in_json, path_of, read_as
from kindred.samples import Sample, documents_of


class Unsaid(Enum):
    """What was not said, where None says something."""

    UNSAID = "unsaid"


UNSAID = Unsaid.UNSAID


def update_gallery(
    gallery: str,
    *,
    rule: Rule | Unsaid | None = UNSAID,
    target_fpir: float | Unsaid | None = UNSAID,
    prior_known: float | Unsaid | None = UNSAID,
) -> Call[answers.GalleryAnswer]:
    """Let a gallery decide otherwise: what is named is replaced, and None is the usual."""
    fields = {"rule": rule, "target_fpir": target_fpir, "prior_known": prior_known}
    said = {name: value for name, value in fields.items() if value is not UNSAID}
    body = {"content": json.dumps(said, allow_nan=False).encode()}
    read_answer = read_as(answers.GalleryAnswer)
    return Call("PATCH", path_of("galleries", gallery), read_answer, body, writes=gallery)


def merge_identities(
    gallery: str, identity: str, into: str, *, idempotency_key: str | None = None
) -> Call[answers.EditAnswer]:
    """Let one identity be another: all its samples are that one's."""
    return _edit(gallery, "merge", {"from": identity, "into": into}, idempotency_key)


def split_identity(
    gallery: str,
    identity: str,
    samples: Iterable[str],
    into: str,
    *,
    idempotency_key: str | None = None,
) -> Call[answers.EditAnswer]:
    """Let some samples of an identity be another's, who is made if there is none."""
    fields = {"identity": identity, "samples": list(samples), "into": into}
    return _edit(gallery, "split", fields, idempotency_key)


def undo_edit(
    gallery: str, version: int | None = None, *, idempotency_key: str | None = None
) -> Call[answers.EditAnswer]:
    """Undo an edit, or the last, where nothing that rests on it came since."""
    return _edit(gallery, "undo", {"version": version}, idempotency_key)


def list_edits(gallery: str) -> Call[answers.EditsAnswer]:
    """List the edits that can be undone, the newest first."""
    return getting(path_of("galleries", gallery, "edits"), answers.EditsAnswer)


def similar_identities(
    gallery: str, identity: str, *, top: int | None = None
) -> Call[answers.SimilarAnswer]:
    """Say who is most like an identity."""
    path = path_of("galleries", gallery, "identities", identity, "similar")
    return getting(path, answers.SimilarAnswer, top=top)


def get_preview(gallery: str, identity: str, sample: str) -> Call[bytes]:
    """Show a sample that is kept: a small PNG, or its text in UTF-8."""
    path = path_of("galleries", gallery, "identities", identity, "samples", sample, "preview")
    return Call("GET", path, bytes, repeatable=True)


def get_decision(decision: str) -> Call[answers.DecisionAnswer]:
    """Tell a decision again as it was made, as long as it is remembered."""
    return getting(path_of("decisions", decision), answers.DecisionAnswer)


def give_feedback(
    decision: str,
    verdict: Literal["confirm", "reject"],
    *,
    identity: str | None = None,
    sample: Sample | None = None,
) -> Call[answers.FeedbackAnswer]:
    """Confirm a decision, which enrolls its sample; or reject it, which later decisions know.

    The sample is sent again where the service does not keep it; `identity` is one of the
    candidates, unsaid the first.
    """
    fields = {
        "decision": decision,
        "verdict": verdict,
        "identity": identity,
        "files": None if sample is None else documents_of([sample]),
    }
    read_answer = read_as(answers.FeedbackAnswer)
    return Call("POST", "/feedback", read_answer, in_json(fields), writes=TOLD)


def list_rejections(gallery: str) -> Call[answers.RejectionsAnswer]:
    """List what was said not to be whom, the oldest first."""
    return getting(path_of("galleries", gallery, "rejections"), answers.RejectionsAnswer)


def take_rejection_back(gallery: str, rejection: str) -> Call[answers.Forgotten]:
    """Take a rejection back: the next decision knows nothing of it."""
    path = path_of("galleries", gallery, "rejections", rejection)
    return Call("DELETE", path, read_as(answers.Forgotten), writes=gallery)


def _edit(
    gallery: str, what: str, fields: Mapping[str, object], key: str | None
) -> Call[answers.EditAnswer]:
    return Call(
        "POST",
        path_of("galleries", gallery, what),
        read_as(answers.EditAnswer),
        in_json(fields),
        headers={"idempotency-key": key or uuid.uuid4().hex},
        repeatable=True,
        writes=gallery,
    )
