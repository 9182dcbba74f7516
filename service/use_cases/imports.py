"""An exported gallery is taken in whole, or not at all."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from models_store import Comparator, Degenerate, Modality, Sample, WrongDimension
from models_store.comparator import Array
from service.parameters import InvalidParameter, rule_told
from service.requests.fields import Closed, GalleryFields, IdentityName, bound_metadata
from service.requests.ndjson import split_lines
from service.requests.strict_json import MOST_MEMBERS, MOST_VALUES, parse_json
from service.requests.upload import MalformedBody, TooLarge
from service.store.errors import (
    GalleryExists,
    ImportBroken,
    ModelMismatch,
    StoreError,
    UnknownGallery,
)
from service.store.identities import IdentityStore
from service.store.kept import (
    Counts,
    GallerySettings,
    GalleryState,
    KeptIdentity,
    KeptSample,
    Rejection,
    StoredCohort,
)
from service.use_cases.exports import FORMAT

LINES_AT_ONCE = 256
BYTES_AT_ONCE = 4 * 2**20

Number = Annotated[int, Field(gt=0, lt=2**53)]  # as far as a script counts exactly
Count = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """What an import may hold: bytes of a line, of metadata, of an original; so many others."""

    line: int
    metadata: int
    original: int
    strangers: int
    rejections: int = 1000


class _Part(Closed):
    model_config = ConfigDict(strict=True)


class _About(_Part):
    format: int
    name: str
    comparator: str
    digest: str
    settings: dict[str, Any]
    created: str
    version: Count


class _Sample(_Part):
    id: Number
    created: str
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    embedding: str


class _Identity(_Part):
    number: Number
    name: IdentityName
    created: str
    metadata: dict[str, Any] | None
    samples: Annotated[list[_Sample], Field(fail_fast=True)]


class _Original(_Part):
    identity: Number
    sample: Number
    modality: Modality | None
    content: str


class _Cohort(_Part):
    strangers: Number
    calibration: str | None


class _Stranger(_Part):
    number: int = Field(ge=-(2**63), lt=2**63)
    embedding: str


class _Rejection(_Part):
    identity: Number
    created: str
    embedding: str


class _End(_Part):
    version: Count
    identities: Count
    samples: Count
    last_identity: Count
    last_sample: Count
    strangers: Count
    sha256: str


class _Line(_Part):
    """One line: just one of these."""

    gallery: _About | None = None
    identity: _Identity | None = None
    gone: Number | None = None
    original: _Original | None = None
    cohort: _Cohort | None = None
    stranger: _Stranger | None = None
    rejections: Count | None = None
    rejection: _Rejection | None = None
    end: _End | None = None


async def import_lines(
    store: IdentityStore,
    gallery: str,
    chunks: AsyncIterator[bytes],
    comparators: Mapping[str, Comparator],
    limits: ImportLimits,
) -> GalleryState:
    """Make a gallery of what `export_lines` gave, under a name that is free or of an empty one.

    `comparators` are those served, by digest. Nothing is seen of the gallery before the last line
    is read and all is found to be as it was sent; if it is not, or the request ends before, all
    that was taken in is removed. Raises `GalleryExists`, `ModelMismatch`, `MalformedBody`,
    `ImportBroken`, `TooLarge` or `InvalidParameter`.
    """
    with contextlib.suppress(UnknownGallery):
        if (await store.gallery(gallery)).identities:
            raise GalleryExists("expected the name of no gallery, or of an empty one")
    batches = _batches(split_lines(chunks, limits.line))
    reading = _Reading(gallery, comparators, limits)
    lineage = await store.begin_import(gallery)
    try:
        async for lines in batches:
            staged = await asyncio.to_thread(reading.read, lines)
            if staged.identities:
                await store.stage(gallery, lineage, staged.identities)
            if staged.originals:
                await store.stage_originals(gallery, lineage, staged.originals)
        settings, created, counts = await asyncio.to_thread(reading.finish)
        if cohort := reading.cohort():
            await store.stage_cohort(gallery, lineage, cohort)
        if reading.rejections:
            await store.stage_rejections(gallery, lineage, reading.rejections)
        return await store.finish_import(settings, lineage, created, counts)
    except BaseException:
        with contextlib.suppress(StoreError):  # the next start sweeps it away
            await asyncio.shield(store.abandon_import(gallery, lineage))
        raise


@dataclass(slots=True)
class _Told:
    """What some lines tell; None of an identity that is gone. Who is told again is told whole."""

    identities: dict[int, KeptIdentity | None] = field(default_factory=dict)
    originals: dict[tuple[int, int], Sample] = field(default_factory=dict)

    def tell(self, number: int, identity: KeptIdentity | None) -> None:
        self.identities[number] = identity
        for key in [key for key in self.originals if key[0] == number]:
            del self.originals[key]


@dataclass(slots=True)
class _Reading:
    """What was read of an export so far; identities are handed on, and only ids are kept."""

    name: str
    comparators: Mapping[str, Comparator]
    limits: ImportLimits
    number: int = 0  # of the line
    checksum: Any = field(default_factory=hashlib.sha256)
    about: tuple[GallerySettings, datetime] | None = None
    comparator: Comparator = field(init=False)  # from the first line on
    ids: dict[int, NDArray[np.int64]] = field(default_factory=dict)  # identity → its samples' (n,)
    cohort_about: _Cohort | None = None
    strangers: list[tuple[int, Array]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    rejections_told: int = 0
    end: _End | None = None

    def read(self, lines: list[bytes]) -> _Told:
        """Return what lines tell of identities and of what was sent of them."""
        told = _Told()
        for line in lines:
            self.number += 1
            try:
                self._read_line(line, told)
            except (MalformedBody, ValidationError, ValueError) as error:
                raise MalformedBody(f"line {self.number}: {_what(error)}") from error
            except (InvalidParameter, Degenerate, WrongDimension) as error:
                raise InvalidParameter(f"line {self.number}", str(error)) from error
        return told

    def finish(self) -> tuple[GallerySettings, datetime, Counts]:
        """Return what the gallery is to be, if all of it came."""
        if self.about is None or self.end is None:
            raise MalformedBody("the export ends before its last line")
        settings, created = self.about
        end = self.end
        ids = np.concatenate([np.zeros(1, np.int64), *self.ids.values()])
        if len(np.unique(ids)) != len(ids):
            raise ImportBroken("two identities have one sample")
        if ids.max() > end.last_sample or max([0, *self.ids]) > end.last_identity:
            raise ImportBroken("an id is above the last one given")
        told = self.cohort_about.strangers if self.cohort_about else 0
        if not len(self.strangers) == told == end.strangers:
            raise ImportBroken("strangers are missing")
        if len(self.rejections) != self.rejections_told:
            raise ImportBroken("rejections are missing")
        counts = end.model_dump(exclude={"strangers", "sha256"})
        return settings, created, Counts(**counts)

    def cohort(self) -> StoredCohort | None:
        """Return the gallery's own strangers, if it has any."""
        if self.cohort_about is None:
            return None
        numbers = np.array([number for number, _ in self.strangers], np.int64)
        embeddings = np.stack([embedding for _, embedding in self.strangers])
        return StoredCohort(embeddings, numbers, self.cohort_about.calibration)

    def _read_line(self, line: bytes, told: _Told) -> None:
        document = parse_json(line, members=MOST_VALUES if self.about else MOST_MEMBERS)
        if not isinstance(document, dict) or len(document) != 1:
            raise MalformedBody("expected an object of one member")
        part = _Line.model_validate(document)
        if self.end is not None:
            raise MalformedBody("expected nothing after the end")
        if (part.gallery is None) == (self.about is None):
            raise MalformedBody('expected {"gallery": …} first, and only there')
        if part.end is not None:
            if part.end.sha256 != self.checksum.hexdigest():
                raise MalformedBody("expected lines with the checksum of the last one")
            self.end = part.end
            return
        self.checksum.update(line + b"\n")
        if part.gallery is not None:
            self.about = self._read_about(part.gallery)
        elif part.identity is not None:
            identity = self._read_identity(part.identity)
            told.tell(identity.number, identity)
        elif part.gone is not None:
            told.tell(part.gone, None)
            self.ids.pop(part.gone, None)
        elif part.original is not None:
            key = part.original.identity, part.original.sample
            if key in told.originals or not (self.about and self.about[0].keep_samples):
                raise MalformedBody("expected an original once, and of a gallery that keeps them")
            told.originals[key] = Sample(
                _decoded(part.original.content, self.limits.original), part.original.modality
            )
        elif part.cohort is not None:
            self.cohort_about, self.strangers = part.cohort, []
        elif part.stranger is not None:
            if len(self.strangers) >= self.limits.strangers:
                raise TooLarge(f"expected at most {self.limits.strangers} strangers")
            embedding = self._read_embedding(part.stranger.embedding)
            self.strangers.append((part.stranger.number, embedding))
        elif part.rejections is not None:
            self.rejections, self.rejections_told = [], part.rejections
        elif part.rejection is not None:
            self.rejections.append(self._read_rejection(part.rejection))
        else:
            raise MalformedBody("expected an object with a member that is not null")

    def _read_about(self, told: _About) -> tuple[GallerySettings, datetime]:
        if told.format != FORMAT:
            raise MalformedBody(f"expected an export of format {FORMAT}")
        comparator = self.comparators.get(told.digest)
        if comparator is None:
            raise ModelMismatch("the export is of a comparator that is not served here")
        fields = GalleryFields.read({"name": self.name} | told.settings, strict=True)
        settings = GallerySettings(
            comparator=comparator.title,
            digest=comparator.digest,
            **fields.model_dump(exclude={"comparator"}),
        )
        self.comparator = comparator
        return settings, _moment(told.created)

    def _read_identity(self, told: _Identity) -> KeptIdentity:
        bound_metadata(told.metadata, self.limits.metadata)
        samples = [
            KeptSample(
                sample.id,
                sample.fingerprint,
                _moment(sample.created),
                self._read_embedding(sample.embedding),
            )
            for sample in told.samples
        ]
        self.ids[told.number] = np.array([sample.id for sample in samples], np.int64)
        created = _moment(told.created)
        return KeptIdentity(told.number, told.name, created, told.metadata, samples)

    def _read_rejection(self, told: _Rejection) -> Rejection:
        if len(self.rejections) >= self.limits.rejections:
            raise TooLarge(f"expected at most {self.limits.rejections} rejections")
        embedding = self._read_embedding(told.embedding)
        return Rejection("", told.identity, _moment(told.created), embedding)

    def _read_embedding(self, encoded: str) -> Array:
        comparator = self.comparator
        content = _decoded(encoded)
        if len(content) != 4 * comparator.manifest.dimension:
            raise MalformedBody(
                f"expected embeddings of {comparator.manifest.dimension} float32 numbers"
            )
        return comparator.accept(np.frombuffer(content, "<f4"))


def _decoded(encoded: str, limit: int | None = None) -> bytes:
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise MalformedBody("expected standard base64") from error
    if limit is not None and len(content) > limit:
        raise TooLarge(f"expected originals of at most {limit} bytes")
    return content


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment.year < 1971:
        raise MalformedBody("expected moments with their time zone, after 1970")
    return moment


def _what(error: Exception) -> str:
    """Return what is wrong with a line, without what it says."""
    if not isinstance(error, ValidationError):
        return str(error) if isinstance(error, MalformedBody) else "expected a moment of ISO 8601"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), rule_told(first["msg"])]))


async def _batches(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    async for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == LINES_AT_ONCE or size > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
