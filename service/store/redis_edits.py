"""Edits on Redis: each one atomic script, beside what it takes to undo it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from service.store import redis_records as records
from service.store.durable_redis import DurableRedis, Script
from service.store.edits import Edit, Edited, EditOperation, Rejected
from service.store.errors import EditConflict, UnknownGallery
from service.store.kept import Change, Embedding, GallerySettings
from service.store.redis_store import root, script


class RedisEdits:
    """An `EditStore` beside the identity store of the same server.

    `most` edits of a gallery can be undone, the newest: what that takes, `scripts/edits.lua` says.
    So many `rejections` are remembered of a gallery.
    """

    def __init__(
        self,
        redis: DurableRedis,
        most: int = 100,
        rejections: int = 1000,
        log_length: int = 100_000,
    ) -> None:
        self._redis = redis
        self._most = most
        self._rejections = rejections
        self._log_length = log_length

    async def rename(
        self, gallery: str, identity: str, to: str, idempotency_key: str | None = None
    ) -> Edited:
        """Give an identity another name, or raise `UnknownIdentity` or `IdentityExists`."""
        return await self._edit("rename", gallery, idempotency_key, identity, to)

    async def merge(
        self, gallery: str, identity: str, into: str, idempotency_key: str | None = None
    ) -> Edited:
        """Let all samples of an identity be another's, and the identity be no more."""
        return await self._edit("merge", gallery, idempotency_key, identity, into)

    async def split(
        self,
        gallery: str,
        identity: str,
        samples: Sequence[int],
        into: str,
        idempotency_key: str | None = None,
    ) -> Edited:
        """Let some samples be another identity's, who is made if there is none of that name."""
        ids = sorted(set(samples))
        return await self._edit("split", gallery, idempotency_key, identity, into, *ids)

    async def patch(self, before: GallerySettings, after: GallerySettings) -> Change:
        """Replace a gallery's settings, or raise `EditConflict` if they are not those before."""
        gallery = before.name
        held = await self._redis.read("HGET", root(gallery), "settings")
        if held is None:
            raise UnknownGallery("there is no such gallery")
        if GallerySettings(**json.loads(held)) != before:
            raise EditConflict("the settings were changed at the same time")
        settings = json.dumps(asdict(after))
        return records.change(
            await self._redis.run(
                _PATCH, [root(gallery)], self._log_length, self._most, held, settings
            )
        )

    async def undo(
        self,
        gallery: str,
        version: int | None,
        *,
        settings: bool,
        idempotency_key: str | None = None,
    ) -> Edited:
        """Undo an edit, or the last, by a change of its own."""
        which = "" if version is None else str(version)
        return _edited(
            *await self._redis.run(
                _UNDO,
                [root(gallery)],
                self._log_length,
                records.hashed(idempotency_key),
                _payload("undo", which),
                which,
                "" if settings else "identities",
            )
        )

    async def reject(
        self, gallery: str, digest: str, identity: str, embedding: Embedding
    ) -> Rejected:
        """Remember of a probe (d,) that it was not an identity, nor its like."""
        row = embedding.astype("<f4").tobytes()
        id_, version, *change = await self._redis.run(
            _REJECT, [root(gallery)], self._log_length, digest, self._rejections, identity, row
        )
        made = records.change(change[0]) if change else None
        return Rejected(id_.decode(), int(version), made)

    async def accept(self, gallery: str, rejection: str) -> Change:
        """Take a rejection back, or raise `UnknownRejection`."""
        return records.change(
            await self._redis.run(_ACCEPT, [root(gallery)], self._log_length, rejection)
        )

    async def edits(self, gallery: str) -> list[Edit]:
        """Return the edits that can be undone, the newest first."""
        found = json.loads(await self._redis.run(_LIST_EDITS, [root(gallery)]))
        return [_listed(*one) for one in found]

    async def _edit(
        self, operation: EditOperation, gallery: str, key: str | None, *asked: str | int
    ) -> Edited:
        answer = await self._redis.run(
            _EDITS[operation],
            [root(gallery)],
            self._log_length,
            self._most,
            records.hashed(key),
            _payload(operation, *asked),
            *asked,
        )
        return _edited(*answer)


def _payload(*asked: str | int) -> str:
    """Return a SHA-256 of what is asked for: the same key with another payload is refused."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _edited(replayed: int, answer: bytes) -> Edited:
    told: dict[str, Any] = json.loads(answer)
    return Edited(
        version=int(told["version"]),
        change=records.change(told["change"]) if told["change"] else None,
        replayed=bool(replayed),
        undone=int(told["undone"]) if "undone" in told else None,
        operation=told.get("operation"),
    )


def _listed(
    version: str,
    operation: Any,
    at: str,
    identity: str,
    other: str,
    name: str,
    to: str,
    samples: list[int],
    before: str,
    after: str,
) -> Edit:
    return Edit(
        version=int(version),
        operation=operation,
        at=datetime.fromtimestamp(int(at) / 1000, UTC),
        identity=identity or None,
        other=other or None,
        name=name or None,
        to=to or None,
        samples=tuple(samples),
        before=GallerySettings(**json.loads(before)) if before else None,
        after=GallerySettings(**json.loads(after)) if after else None,
    )


_BESIDE: Final = ("edits",)
_EDITS: Final[Mapping[str, Script]] = {
    operation: script(operation, beside=_BESIDE) for operation in ("rename", "merge", "split")
}
_REJECT: Final = script("reject", beside=_BESIDE)
_ACCEPT: Final = script("accept", "allow-oom", beside=_BESIDE)
_PATCH: Final = script("patch", beside=_BESIDE)
_UNDO: Final = script("undo", beside=_BESIDE)
_LIST_EDITS: Final = script("list_edits", "no-writes", beside=_BESIDE)
