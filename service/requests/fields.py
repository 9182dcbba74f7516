"""What a request says beside its samples, as openapi.yaml has it."""

import json
import re
import unicodedata
from functools import cache
from itertools import groupby
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Interval
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from service.parameters import UNKNOWN, InvalidParameter, rule_told
from service.requests.strict_json import parse_json
from service.requests.upload import MalformedBody, TooLarge, Upload

GALLERY_PATTERN = r"^[A-Za-z0-9._~-]{1,128}$"
RESERVED_IN_NAMES = frozenset(':{}*/\\<>"%?')
LONGEST_NAME = 128
DEEPEST_METADATA = 32  # lists and objects within each other
MOST_MARKS = 30  # on one character, as Unicode's stream-safe text has it (UAX #15)
_DIGITS = re.compile(r"-?[0-9]{1,20}")

Names = Annotated[list[str], Field(fail_fast=True)]  # of a long list, the first error is enough
Rule = Literal["max", "mean", "centroid", "knn"]
Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _gallery_name(name: str) -> str:
    if name in (".", ".."):
        raise ValueError("expected a name other than . and ..")
    return name


def identity_name(name: str) -> str:
    """Return the name of an identity in NFC, so that its spellings are one identity.

    Raises ValueError if it is empty, long, padded with spaces, or holds control, format,
    surrogate or reserved characters.
    """
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"expected 1 to {LONGEST_NAME} characters")
    name = unicodedata.normalize("NFC", name)
    if name.strip() != name or name in (".", ".."):
        raise ValueError("expected a name without spaces around it, other than . and ..")
    usual = name.isascii() and name.isprintable()  # and so without marks too
    if not RESERVED_IN_NAMES.isdisjoint(name) or not (
        usual or all(unicodedata.category(c)[0] != "C" for c in name)
    ):
        raise ValueError("expected a name without control, invisible or reserved characters")
    if usual:
        return name
    runs = groupby(unicodedata.normalize("NFD", name), lambda c: unicodedata.combining(c) > 0)
    if any(marks and len(list(run)) > MOST_MARKS for marks, run in runs):
        raise ValueError(f"expected at most {MOST_MARKS} marks on one character")
    return name


def _in_digits(value: Any) -> Any:
    """Let a number in text be of ASCII digits only: no 1_000, and none of other scripts."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("expected a whole number in digits")
    return value


def bound_metadata(metadata: dict[str, Any] | None, limit: int) -> None:
    """Raise TooLarge if the metadata is more than `limit` bytes of JSON.

    Raises InvalidParameter if it is nested too deep to be read again everywhere, holds a number
    that is not finite, or is no text that can be written.
    """
    if metadata is None:
        return
    _bound_values(metadata, limit)
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError as error:
        raise InvalidParameter("metadata", "expected text without lone surrogates") from error
    except ValueError as error:
        raise InvalidParameter("metadata", "expected finite numbers") from error
    if size > limit:
        raise TooLarge(f"expected metadata of at most {limit} bytes")


def _bound_values(metadata: dict[str, Any], limit: int) -> None:
    """Refuse what is nested too deep; and what cannot but be too long, before it is written."""
    waiting: list[tuple[Any, int]] = [(metadata, 1)]
    size = 0
    while waiting:
        value, depth = waiting.pop()
        if not isinstance(value, dict | list | str):
            continue
        size += len(value)  # an item takes a byte at least, as a character does
        if size > limit:
            raise TooLarge(f"expected metadata of at most {limit} bytes")
        if isinstance(value, str):
            continue
        if depth > DEEPEST_METADATA:
            rule = f"expected at most {DEEPEST_METADATA} lists and objects within each other"
            raise InvalidParameter("metadata", rule)
        inner = value.values() if isinstance(value, dict) else value
        waiting += ((each, depth + 1) for each in inner)


GalleryName = Annotated[str, Field(pattern=GALLERY_PATTERN), AfterValidator(_gallery_name)]
DIGITS = BeforeValidator(_in_digits)
IdentityName = Annotated[str, AfterValidator(identity_name)]
SampleId = Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]


class Closed(BaseModel):
    """What has the fields that it names and no others, which is refused once, however many."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _only_ours(cls, told: Any) -> Any:
        if isinstance(told, dict) and not told.keys() <= _names(cls).keys():
            raise ValueError(f"{UNKNOWN}; expected only {', '.join(_names(cls))}")
        return told


@cache
def _names(model: type[BaseModel]) -> dict[str, None]:
    """Return what the fields of a model are called, in order."""
    fields = model.model_fields.items()
    return dict.fromkeys(field.alias or name for name, field in fields)


class RequestFields(Closed):
    """What a request says beside its samples."""

    model_config = ConfigDict(allow_inf_nan=False)
    lists: ClassVar[frozenset[str]] = frozenset()  # fields that multipart repeats
    documents: ClassVar[frozenset[str]] = frozenset()  # fields that multipart sends as JSON

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """Return the fields of an upload: strict for JSON, read from text for multipart.

        Raises InvalidParameter with the first rule that is broken.
        """
        fields = upload.fields
        if upload.textual:
            fields = {name: cls._from_text(name, texts) for name, texts in fields.items()}
        return cls.read(fields, strict=not upload.textual)

    @classmethod
    def read(cls, fields: dict[str, Any], *, strict: bool) -> Self:
        """Return validated fields, or raise InvalidParameter."""
        try:
            return cls.model_validate(fields, strict=strict)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # Not within `except`: a ValidationError keeps what it found, and by that all frames that
        # it passed, where no garbage collector sees; as the context of ours it would never go.
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidParameter(where, rule_told(first["msg"]))

    @classmethod
    def _from_text(cls, name: str, texts: list[str]) -> Any:
        if name in cls.lists:
            return texts
        if len(texts) > 1:
            raise MalformedBody("expected each field once")
        return parse_json(texts[0].encode()) if name in cls.documents else texts[0]


class VerifyFields(RequestFields):
    """Fields of `POST /verify`."""

    comparator: str | None = None
    target_fmr: Rate | None = None
    threshold: Share | None = None


class EmbedFields(RequestFields):
    """Fields of `POST /embed`."""

    comparator: str | None = None
    side: Literal["a", "b"] = "a"


class GalleryFields(RequestFields):
    """Body of `POST /galleries`.

    `keep_samples` keeps what is uploaded beside its embedding, so that the gallery can be migrated
    to another comparator. `references` is the side of the comparator that embeds what is enrolled;
    the other side embeds what is asked about. Where both have one encoder it makes no difference.
    """

    name: GalleryName
    comparator: str | None = None
    rule: Rule | None = None
    target_fpir: Rate | None = None
    prior_known: Rate | None = None
    keep_samples: bool = False
    references: Literal["a", "b"] = "b"


class MigrateFields(RequestFields):
    """Body of `POST /galleries/{gallery}/migrate`.

    `switch: auto` puts the new comparator in force as soon as it is ready; with `leave_behind`
    even if it cannot embed some samples.
    """

    comparator: str
    switch: Literal["asked", "auto"] = "asked"
    leave_behind: bool = False


class SwitchFields(RequestFields):
    """Body of `…/migration/switch` and `…/migration/rollback`, if there is one."""

    leave_behind: bool = False


class EnrollFields(RequestFields):
    """Fields of `POST /enroll`."""

    documents = frozenset({"metadata"})

    identity: IdentityName
    gallery: GalleryName = "default"
    metadata: dict[str, Any] | None = None


class BulkLine(RequestFields):
    """Fields of one line of `POST /enroll/bulk`, beside its sample."""

    identity: IdentityName
    metadata: dict[str, Any] | None = None


class IdentityFields(RequestFields):
    """Body of `PATCH /galleries/{gallery}/identities/{identity}`: one of the two.

    A new `name` can be undone; `metadata` takes the place of what was there, which is gone.
    """

    name: IdentityName | None = None
    metadata: dict[str, Any] | None = None


class GalleryPatch(RequestFields):
    """Body of `PATCH /galleries/{gallery}`: what is named is replaced, null by the usual.

    Without a `rule` the gallery chooses one, or decides by the comparator's.
    """

    rule: Rule | None = None
    target_fpir: Rate | None = None
    prior_known: Rate | None = None


class MergeFields(RequestFields):
    """Body of `POST /galleries/{gallery}/merge`: all samples of `from` are to be `into`'s."""

    from_: IdentityName = Field(alias="from")
    into: IdentityName


class SplitFields(RequestFields):
    """Body of `POST /galleries/{gallery}/split`: samples of an identity that are another's.

    `into` is made if there is none of that name; if there is, the samples are moved.
    """

    identity: IdentityName
    samples: Annotated[list[SampleId], Field(min_length=1, max_length=10_000, fail_fast=True)]
    into: IdentityName


class UndoFields(RequestFields):
    """Body of `POST /galleries/{gallery}/undo`, if there is one: which edit, or else the last."""

    version: Annotated[int, Field(gt=0, lt=2**53)] | None = None


class IdentifyFields(RequestFields):
    """Fields of `POST /identify`."""

    gallery: GalleryName = "default"
    target_fpir: Rate | None = None
    threshold: Share | None = None
    rule: Rule | None = None
    k: Annotated[int, Interval(ge=1, le=100), DIGITS] = 5
    top: Annotated[int, Interval(ge=1, le=100), DIGITS] = 5


class FeedbackFields(RequestFields):
    """Fields of `POST /feedback`: what somebody says of a decision.

    `confirm` enrolls the sample, sent again as `files` where the decision was made without keeping
    it, and `reject` remembers that it is not them. `identity` is one of the candidates, unsaid the
    first.
    """

    decision: str = Field(pattern=r"^[0-9a-f]{24}$")
    verdict: Literal["confirm", "reject"]
    identity: IdentityName | None = None


class ClusterFields(RequestFields):
    """Fields of `POST /cluster`; `side` is whose encoder embeds the files, unsaid a's."""

    comparator: str | None = None
    gallery: GalleryName | None = None
    threshold: Share | None = None
    target_fmr: Rate | None = None
    target_purity: Rate | None = None
    method: Literal["linkage", "leader"] = "linkage"
    side: Literal["a", "b"] | None = None


class CohortFields(RequestFields):
    """Fields of `POST /galleries/{gallery}/cohort`: whose each file is, if not all strangers."""

    lists = frozenset({"identities"})

    identities: Names | None = None


class EvaluateFields(RequestFields):
    """Fields of `POST /evaluate`: whose each file is, and what is measured by.

    `sides` are for a comparator of two encoders: by which of them each file is embedded.
    """

    lists = frozenset({"identities", "groups", "sides"})

    identities: Names | None = None
    groups: Names | None = None
    sides: Annotated[list[Literal["a", "b"]], Field(fail_fast=True)] | None = None
    comparator: str | None = None
    gallery: GalleryName | None = None
    apply: bool = False
    html: bool = False
    seed: Annotated[int, Interval(ge=0, lt=2**32), DIGITS] = 0


_NAMES = frozenset(name for model in RequestFields.__subclasses__() for name in _names(model))


def field_name(name: str) -> str:
    """Return what a problem may call a field: by its name, if that is one of ours."""
    return name if name in _NAMES else UNKNOWN
