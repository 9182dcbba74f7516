"""What a request says beside its samples, as openapi.yaml has it."""

import json
import unicodedata
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.parameters import InvalidParameter
from service.uploads import MalformedBody, TooLarge, Upload, parse_json

GALLERY_PATTERN = r"^[A-Za-z0-9._~-]{1,128}$"
RESERVED_IN_NAMES = frozenset(':{}*/\\<>"%?')
LONGEST_NAME = 128

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
    if any(c in RESERVED_IN_NAMES or unicodedata.category(c)[0] == "C" for c in name):
        raise ValueError("expected a name without control, invisible or reserved characters")
    return name


def bound_metadata(metadata: dict[str, Any] | None, limit: int) -> None:
    """Raise TooLarge if the metadata is more than `limit` bytes of JSON."""
    if metadata is not None and len(json.dumps(metadata, ensure_ascii=False).encode()) > limit:
        raise TooLarge(f"expected metadata of at most {limit} bytes")


GalleryName = Annotated[str, Field(pattern=GALLERY_PATTERN), AfterValidator(_gallery_name)]
IdentityName = Annotated[str, AfterValidator(identity_name)]


class RequestFields(BaseModel):
    """What a request says beside its samples; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
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
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise InvalidParameter(where, first["msg"]) from None

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
    """Body of `POST /galleries`."""

    name: GalleryName
    comparator: str | None = None
    rule: Rule | None = None
    target_fpir: Rate | None = None
    prior_known: Rate | None = None
    keep_samples: Literal[False] = False  # keeping them is not built yet


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


class MetadataFields(RequestFields):
    """Body of `PATCH /galleries/{gallery}/identities/{identity}`."""

    metadata: dict[str, Any]


class IdentifyFields(RequestFields):
    """Fields of `POST /identify`."""

    gallery: GalleryName = "default"
    target_fpir: Rate | None = None
    threshold: Share | None = None
    rule: Rule | None = None
    k: int = Field(5, ge=1, le=100)
    top: int = Field(5, ge=1, le=100)


class ClusterFields(RequestFields):
    """Fields of `POST /cluster`."""

    comparator: str | None = None
    gallery: GalleryName | None = None
    threshold: Share | None = None
    target_fmr: Rate | None = None
    target_purity: Rate | None = None
    method: Literal["linkage", "leader"] = "linkage"


class CohortFields(RequestFields):
    """Fields of `POST /galleries/{gallery}/cohort`: whose each file is, if not all strangers."""

    lists = frozenset({"identities"})

    identities: list[str] | None = None


class EvaluateFields(RequestFields):
    """Fields of `POST /evaluate`: whose each file is, and what is measured by."""

    lists = frozenset({"identities", "groups"})

    identities: list[str] | None = None
    groups: list[str] | None = None
    comparator: str | None = None
    gallery: GalleryName | None = None
    apply: bool = False
    html: bool = False
    seed: int = Field(0, ge=0, lt=2**32)
