"""Samples compared, enrolled under a name, named, clustered, and measured."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Literal, TypeVar

from kindred import answers
from kindred.calls.call import NDJSON, Call, Rule, Samples, Side, in_json, read_as
from kindred.samples import Sample, document_of, documents_of

T = TypeVar("T")


def verify(
    a: Sample,
    b: Sample,
    *,
    comparator: str | None = None,
    target_fmr: float | None = None,
    threshold: float | None = None,
) -> Call[answers.VerifyAnswer]:
    """Say whether two samples are the same, at a rate of false matches or a threshold."""
    said = {"comparator": comparator, "target_fmr": target_fmr, "threshold": threshold}
    fields = {"a": document_of(a), "b": document_of(b)} | said
    return Call("POST", "/verify", read_as(answers.VerifyAnswer), in_json(fields), repeatable=True)


def embed(
    samples: Samples, *, comparator: str | None = None, side: Side = "a"
) -> Call[answers.EmbedAnswer]:
    """Return the vectors that search compares; `side` is whose encoder makes them."""
    fields = {"files": documents_of(samples), "comparator": comparator, "side": side}
    return Call("POST", "/embed", read_as(answers.EmbedAnswer), in_json(fields), repeatable=True)


def enroll(
    identity: str,
    samples: Samples,
    *,
    gallery: str = "default",
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[answers.EnrollAnswer]:
    """Keep samples under an identity: what is answered is not lost.

    Each call has an idempotency key of its own, so that trying again does nothing twice; with one
    of yours that holds for the next run of your program, too.
    """
    fields = {"gallery": gallery, "identity": identity, "files": documents_of(samples)}
    return Call(
        "POST",
        "/enroll",
        read_as(answers.EnrollAnswer),
        in_json(fields | {"metadata": metadata}),
        headers={"idempotency-key": idempotency_key or uuid.uuid4().hex},
        repeatable=True,
        writes=gallery,
    )


def enroll_bulk(
    lines: Iterable[bytes], read_answer: Callable[[bytes], T], *, gallery: str = "default"
) -> Call[T]:
    """Enroll a sample a line; `Client.enroll_many` makes the lines and reads what comes.

    The same bytes under one identity are one sample, so it may be sent again.
    """
    return Call(
        "POST",
        "/enroll/bulk",
        read_answer,
        {"content": b"".join(lines)},
        headers=NDJSON,
        params={"gallery": gallery},
        repeatable=True,
        writes=gallery,
    )


def identify(
    samples: Samples,
    *,
    gallery: str = "default",
    target_fpir: float | None = None,
    threshold: float | None = None,
    rule: Rule | None = None,
    k: int | None = None,
    top: int | None = None,
) -> Call[answers.IdentifyAnswer]:
    """Say whose each sample is, or that it is nobody's who is enrolled.

    It knows whatever this client has written to the gallery before.
    """
    said = {"target_fpir": target_fpir, "threshold": threshold, "rule": rule, "k": k, "top": top}
    fields = {"gallery": gallery, "files": documents_of(samples)} | said
    body = in_json(fields)
    read_answer = read_as(answers.IdentifyAnswer)
    return Call("POST", "/identify", read_answer, body, repeatable=True, sees=gallery)


def cluster(
    samples: Samples | None = None,
    *,
    gallery: str | None = None,
    comparator: str | None = None,
    threshold: float | None = None,
    target_fmr: float | None = None,
    target_purity: float | None = None,
    method: Literal["linkage", "leader"] | None = None,
    side: Side | None = None,
) -> Call[answers.ClusterAnswer]:
    """Say which samples, or which of a gallery, belong together."""
    fields = {
        "files": None if samples is None else documents_of(samples),
        "gallery": gallery,
        "comparator": comparator,
        "threshold": threshold,
        "target_fmr": target_fmr,
        "target_purity": target_purity,
        "method": method,
        "side": side,
    }
    read_answer = read_as(answers.ClusterAnswer)
    return Call("POST", "/cluster", read_answer, in_json(fields), repeatable=True, slow=True)


def evaluate(
    samples: Samples | None = None,
    *,
    archive: BinaryIO | None = None,
    identities: Iterable[str] | None = None,
    groups: Iterable[str] | None = None,
    sides: Iterable[Side] | None = None,
    comparator: str | None = None,
    gallery: str | None = None,
    apply: bool = False,
    html: bool = False,
    seed: int = 0,
) -> Call[answers.EvaluateAnswer]:
    """Measure a comparator on labelled samples, or on an open zip of a folder for each identity.

    Of a comparator of two encoders `sides` tell which of them embeds each sample; in a zip folders
    `a` and `b` around the others do. With `apply` the gallery is judged by these identities from
    now on.
    """
    said = {
        "identities": None if identities is None else list(identities),
        "groups": None if groups is None else list(groups),
        "sides": None if sides is None else list(sides),
        "comparator": comparator,
        "gallery": gallery,
    }
    flags = {"apply": apply, "html": html, "seed": seed}
    if archive is None:
        body = in_json({"files": documents_of(samples or ())} | said | flags)
    else:
        words = {name: str(value).lower() for name, value in flags.items()}
        given = {name: value for name, value in said.items() if value is not None}
        body = {"data": given | words, "files": {"archive": archive}}
    read_answer = read_as(answers.EvaluateAnswer)
    return Call("POST", "/evaluate", read_answer, body, repeatable=not apply, slow=True)
