"""A gallery edited: identities renamed, merged, split, settings changed, and all of it undone."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from index import TargetUnresolvable, strangers_needed
from service.parameters import InvalidParameter
from service.store.edits import Edited, EditStore
from service.store.errors import EditConflict
from service.store.identities import IdentityStore
from service.store.kept import Change
from service.use_cases.operating import operating_curve
from service.use_cases.recogniser import Recogniser


@dataclass(frozen=True, slots=True)
class Similar:
    """Who is most like an identity, each with the best score that its samples reach."""

    gallery: str
    identity: str
    version: int
    others: Sequence[tuple[str, float]]


TRIES = 5  # times that settings are read again because somebody else changed them meanwhile


async def patch(
    recogniser: Recogniser, edits: EditStore, gallery: str, asked: Mapping[str, Any]
) -> Change | None:
    """Replace some of what a gallery decides by; None if all was so already.

    Raises TargetUnresolvable for a rate by which nothing could be decided now.
    """
    if target := asked.get("target_fpir"):
        curve = (await operating_curve(recogniser, gallery)).curve
        if target < curve.resolvable_from:
            raise TargetUnresolvable(
                f"the gallery's strangers resolve a target FPIR of {curve.resolvable_from:.4g} at "
                f"least, more than was asked; {strangers_needed(target)} of its own would do"
            )
    for left in reversed(range(TRIES)):
        before = recogniser.gallery(gallery).state.settings
        after = replace(before, **asked)
        if after == before:
            return None
        try:
            return await recogniser.change(gallery, "edit", lambda: edits.patch(before, after))  # noqa: B023 - awaited here
        except EditConflict:
            if not left:
                raise
            await recogniser.galleries.refresh()
    raise AssertionError("unreachable")


async def similar(
    recogniser: Recogniser, store: IdentityStore, gallery: str, identity: str, top: int
) -> Similar:
    """Say who is most like an identity, to be merged with it perhaps."""
    replica = recogniser.gallery(gallery)
    await store.identity(gallery, identity)  # or there is none of that name
    version, index = replica.version, replica.index
    found = await asyncio.to_thread(index.similar, identity, top)
    return Similar(gallery, identity, version, found)


async def rename(
    recogniser: Recogniser, edits: EditStore, gallery: str, identity: str, to: str, key: str | None
) -> Edited:
    """Give an identity another name."""
    return await recogniser.change(
        gallery, "edit", lambda: edits.rename(gallery, identity, to, key)
    )


async def merge(
    recogniser: Recogniser,
    edits: EditStore,
    gallery: str,
    identity: str,
    into: str,
    key: str | None,
) -> Edited:
    """Let one identity be another."""
    if identity == into:
        raise InvalidParameter("into", "expected another identity than from")
    return await recogniser.change(
        gallery, "edit", lambda: edits.merge(gallery, identity, into, key)
    )


async def split(
    recogniser: Recogniser,
    edits: EditStore,
    gallery: str,
    identity: str,
    samples: Sequence[int],
    into: str,
    key: str | None,
) -> Edited:
    """Let some samples be another identity's, new or not."""
    if identity == into:
        raise InvalidParameter("into", "expected another identity than the samples have")
    return await recogniser.change(
        gallery, "edit", lambda: edits.split(gallery, identity, samples, into, key)
    )


async def undo(
    recogniser: Recogniser,
    edits: EditStore,
    gallery: str,
    version: int | None,
    *,
    settings: bool,
    key: str | None,
) -> Edited:
    """Undo an edit, or the last; without `settings` the last that is not about these."""
    return await recogniser.change(
        gallery,
        "edit",
        lambda: edits.undo(gallery, version, settings=settings, idempotency_key=key),
    )
