"""What can go wrong with a call: an exception for each type of problem that the service tells."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class KindredError(Exception):
    """Whatever the client raises of itself."""


class Unreachable(KindredError):
    """No answer came: nobody listens there, or the connection ended before the answer did.

    A write that was under way may or may not have been done.
    """


class UnexpectedAnswer(KindredError):
    """What came is nothing that this service answers: something else may be listening there."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Problem(KindredError):
    """An error that the service tells, as RFC 9457 has it; each type has a class of its own.

    `detail` says what was expected, `instance` is the request's id in the service's log. `outcome`
    tells of a write: `absent`, nothing was written; `unknown`, it may or may not have been.
    `retry_after` is in seconds. A type that this client does not know is this class.
    """

    slug: ClassVar[str] = ""
    usual_status: ClassVar[int] = 0

    def __init__(
        self,
        detail: str,
        *,
        type: str = "about:blank",
        title: str = "",
        status: int = 0,
        instance: str | None = None,
        outcome: str | None = None,
        identities: tuple[str, ...] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.type = type
        self.title = title
        self.status = status or self.usual_status
        self.instance = instance
        self.outcome = outcome
        self.identities = identities
        self.retry_after = retry_after

    def document(self) -> dict[str, Any]:
        """Return it as the service wrote it, without what it left out."""
        names = ("type", "title", "status", "detail", "instance", "outcome", "identities")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class MalformedBody(Problem):
    """The body breaks the grammar of its media type."""

    slug, usual_status = "malformed-body", 400


class MalformedRequest(Problem):
    """The request line or a header is malformed."""

    slug, usual_status = "malformed-request", 400


class HeadersTooLarge(Problem):
    """The request's head is too long."""

    slug, usual_status = "headers-too-large", 431


class Unauthenticated(Problem):
    """The service wants an API key, and none that holds was sent."""

    slug, usual_status = "unauthenticated", 401


class Forbidden(Problem):
    """The key's role is too low, or the name of the host is not let in."""

    slug, usual_status = "forbidden", 403


class QuotaExceeded(Problem):
    """The key has asked for what it may; `retry_after` says when there is more."""

    slug, usual_status = "quota-exceeded", 429


class NotFound(Problem):
    """There is no such gallery, identity, sample, comparator or migration."""

    slug, usual_status = "not-found", 404


class MethodNotAllowed(Problem):
    """The path has no such method: the service may be older than this client."""

    slug, usual_status = "method-not-allowed", 405


class AlreadyExists(Problem):
    """There is a gallery of that name."""

    slug, usual_status = "already-exists", 409


class MigrationConflict(Problem):
    """A migration is not where it must be for that."""

    slug, usual_status = "migration-conflict", 409


class OriginalsMissing(Problem):
    """Another comparator cannot embed all samples; `identities` names the first of whom."""

    slug, usual_status = "originals-missing", 409


class EditConflict(Problem):
    """What an edit was about is not as it was, or was undone already."""

    slug, usual_status = "edit-conflict", 409


class SampleNotKept(Problem):
    """The gallery has no upload of that sample, which is there as its embedding alone."""

    slug, usual_status = "sample-not-kept", 404


class TooLarge(Problem):
    """The request passes a limit; `detail` says which."""

    slug, usual_status = "too-large", 413


class UnsupportedMedia(Problem):
    """The body is of a kind that is not read there."""

    slug, usual_status = "unsupported-media", 415


class InvalidParameter(Problem):
    """A parameter breaks a rule; `detail` names both."""

    slug, usual_status = "invalid-parameter", 422


class TargetUnresolvable(Problem):
    """The evidence cannot tell that error rate from zero."""

    slug, usual_status = "target-unresolvable", 422


class UndecodableInput(Problem):
    """A sample cannot be decoded."""

    slug, usual_status = "undecodable-input", 422


class InputOutOfBounds(Problem):
    """A sample is larger or longer than the limits allow."""

    slug, usual_status = "input-out-of-bounds", 422


class DegenerateInput(Problem):
    """A sample has no usable embedding."""

    slug, usual_status = "degenerate-input", 422


class DoubtfulEnrollment(Problem):
    """A sample seems to be somebody else's, and the service refuses such."""

    slug, usual_status = "doubtful-enrollment", 422


class ModelMismatch(Problem):
    """The comparator does not compare that kind, or is not the gallery's."""

    slug, usual_status = "model-mismatch", 422


class IdempotencyKeyReused(Problem):
    """The idempotency key belongs to another payload."""

    slug, usual_status = "idempotency-key-reused", 422


class NotEvaluable(Problem):
    """The samples make no evaluation; `detail` says what it takes."""

    slug, usual_status = "not-evaluable", 422


class ReceiveTimeout(Problem):
    """The request took too long to come."""

    slug, usual_status = "receive-timeout", 408


class Overloaded(Problem):
    """More work waits than is done in time. Nothing was done."""

    slug, usual_status = "overloaded", 503


class NotReady(Problem):
    """The service is not ready for that; `Client.ready` has the reasons."""

    slug, usual_status = "not-ready", 503


class StoreUnavailable(Problem):
    """The identity store does not answer."""

    slug, usual_status = "store-unavailable", 503


class StoreReadOnly(Problem):
    """The identity store takes no writes now. Nothing was written."""

    slug, usual_status = "store-read-only", 503


class StoreFull(Problem):
    """The identity store has no room. Nothing was written."""

    slug, usual_status = "store-full", 503


class NotDurable(Problem):
    """The write was done, but not confirmed to be on disk."""

    slug, usual_status = "not-durable", 503


class ReplicaBehind(Problem):
    """The process that answered has not applied what this client wrote."""

    slug, usual_status = "replica-behind", 503


class DeadlineExceeded(Problem):
    """The request took longer than the service allows."""

    slug, usual_status = "deadline-exceeded", 504


class InternalError(Problem):
    """A defect of the service; its log has `instance` and the traceback."""

    slug, usual_status = "internal-error", 500


def problem_of(document: Mapping[str, Any], retry_after: float | None = None) -> Problem:
    """Return the exception that a body of `application/problem+json` tells."""
    kind = str(document.get("type", "about:blank"))
    cls = _BY_SLUG.get(kind.rpartition("#")[2], Problem)
    identities = document.get("identities")
    return cls(
        str(document.get("detail", document.get("title", ""))),
        type=kind,
        title=str(document.get("title", "")),
        status=int(document.get("status", 0)),
        instance=document.get("instance"),
        outcome=document.get("outcome"),
        identities=None if identities is None else tuple(identities),
        retry_after=retry_after,
    )


def kinds() -> Iterator[type[Problem]]:
    """Yield the class of every type of problem."""
    yield from _BY_SLUG.values()


_BY_SLUG: dict[str, type[Problem]] = {cls.slug: cls for cls in Problem.__subclasses__()}
