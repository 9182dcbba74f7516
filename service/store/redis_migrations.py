"""A gallery's second comparator on Redis: a second lineage of the same gallery."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from service.store import redis_records as records
from service.store.durable_redis import DurableRedis, Script
from service.store.errors import StoreError
from service.store.kept import Change, Embedding, GallerySettings, GalleryState
from service.store.migrations import Lacking, Migration
from service.store.redis_store import RedisIdentityStore, doomed, root, script


class RedisMigrations:
    """A `MigrationStore` beside the identity store of the same server.

    Identities and samples have the same numbers in both lineages, and whatever forgets one does so
    in both, in one script. What is sent to the shadow late is therefore never too much.
    """

    def __init__(
        self, redis: DurableRedis, store: RedisIdentityStore, log_length: int = 100_000
    ) -> None:
        self._redis = redis
        self._store = store
        self._log_length = log_length

    async def begin(
        self,
        state: GalleryState,
        dimension: int,
        shadow: GallerySettings,
        shadow_dimension: int,
        *,
        automatic: bool,
        leave_behind: bool,
    ) -> None:
        """Give a gallery a second comparator, or raise `OriginalsMissing` if it keeps nothing."""
        name = state.settings.name
        lineage = secrets.token_hex(16)
        await self._store.reserve(name, lineage)
        try:
            await self._redis.run(
                _MIGRATE,
                [root(name), doomed(name)],
                lineage,
                state.settings.digest,
                4 * dimension,
                json.dumps(asdict(shadow)),
                shadow.digest,
                4 * shadow_dimension,
                *("1" if flag else "" for flag in (automatic, leave_behind)),
            )
        except BaseException:
            with contextlib.suppress(StoreError):  # the next start sweeps it away
                await asyncio.shield(self._store.purge(name, lineage))
            raise

    async def migration(self, gallery: str, names: int = 0) -> Migration:
        """Return how far it is, with that many names of those left."""
        lineage, beside, *told, left, about = await self._run(_MIGRATION, gallery, names)
        in_force, shadow, *counts = told
        done, total, embeddings, samples, pending, left_count, strangers, version = map(
            int, counts
        )
        fields = {
            key.decode(): value.decode()
            for key, value in zip(about[::2], about[1::2], strict=True)
        }
        cursor, passed = int(fields["cursor"]), bool(fields["passed"])
        return Migration(
            gallery=gallery,
            in_force=GallerySettings(**json.loads(in_force)),
            shadow=GallerySettings(**json.loads(shadow)),
            lineage=lineage.decode(),
            beside=beside.decode(),
            changed=lineage.decode() == fields["after"],
            started=datetime.fromtimestamp(int(fields["started"]) / 1000, UTC),
            done=done,
            total=total,
            embeddings=embeddings,
            samples=samples,
            cursor=cursor,
            passed=passed,
            pending=pending,
            left=left_count,
            left_names=json.loads(left) or [],
            own_strangers=bool(strangers),
            version=version,
            automatic=bool(fields["auto"]),
            leave_behind=bool(fields["leave_behind"]),
            agreement=fields.get("agreement"),
            trouble=fields.get("trouble") or None,
        )

    async def claim(self, gallery: str, worker: str, seconds: float) -> bool:
        """Whether this worker is the one to make embeddings, from now on for so long."""
        keys = [root(gallery), root(gallery).removesuffix("gallery") + "migrator"]
        return bool(await self._redis.run(_CLAIM, keys, worker, int(1000 * seconds)))

    async def lacking(
        self, gallery: str, beside: str, after: int | None, limit: int
    ) -> list[Lacking]:
        """Return the identities numbered above `after`; None: those pending."""
        which = ("pending", 0) if after is None else ("identities", after)
        found = json.loads(await self._run(_LACKING, gallery, beside, *which, limit))
        return [Lacking(int(number), dict(ids)) for number, ids in found]

    async def mirror(
        self, gallery: str, beside: str, made: Mapping[int, Mapping[int, Embedding | None]]
    ) -> None:
        """Let the shadow have identities as they are now, and embeddings of their samples."""
        words: list[str | bytes | int] = []
        for number, embeddings in made.items():
            words += [number, len(embeddings)]
            for id_, embedding in embeddings.items():
                words += [id_, b"" if embedding is None else embedding.astype("<f4").tobytes()]
        await self._run(_MIRROR, gallery, beside, *words)

    async def note(self, gallery: str, beside: str, **told: str | int) -> None:
        """Remember how far it is: `cursor`, `passed`, `agreement`, `trouble`."""
        words = [word for pair in told.items() for word in pair]
        await self._run(_NOTE, gallery, beside, *words)

    async def switch(self, gallery: str, beside: str, *, leave_behind: bool) -> GalleryState:
        """Put the shadow in force, at once and whole; what was in force is the shadow then."""
        await self._run(_SWITCH, gallery, beside, "1" if leave_behind else "")
        return await self._store.gallery(gallery)

    async def end(self, gallery: str, beside: str) -> Change:
        """Forget the shadow with all its embeddings."""
        await self._redis.run(_END, [root(gallery), doomed(gallery)], beside)
        await self._store.purge(gallery, beside)
        return records.change(await self._run(_ENDED, gallery, self._log_length))

    async def _run(self, which: Script, gallery: str, *arguments: str | bytes | int) -> Any:
        return await self._redis.run(which, [root(gallery)], *arguments)


_MIGRATE: Final = script("migrate")
_MIGRATION: Final = script("migration", "no-writes")
_CLAIM: Final = script("claim")
_LACKING: Final = script("lacking", "no-writes")
_MIRROR: Final = script("mirror")
_NOTE: Final = script("note_migration")
_SWITCH: Final = script("switch", "allow-oom")
_END: Final = script("end_migration", "allow-oom")
_ENDED: Final = script("ended", "allow-oom")
