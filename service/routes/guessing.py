"""What a caller who sees decisions only may not do, so that those tell no template."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from models_store import Given, ReadyEmbedding
from service.answers import bands
from service.callers.keys import Caller
from service.callers.quotas import Questions, QuotaExceeded, question
from service.edge.access import Forbidden
from service.requests.fields import IdentifyFields, VerifyFields
from service.use_cases.enrolling import fingerprint
from service.use_cases.results import Identifications

USUAL_RATES = (0.001, 0.01, 0.05, 0.1)
"""Target rates that may be asked for: with any rate or threshold, a score can be closed in on."""


def demand_samples(caller: Caller, files: Sequence[Given]) -> None:
    """Raise Forbidden if a caller who sees decisions only sends embeddings of its own making."""
    if not caller.sees_figures and any(isinstance(one, ReadyEmbedding) for one in files):
        raise Forbidden("role", "expected samples: ready embeddings take a key of role read")


def demand_usual_terms(caller: Caller, asked: IdentifyFields | VerifyFields) -> None:
    """Raise Forbidden if a caller who sees decisions only asks by another measure than usual."""
    if caller.sees_figures:
        return
    terms = asked.model_dump(include={"threshold", "rule", "target_fpir", "target_fmr"})
    for field, value in terms.items():
        if value is None:
            continue
        if not field.startswith("target"):
            raise Forbidden("role", f"{field}: expected a key of role read to choose it")
        if value not in USUAL_RATES:
            usual = ", ".join(f"{rate:g}" for rate in USUAL_RATES)
            rule = f"{field}: expected one of {usual}, or a key of role read"
            raise Forbidden("role", rule)


@contextmanager
def one_more_pair(
    questions: Questions, caller: Caller, a: Given, b: Given, terms: Mapping[str, Any]
) -> Iterator[Callable[[bands.Band], None]]:
    """Yield what is to be told how sure the answer is; raise QuotaExceeded if it is one too many.

    A pair counts as a question about either sample, unless the answer is certain.
    """
    limit = caller.quota.probes_per_identity
    if limit is None:
        yield lambda _band: None
        return
    subjects = {question("pair", caller.name, fingerprint(one)) for one in (a, b)}
    asked = question(fingerprint(a), fingerprint(b), sorted(terms.items()))
    for subject in subjects:
        questions.demand(subject, limit, asked)

    def tell(band: bands.Band) -> None:
        if band != "certain":
            for subject in subjects:
                questions.note(subject, limit, asked)

    yield tell


def within_quota(
    questions: Questions,
    caller: Caller,
    asked: IdentifyFields,
    files: Sequence[Given],
    found: Identifications,
) -> Identifications:
    """Return the decisions that a caller may have; the others are failures, or raised.

    A decision short of certain counts as a question about the identity that came first. Whom a
    refusal is about would itself tell: a caller who goes on after as many in a gallery gets none.
    """
    limit = caller.quota.probes_per_identity
    if limit is None:
        return found
    refusals = question("refusals", caller.name, asked.gallery)
    questions.demand(refusals, limit)
    failures = dict(found.failures)
    kept = []
    for row, (i, result) in enumerate(zip(found.indices, found.results, strict=True)):
        if bands.of_decision(result) != "certain" and result.candidates:
            first = result.candidates[0].identity
            terms = asked.model_dump(exclude={"top"})
            which = question(fingerprint(files[i]), sorted(terms.items()))
            try:
                questions.note(question("identity", asked.gallery, first), limit, which)
            except QuotaExceeded as error:
                questions.note(refusals, limit, which)
                failures[i] = error
                continue
        kept.append(row)
    if len(files) == 1 and failures:
        raise next(iter(failures.values()))
    return replace(
        found,
        indices=[found.indices[row] for row in kept],
        results=[found.results[row] for row in kept],
        embeddings=found.embeddings[kept],
        failures=failures,
    )
