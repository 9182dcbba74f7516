"""Which error is which RFC 9457 problem: the one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel

from index import TargetUnresolvable
from models_store import (
    Degenerate,
    SampleOutOfBounds,
    Undecodable,
    WrongDimension,
    WrongModality,
)
from service.callers.quotas import QuotaExceeded
from service.children.evaluation_runs import EvaluationsBusy, NotEvaluable
from service.children.starting import tells_of_memory
from service.edge.access import Forbidden, Unauthenticated
from service.edge.clients import ReceiveTimeout
from service.embedding.batching import Overloaded
from service.parameters import InvalidParameter
from service.replicas.erasure import UnknownReceipt
from service.replicas.galleries import NotReady
from service.replicas.replica import ReplicaBehind
from service.requests.upload import MalformedBody, TooLarge, UnsupportedMedia
from service.store.errors import (
    EditConflict,
    GalleryExists,
    IdempotencyKeyReused,
    IdentityExists,
    ImportBroken,
    MigrationConflict,
    ModelMismatch,
    NotDurable,
    OriginalsFull,
    OriginalsMissing,
    RejectionsFull,
    StoreError,
    StoreFull,
    StoreNotReady,
    StoreReadOnly,
    StoreUnavailable,
    UnknownEdit,
    UnknownGallery,
    UnknownIdentity,
    UnknownMigration,
    UnknownRejection,
    UnknownSample,
)
from service.use_cases.decisions import UnknownDecision
from service.use_cases.enrolling import Doubtful
from service.use_cases.previews import SampleNotKept
from service.use_cases.recogniser import UnknownComparator

MEDIA_TYPE = "application/problem+json"
DOCUMENT = "/docs/problems.md"
LONGEST_DETAIL = 1000


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    outcome: Literal["absent", "unknown"] | None = None  # of a write, where the store tells
    identities: list[str] | None = None  # whom it is about, where that is not the request's


class DeadlineExceeded(Exception):
    """The request was not answered in time."""

    outcome: Literal["absent", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of problem; docs/problems.md has a heading for its slug."""

    status: HTTPStatus
    slug: str
    title: str

    wait: int = 1  # seconds until trying again may help, where it may

    @property
    def retry_after(self) -> int | None:
        """Seconds after which to try again, where trying again may help."""
        return self.wait if self.status == HTTPStatus.SERVICE_UNAVAILABLE else None

    def problem(self, detail: str, instance: str | None = None) -> Problem:
        """Return the body of this problem."""
        return Problem(
            type=f"{DOCUMENT}#{self.slug}",
            title=self.title,
            status=self.status,
            detail=detail[:LONGEST_DETAIL],
            instance=instance,
        )


INTERNAL = Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "A defect of the service")
MALFORMED_REQUEST = Kind(HTTPStatus.BAD_REQUEST, "malformed-request", "The request is malformed")
HEADERS_TOO_LARGE = Kind(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers-too-large",
    "The request's head is too long",
)
NOT_FOUND = Kind(HTTPStatus.NOT_FOUND, "not-found", "There is no such thing")
METHOD_NOT_ALLOWED = Kind(
    HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", "The path has no such method"
)
OUT_OF_MEMORY = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "There was no memory left for that"
)
_INVALID = Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-parameter", "A parameter breaks a rule")
_STORE_DOWN = Kind(
    HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "The identity store does not answer"
)

PROBLEMS: Mapping[type[Exception], Kind] = MappingProxyType(
    {
        MalformedBody: Kind(HTTPStatus.BAD_REQUEST, "malformed-body", "The body is malformed"),
        ImportBroken: Kind(HTTPStatus.BAD_REQUEST, "malformed-body", "The body is malformed"),
        Unauthenticated: Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "An API key is needed"),
        Forbidden: Kind(HTTPStatus.FORBIDDEN, "forbidden", "Who asks may not do that"),
        QuotaExceeded: Kind(
            HTTPStatus.TOO_MANY_REQUESTS, "quota-exceeded", "The key has asked for what it may"
        ),
        UnknownGallery: NOT_FOUND,
        UnknownIdentity: NOT_FOUND,
        UnknownSample: NOT_FOUND,
        UnknownEdit: NOT_FOUND,
        UnknownRejection: NOT_FOUND,
        UnknownDecision: NOT_FOUND,
        SampleNotKept: Kind(
            HTTPStatus.NOT_FOUND, "sample-not-kept", "Of the sample only an embedding is kept"
        ),
        UnknownComparator: NOT_FOUND,
        UnknownReceipt: NOT_FOUND,
        UnknownMigration: NOT_FOUND,
        ReceiveTimeout: Kind(
            HTTPStatus.REQUEST_TIMEOUT, "receive-timeout", "The request took too long to come"
        ),
        GalleryExists: Kind(HTTPStatus.CONFLICT, "already-exists", "There is one already"),
        IdentityExists: Kind(HTTPStatus.CONFLICT, "already-exists", "There is one already"),
        EditConflict: Kind(
            HTTPStatus.CONFLICT, "edit-conflict", "What the edit rests on has changed"
        ),
        MigrationConflict: Kind(
            HTTPStatus.CONFLICT, "migration-conflict", "The migration is not at that point"
        ),
        OriginalsMissing: Kind(
            HTTPStatus.CONFLICT, "originals-missing", "Samples are not there to be embedded again"
        ),
        RejectionsFull: Kind(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request holds too much"
        ),
        OriginalsFull: Kind(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request holds too much"
        ),
        TooLarge: Kind(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request holds too much"
        ),
        UnsupportedMedia: Kind(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media", "The body is of another kind"
        ),
        InvalidParameter: _INVALID,
        TargetUnresolvable: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "target-unresolvable",
            "The evidence cannot resolve that error rate",
        ),
        Undecodable: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY, "undecodable-input", "A sample cannot be decoded"
        ),
        SampleOutOfBounds: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY, "input-out-of-bounds", "A sample is out of bounds"
        ),
        Degenerate: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY, "degenerate-input", "A sample has no usable embedding"
        ),
        Doubtful: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "doubtful-enrollment",
            "A sample seems to be somebody else's",
        ),
        WrongDimension: _INVALID,
        WrongModality: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "model-mismatch",
            "The comparator does not compare that",
        ),
        ModelMismatch: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "model-mismatch",
            "The gallery belongs to another comparator",
        ),
        IdempotencyKeyReused: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "The idempotency key belongs to another payload",
        ),
        Overloaded: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "More work waits than the queue holds"
        ),
        EvaluationsBusy: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "overloaded",
            "There is no room for another evaluation",
            wait=30,
        ),
        MemoryError: OUT_OF_MEMORY,
        NotEvaluable: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY, "not-evaluable", "The samples make no evaluation"
        ),
        NotReady: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The service is not ready for that"
        ),
        ReplicaBehind: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "replica-behind", "This replica is not that far yet"
        ),
        NotDurable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "not-durable", "The write may or may not be kept"
        ),
        StoreNotReady: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The identity store is loading"
        ),
        StoreReadOnly: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "store-read-only", "The identity store takes no writes"
        ),
        StoreFull: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "store-full", "The store is full"),
        StoreUnavailable: _STORE_DOWN,
        StoreError: _STORE_DOWN,
        DeadlineExceeded: Kind(
            HTTPStatus.GATEWAY_TIMEOUT, "deadline-exceeded", "The request took too long"
        ),
    }
)


def kind_of(error: BaseException) -> Kind:
    """Return the kind of problem that an error is; a defect, if no row has it.

    Libraries tell in errors of their own that there was no memory.
    """
    for cls in type(error).__mro__:
        if cls in PROBLEMS:
            return PROBLEMS[cls]
    return OUT_OF_MEMORY if tells_of_memory(str(error)) else INTERNAL


def problem_of(error: BaseException, instance: str | None = None) -> Problem:
    """Return the problem that tells an error, but not in words that a library chose."""
    kind = kind_of(error)
    told = "" if kind in (INTERNAL, OUT_OF_MEMORY) else str(error)
    problem = kind.problem(told or kind.title, instance)
    if isinstance(error, StoreError | DeadlineExceeded):
        problem.outcome = error.outcome
    elif kind is OUT_OF_MEMORY:
        problem.outcome = "unknown"  # it may have been after the write
    if isinstance(error, OriginalsMissing):
        problem.identities = error.identities
    return problem


def slugs() -> tuple[str, ...]:
    """Return every slug, each once."""
    fixed = (MALFORMED_REQUEST, HEADERS_TOO_LARGE, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL)
    return tuple(dict.fromkeys(kind.slug for kind in (*PROBLEMS.values(), *fixed)))
