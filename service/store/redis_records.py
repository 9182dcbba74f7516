"""What the Redis store's scripts answer, as values."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_store import Sample
from service.quick_json import read, write
from service.store.durable_redis import Word, refusal
from service.store.intake import Admitted, Intake
from service.store.kept import (
    Change,
    Embedding,
    Enrolled,
    EnrolledSample,
    GallerySettings,
    GalleryState,
    KeptIdentity,
    KeptSample,
    Position,
    References,
    Rejection,
    StoredIdentity,
    StoredSample,
    metadata_json,
)

# Bytes before what is in an array, and before that of a string, of MessagePack; else it is one.
_ARRAY_HEAD = {0xDC: 3, 0xDD: 5}
_STRING_HEAD = {0xD9: 2, 0xDA: 3, 0xDB: 5}
_EPOCH = datetime.fromtimestamp(0, UTC)


def state(record: Mapping[bytes, bytes]) -> GalleryState:
    """Return a gallery, from its root record."""
    position = Position(
        lineage=record[b"lineage"].decode(),
        version=int(record[b"version"]),
        hash=record[b"hash"].decode(),
    )
    return GalleryState(
        settings=GallerySettings(**json.loads(record[b"settings"])),
        created=_moment(record[b"created"]),
        position=position,
        identities=int(record[b"identities"]),
        samples=int(record[b"samples"]),
        last_identity=int(record[b"last_identity"]),
        last_sample=int(record[b"last_sample"]),
        erased=int(record.get(b"erased", 0)),
        rewritten=int(record.get(b"rewritten", 0)),
        kept_bytes=int(record.get(b"kept_bytes", 0)),
        beside=record[b"shadow_digest"].decode() if b"shadow_digest" in record else None,
    )


def change(words: list[bytes] | list[str]) -> Change:
    """Return a change, from the words that a script answers for it."""
    version, operation, identity, samples, digest, previous, sealed, *at = (
        word.decode() if isinstance(word, bytes) else word for word in words
    )
    first, *others = map(int, identity.split())
    return Change(
        version=int(version),
        operation=operation,  # type: ignore[arg-type]  # only our scripts write it
        identity=first,
        others=tuple(others),
        samples=tuple(map(int, samples.split())),
        digest=digest,
        previous=previous,
        hash=sealed,
        at=at[0] if at else "",
    )


def logged(key: bytes, fields: Mapping[bytes, bytes]) -> Change:
    """Return a change, from its entry in the log."""
    names = (b"operation", b"identity", b"samples", b"digest", b"previous", b"hash")
    words = [fields[name] for name in names]
    return change([key.partition(b"-")[0], *words, fields.get(b"at", b"")])


def asked(intake: Intake) -> list[Word]:
    """Return enrollments, as the script takes them."""
    about = {
        "identities": intake.identities,
        "metadata": [metadata_json(metadata) for metadata in intake.metadata],
        "keys": [hashed(key) for key in intake.keys],
        "payloads": intake.payloads,
        "counts": intake.counts,
    }
    # The library copies what it has of a command for each word that is not a view.
    rows = memoryview(intake.embeddings.astype("<f4").tobytes())
    words: list[Word] = [write(about), "".join(intake.fingerprints), rows]
    for place in sorted(intake.beside.keys() | intake.originals.keys()):
        beside, kept = intake.beside.get(place), intake.originals.get(place)
        copy = b"" if beside is None else beside.astype("<f4").tobytes()
        words += [1 + place, copy, b"" if kept is None else original(kept)]
    return words


def hashed(key: str | None) -> str:
    """Return a name for an idempotency key that tells nothing of what the client put in it."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def admitted(intake: Intake, answer: bytes) -> Admitted:
    """Return what became of enrollments, from what the script says."""
    told = read(answer)
    hashes = list(told["hashes"])
    made = [told["before"], *filter(None, hashes)]
    before = iter(made)
    done = Admitted(
        versions=list(told["versions"]),
        numbers=list(told["numbers"]),
        counts=intake.counts,
        ids=list(told["ids"]),
        added=list(map(bool, told["added"])),
        hashes=hashes,
        previous=[next(before) if each else "" for each in hashes],
        sealed=[(told["digest"], told["at"])] * len(hashes),
        refused={int(k) - 1: refusal(why) for k, why in told["refused"].items()},
        replayed={int(k) - 1: enrolled(kept) for k, kept in told["replayed"].items()},
    )
    for i, each in done.replayed.items():
        done.versions[i], done.numbers[i] = each.version, each.identity
    return done


def enrolled(answer: Mapping[str, Any]) -> Enrolled:
    """Return an enrollment's result, from the answer that is kept for its idempotency key."""
    return Enrolled(
        version=int(answer["version"]),
        identity=int(answer["identity"]),
        samples=tuple(EnrolledSample(int(id_), outcome) for id_, outcome in answer["samples"]),
        change=change(answer["change"]) if answer["change"] else None,
        replayed=True,
    )


def identity(
    number: str, name: str, created: str, metadata: str | None, samples: list[tuple[str, str]]
) -> StoredIdentity:
    """Return an identity, from its entry in a list of them."""
    return StoredIdentity(
        number=int(number),
        name=name,
        metadata=json.loads(metadata) if metadata else None,
        created=_moment(created),
        samples=tuple(StoredSample(int(id_), _moment(at)) for id_, at in samples),
    )


def rejections(record: Mapping[bytes, bytes]) -> list[Rejection]:
    """Return rejections, from the hash of a gallery's."""
    found = []
    for field, value in record.items():
        number, _, id_ = field.decode().partition(":")
        created, _, embedding = value.partition(b" ")
        found.append(Rejection(id_, int(number), _moment(created), rows(embedding, 1)[0]))
    return sorted(found, key=lambda each: (each.created, each.id))


def references(about: bytes, embeddings: bytes) -> References:
    """Return references, from JSON of what identities have which, and embeddings in that order."""
    identities: list[tuple[str, str, list[int]]] = json.loads(about)
    samples = np.array([id_ for _, _, ids in identities for id_ in ids], np.int64)
    numbers = np.array([int(number) for number, _, _ in identities], np.int64)
    owners = np.repeat(np.arange(len(numbers)), [len(ids) for _, _, ids in identities])
    order = np.lexsort((samples, owners))
    return References(
        samples=samples[order],
        identities=numbers[owners],
        names={int(number): name for number, name, _ in identities},
        embeddings=packed(embeddings, order),
    )


def kept(identities: list[list[Any]], embeddings: bytes) -> list[KeptIdentity]:
    """Return identities whole, from what is kept of each and all embeddings in that order."""
    count = sum(len(samples) for _, _, samples, *_ in identities)
    given = iter(packed(embeddings, np.arange(count)))
    return [
        KeptIdentity(
            int(number),
            name,
            _moment(created),
            json.loads(metadata) if metadata else None,
            sorted(
                (
                    KeptSample(int(id_), fingerprint, _moment(at), next(given))
                    for id_, (fingerprint, at) in zip(samples, map(str.split, heads), strict=True)
                ),
                key=lambda sample: sample.id,
            ),
        )
        for number, name, samples, created, metadata, heads in identities
    ]


def staged(identities: Mapping[int, KeptIdentity | None]) -> list[str | bytes | int]:
    """Return identities as stage.lua takes them: first those that are gone, and free a name."""
    words: list[str | bytes | int] = []
    for number in [number for number, identity in identities.items() if identity is None]:
        words += [number, "", 0, "", 0]
    for identity in filter(None, identities.values()):
        words += [identity.number, identity.name, instant(identity.created)]
        words += [metadata_json(identity.metadata), len(identity.samples)]
        for sample in identity.samples:
            embedding = sample.embedding.astype("<f4").tobytes()
            words += [sample.id, sample.fingerprint, instant(sample.created), embedding]
    return words


def original(sample: Sample) -> bytes:
    """Return what a client sent, as the store keeps it: never empty."""
    return f"{sample.modality or ''} ".encode() + sample.content


def sent(kept: bytes) -> Sample | None:
    """Return what a client sent; None where nothing was kept."""
    modality, _, content = kept.partition(b" ")
    return Sample(content, modality.decode() or None) if kept else None  # type: ignore[arg-type]  # only we write it


def instant(moment: datetime) -> int:
    """Return a moment as the store has it: whole milliseconds since 1970."""
    return round((moment - _EPOCH) / timedelta(milliseconds=1))


def rows(embeddings: bytes, count: int) -> Embedding:
    """Return embeddings as stored, one after the other, as `count` rows."""
    return np.frombuffer(embeddings, "<f4").reshape(count, -1 if count else 0)


def packed(embeddings: bytes, order: NDArray[np.int64]) -> Embedding:
    """Return embeddings in this order, from a MessagePack array of strings of one length.

    Each then has a head of one length too, so that the array is a table of bytes.
    """
    if not len(order):
        return rows(b"", 0)
    start = _ARRAY_HEAD.get(embeddings[0], 1)
    table = np.frombuffer(embeddings, np.uint8, offset=start).reshape(len(order), -1)
    head = _STRING_HEAD.get(embeddings[start], 1)
    found: Embedding = table[:, head:][order].view("<f4")
    return found


def _moment(milliseconds: str | bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
