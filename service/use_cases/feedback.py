"""What people say of decisions: confirmed, and so enrolled; or rejected, which later ones know."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from models_store import Given, ReadyEmbedding
from service.callers.keys import Caller
from service.parameters import InvalidParameter
from service.store.edits import EditStore
from service.store.errors import ModelMismatch, UnknownGallery
from service.use_cases.decisions import Decided, Decisions, UnknownDecision
from service.use_cases.enrolling import fingerprint
from service.use_cases.recogniser import Recogniser

Verdict = Literal["confirm", "reject"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a verdict: `sample` is the one enrolled, `rejection` what is remembered."""

    gallery: str
    identity: str
    verdict: Verdict
    version: int
    sample: int | None
    outcome: Literal["added", "duplicate"] | None
    rejection: str | None
    warnings: list[str]


def decision_of(
    recogniser: Recogniser, decisions: Decisions, caller: Caller, decision: str
) -> Decided:
    """Return a decision that a caller may see, or raise UnknownDecision.

    That is one of a gallery in scope, whose candidates are still enrolled by the names that were
    told; who sees decisions only sees its own.
    """
    kept = decisions.get(decision)
    try:
        replica = recogniser.gallery(kept.gallery)
    except UnknownGallery:
        raise UnknownDecision("there is no such decision, or no more") from None
    if not caller.sees_figures and kept.caller != caller.name:
        raise UnknownDecision("there is no such decision, or no more")
    named = [each.identity for each in kept.result.candidates]
    if kept.result.runner_up is not None:
        named.append(kept.result.runner_up)
    if not replica.index.knows(named):
        decisions.drop(decision)
        raise UnknownDecision("there is no such decision, or no more")
    return kept


async def judge(
    recogniser: Recogniser,
    edits: EditStore,
    kept: Decided,
    verdict: Verdict,
    identity: str | None,
    sent: Given | None,
) -> Judged:
    """Enroll a decision's probe under a candidate, or remember that it is not them."""
    candidates = [each.identity for each in kept.result.candidates]
    if not candidates:
        raise InvalidParameter("decision", "expected one with a candidate: nobody was enrolled")
    name = identity or candidates[0]
    if name not in candidates:
        raise InvalidParameter("identity", "expected one of the decision's candidates")
    if verdict == "confirm":
        return await _confirm(recogniser, edits, kept, name, sent)
    if sent is not None:
        raise InvalidParameter("files", "expected none with a rejection")
    if recogniser.gallery(kept.gallery).comparator is not kept.comparator:
        raise ModelMismatch("the gallery has got another comparator since: identify it again")
    done = await recogniser.change(
        kept.gallery,
        "edit",
        lambda: edits.reject(kept.gallery, kept.comparator.digest, name, kept.embedding),
    )
    return Judged(kept.gallery, name, verdict, done.version, None, None, done.id, [])


async def _confirm(
    recogniser: Recogniser, edits: EditStore, kept: Decided, name: str, sent: Given | None
) -> Judged:
    """Enroll a probe; that it is not them, if somebody said so before, is taken back."""
    if sent is not None and fingerprint(sent) != kept.fingerprint:
        raise InvalidParameter("files", "expected the same sample as was identified")
    given = sent or kept.sample
    if given is None:
        replica = recogniser.gallery(kept.gallery)
        if replica.comparator is not kept.comparator or not kept.comparator.manifest.tied:
            raise InvalidParameter("files", "expected the sample again, for none was kept")
        given = ReadyEmbedding(kept.embedding)
    done = await recogniser.enroll(kept.gallery, name, [given])
    [sample] = done.samples
    version = done.version
    replica = recogniser.gallery(kept.gallery)
    for each in list(replica.rejections):
        same = np.array_equal(each.embedding, kept.embedding)
        if same and replica.names.get(each.identity) == name:
            change = await recogniser.change(
                kept.gallery, "edit", partial(edits.accept, kept.gallery, each.id)
            )
            version = change.version
    return Judged(
        kept.gallery,
        name,
        "confirm",
        version,
        sample.id,
        sample.outcome,
        None,
        done.warnings,
    )
