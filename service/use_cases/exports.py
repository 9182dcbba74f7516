"""A gallery as NDJSON: all that is kept of it, to be imported anywhere to the last bit."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from typing import Any

from models_store import Sample
from service.store.errors import OutOfStep, StoreUnavailable
from service.store.identities import IdentityStore
from service.store.kept import (
    JUDGING,
    Embedding,
    GalleryState,
    KeptIdentity,
    Position,
    Rejection,
    StoredCohort,
)

FORMAT = 1
ROUNDS = 1000  # how often what changed meanwhile is read again before it is given up
ORIGINALS = 8  # samples as they were sent in one read, for each may be of megabytes
Line = dict[str, Any]


async def export_lines(store: IdentityStore, gallery: str) -> AsyncIterator[bytes]:
    """Yield a gallery as it is when the last line is sent, some lines at a time.

    First `{"gallery": …}`; `{"identity": …}` for each, with its samples, and an `{"original": …}`
    behind it for each that is kept as it was sent; `{"cohort": …}` and a
    `{"stranger": …}` for each of its own; `{"rejections": …}` and a `{"rejection": …}` for each,
    if any; last `{"end": …}`, with counts and the SHA-256 of all
    bytes before it. What changes meanwhile is told again, and what is told last holds:
    `{"gone": number}` is of an identity that is no more.
    """
    checksum = hashlib.sha256()

    def written(told: Iterable[Line]) -> bytes:
        lines = b"".join(map(_written, told))
        checksum.update(lines)
        return lines

    async def kept_originals(identities: Sequence[KeptIdentity]) -> AsyncIterator[list[Line]]:
        for identity in identities if state.settings.keep_samples else ():
            ids = [sample.id for sample in identity.samples]
            for start in range(0, len(ids), ORIGINALS):
                some = ids[start : start + ORIGINALS]
                sent = await store.originals(gallery, identity.number, some)
                pairs = zip(some, sent, strict=True)
                yield [_original(identity.number, id_, one) for id_, one in pairs if one]

    state = await store.gallery(gallery)
    yield written([_about(state)])
    try:
        async for identities in store.everything(gallery, state.position):
            yield await asyncio.to_thread(written, map(_identity, identities))
            async for originals in kept_originals(identities):
                yield await asyncio.to_thread(written, originals)
        settings, position = state.settings, state.position
        cohort_changed = rejections_changed = True
        strangers, rejections = 0, 0
        for _ in range(ROUNDS):
            if cohort_changed and (own := await store.cohort(gallery, position)):
                strangers = len(own.identities)
                yield await asyncio.to_thread(written, _cohort(own))
            if rejections_changed:
                before, rejected = rejections, await store.rejections(gallery, position)
                rejections = len(rejected)
                if before or rejections:
                    yield await asyncio.to_thread(written, _rejections(rejected))
            changes = await store.changes(gallery, position)
            rejections_changed = any(change.operation in JUDGING for change in changes)
            cohort_changed = any(change.operation == "cohort" for change in changes)
            if changes:
                numbers = {number for change in changes for number in change.identities}
                kept = await store.kept(gallery, position, numbers) if numbers else []
                gone = sorted(numbers - {identity.number for identity in kept})
                told = chain(({"gone": number} for number in gone), map(_identity, kept))
                yield await asyncio.to_thread(written, told)
                async for originals in kept_originals(kept):
                    yield await asyncio.to_thread(written, originals)
                position = Position(position.lineage, changes[-1].version, changes[-1].hash)
            elif (state := await store.gallery(gallery)).position == position:
                if state.settings != settings:
                    raise StoreUnavailable("the settings were changed while it was exported")
                yield _written({"end": _end(state, strangers) | {"sha256": checksum.hexdigest()}})
                return
    except OutOfStep as error:
        raise StoreUnavailable("the gallery was made anew while it was exported") from error
    raise StoreUnavailable("the gallery changes faster than it can be exported")


def _about(state: GalleryState) -> Line:
    settings = asdict(state.settings)
    named = {name: settings.pop(name) for name in ("name", "comparator", "digest")}
    about = named | {"settings": settings, "created": _moment(state.created)}
    return {"gallery": {"format": FORMAT} | about | {"version": state.version}}


def _identity(identity: KeptIdentity) -> Line:
    samples = [
        {
            "id": sample.id,
            "created": _moment(sample.created),
            "fingerprint": sample.fingerprint,
            "embedding": _base64(sample.embedding),
        }
        for sample in identity.samples
    ]
    about = {"number": identity.number, "name": identity.name}
    about["created"] = _moment(identity.created)
    return {"identity": about | {"metadata": identity.metadata, "samples": samples}}


def _original(number: int, sample: int, sent: Sample) -> Line:
    content = base64.b64encode(sent.content).decode()
    about = {"identity": number, "sample": sample, "modality": sent.modality}
    return {"original": about | {"content": content}}


def _cohort(own: StoredCohort) -> Iterable[Line]:
    yield {"cohort": {"strangers": len(own.identities), "calibration": own.calibration}}
    for number, embedding in zip(own.identities.tolist(), own.embeddings, strict=True):
        yield {"stranger": {"number": number, "embedding": _base64(embedding)}}


def _rejections(rejected: Sequence[Rejection]) -> Iterable[Line]:
    yield {"rejections": len(rejected)}
    for each in rejected:
        about = {"identity": each.identity, "created": _moment(each.created)}
        yield {"rejection": about | {"embedding": _base64(each.embedding)}}


def _end(state: GalleryState, strangers: int) -> dict[str, Any]:
    return {
        "version": state.version,
        "identities": state.identities,
        "samples": state.samples,
        "last_identity": state.last_identity,
        "last_sample": state.last_sample,
        "strangers": strangers,
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _base64(embedding: Embedding) -> str:
    return base64.b64encode(embedding.astype("<f4").tobytes()).decode()


def _written(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
