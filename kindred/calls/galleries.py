"""Galleries, and who is enrolled in them."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kindred import answers
from kindred.calls.call import (
    NDJSON,
    PIECE,
    Call,
    Rule,
    Samples,
    Side,
    getting,
    in_json,
    path_of,
    read_as,
)
from kindred.samples import documents_of


def create_gallery(
    name: str,
    *,
    comparator: str | None = None,
    rule: Rule | None = None,
    target_fpir: float | None = None,
    prior_known: float | None = None,
    keep_samples: bool = False,
    references: Side = "b",
) -> Call[answers.GalleryAnswer]:
    """Make an empty gallery of one comparator version."""
    fields = {
        "name": name,
        "comparator": comparator,
        "rule": rule,
        "target_fpir": target_fpir,
        "prior_known": prior_known,
        "keep_samples": keep_samples,
        "references": references,
    }
    read_answer = read_as(answers.GalleryAnswer)
    return Call("POST", "/galleries", read_answer, in_json(fields), writes=name, ends=name)


def list_galleries() -> Call[answers.GalleriesAnswer]:
    """List every gallery that the key reaches."""
    return getting("/galleries", answers.GalleriesAnswer)


def get_gallery(gallery: str) -> Call[answers.GalleryAnswer]:
    """Describe one gallery."""
    return getting(path_of("galleries", gallery), answers.GalleryAnswer)


def delete_gallery(gallery: str) -> Call[answers.GalleryDeleted]:
    """Delete a gallery and everything in it."""
    return Call(
        "DELETE", path_of("galleries", gallery), read_as(answers.GalleryDeleted), ends=gallery
    )


def export_gallery(gallery: str) -> Call[bytes]:
    """Give all that is kept of a gallery, as NDJSON; `Client.export_gallery` writes it."""
    return Call("GET", path_of("galleries", gallery, "export"), bytes, repeatable=True, slow=True)


def import_gallery(
    source: str | Path, gallery: str, *, on_bytes: Callable[[int], None] = lambda _count: None
) -> Call[answers.GalleryAnswer]:
    """Make a gallery of an exported file, whole or not at all, under a name that is free.

    `on_bytes` is told how many were sent, piece by piece.
    """

    def pieces() -> Iterator[bytes]:
        with Path(source).open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
                on_bytes(len(piece))

    return Call(
        "POST",
        path_of("galleries", gallery, "import"),
        read_as(answers.GalleryAnswer),
        {"content": pieces},
        headers=NDJSON,
        writes=gallery,
        ends=gallery,
        slow=True,
    )


def put_cohort(
    gallery: str, samples: Samples, *, identities: Iterable[str] | None = None
) -> Call[answers.CohortAnswer]:
    """Judge a gallery by these strangers from now on, instead of by the bundle's.

    Each sample is a stranger of its own, unless `identities` says whose each is.
    """
    whose = None if identities is None else list(identities)
    return Call(
        "POST",
        path_of("galleries", gallery, "cohort"),
        read_as(answers.CohortAnswer),
        in_json({"files": documents_of(samples), "identities": whose}),
        writes=gallery,
    )


def get_operating_curve(gallery: str) -> Call[answers.OperatingCurveAnswer]:
    """Say what `identify` would need and miss at each target, in the gallery as it is now."""
    return getting(path_of("galleries", gallery, "operating-curve"), answers.OperatingCurveAnswer)


def get_boundary(
    gallery: str, *, target_fpir: float | None = None, limit: int | None = None
) -> Call[answers.BoundaryAnswer]:
    """Show the trials nearest to a target's threshold: the enrolled left out, and strangers."""
    path = path_of("galleries", gallery, "operating-curve", "boundary")
    return getting(path, answers.BoundaryAnswer, target_fpir=target_fpir, limit=limit)


def map_gallery(gallery: str, *, limit: int | None = None) -> Call[answers.MapAnswer]:
    """Show samples on a plane, at most 20 of an identity: at once, and better when asked again.

    Its `progress` is 1 when it stays as it is until the gallery changes.
    """
    return getting(path_of("galleries", gallery, "map"), answers.MapAnswer, limit=limit)


def check_gallery(
    gallery: str, *, few: int | None = None, limit: int | None = None
) -> Call[answers.GalleryHealth]:
    """Say who seems enrolled twice, mislabelled, alike to many or unlike itself.

    Without a limit only what is likely so, with it so many of each list, surest first.
    """
    path = path_of("galleries", gallery, "health")
    return getting(path, answers.GalleryHealth, slow=True, few=few, limit=limit)


def list_identities(
    gallery: str, *, limit: int | None = None, after: str | int | None = None
) -> Call[answers.IdentitiesAnswer]:
    """List who is enrolled, one page of it; `Client.identities` goes through all pages."""
    path = path_of("galleries", gallery, "identities")
    return getting(path, answers.IdentitiesAnswer, limit=limit, after=after)


def get_identity(gallery: str, identity: str) -> Call[answers.IdentityAnswer]:
    """Describe one identity."""
    return getting(path_of("galleries", gallery, "identities", identity), answers.IdentityAnswer)


def update_identity(
    gallery: str,
    identity: str,
    metadata: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    idempotency_key: str | None = None,
) -> Call[answers.IdentityAnswer]:
    """Replace an identity's metadata; or give it another name, which can be undone."""
    path = path_of("galleries", gallery, "identities", identity)
    body = in_json({"metadata": metadata, "name": name})
    read_answer = read_as(answers.IdentityAnswer)
    if name is None:
        return Call("PATCH", path, read_answer, body)
    headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
    return Call("PATCH", path, read_answer, body, headers=headers, repeatable=True)


def forget_identity(gallery: str, identity: str) -> Call[answers.Forgotten]:
    """Forget an identity: it is found nowhere once this is answered."""
    path = path_of("galleries", gallery, "identities", identity)
    return Call("DELETE", path, read_as(answers.Forgotten), writes=gallery)


def forget_sample(gallery: str, identity: str, sample: str) -> Call[answers.Forgotten]:
    """Forget one sample of an identity."""
    path = path_of("galleries", gallery, "identities", identity, "samples", sample)
    return Call("DELETE", path, read_as(answers.Forgotten), writes=gallery)


def get_receipt(gallery: str, version: int) -> Call[answers.ReceiptAnswer]:
    """Say which places hold no byte any more of what a deletion took away."""
    return getting(path_of("galleries", gallery, "receipts", str(version)), answers.ReceiptAnswer)
