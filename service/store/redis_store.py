"""The identity store on Redis: each write one atomic script, each gallery under one hash tag."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from models_store import Sample
from service.store import redis_records as records
from service.store.durable_redis import DurableRedis, Script, Word
from service.store.errors import (
    GalleryExists,
    ModelMismatch,
    OutOfStep,
    StoreError,
    UnknownGallery,
)
from service.store.intake import Admitted, Intake
from service.store.kept import (
    Change,
    Counts,
    Enrolled,
    Enrollment,
    GallerySettings,
    GalleryState,
    KeptIdentity,
    Metadata,
    Position,
    References,
    Rejection,
    StoredCohort,
    StoredIdentity,
    metadata_json,
)

GALLERIES: Final = "kindred:galleries"  # a set of "<name>:<lineage>"; names have no colon
_OWED: Final = "kindred:{erasure}:owed"  # lineages removed that the log of the server still holds
_CHUNK: Final = 1024  # samples in one read of many, identities in one step of a deletion
_WHOLE_CHUNK: Final = 512  # samples in one read of all that is kept
_RECORDS: Final = 500  # galleries in one read
_AT_ONCE: Final = 512  # enrollments in one write: 5 to 10 ms in which the server does nothing else
_BYTES_AT_ONCE: Final = 2**22  # of embeddings and originals in one write


class RedisIdentityStore:
    """An `IdentityStore` on one Redis-protocol server; `scripts/gallery.lua` names the keys.

    `kept_bytes` is how many bytes of what clients sent a gallery may keep.

    `log_length` is about how many changes a gallery's log keeps. A follower that is further
    behind reads everything.
    """

    def __init__(
        self, redis: DurableRedis, log_length: int = 100_000, kept_bytes: int = 2**30
    ) -> None:
        self._redis = redis
        self._log_length = log_length
        self._kept_bytes = kept_bytes

    async def create_gallery(self, settings: GallerySettings) -> GalleryState:
        """Make an empty gallery at version 0, or raise `GalleryExists`."""
        # Entered before the gallery is there and crossed out after it is gone: never lost. With
        # its lineage the entry is its own, whoever makes or deletes the same name meanwhile.
        lineage = secrets.token_hex(16)
        entries = [f"{settings.name}:{lineage}"]
        if settings.keep_samples:
            entries.append(f"{settings.name}:{_originals(lineage)}")
        await self._redis.write("SADD", GALLERIES, *entries)
        try:
            about = json.dumps(asdict(settings))
            kept = "1" if settings.keep_samples else ""
            await self._run(_CREATE, settings.name, lineage, about, settings.digest, kept)
        except GalleryExists:
            await self._redis.write("SREM", GALLERIES, *entries)
            raise
        return await self.gallery(settings.name)

    async def galleries(self) -> list[GalleryState]:
        """Return every gallery, ordered by name."""
        names = sorted({name for name, _ in await self._entries()})
        found = []
        for start in range(0, len(names), _RECORDS):  # 10,000 at once would take too long
            some = names[start : start + _RECORDS]
            found += await self._redis.read_together(*(("HGETALL", root(name)) for name in some))
        return [records.state(record) for record in found if record]

    async def gallery(self, name: str) -> GalleryState:
        """Return one gallery."""
        record = await self._redis.read("HGETALL", root(name))
        if not record:
            raise UnknownGallery("there is no such gallery")
        return records.state(record)

    async def delete_gallery(self, name: str) -> None:
        """Delete a gallery, and then all that it held."""
        for lineage in await self._redis.run(_DELETE, [root(name), doomed(name)]):
            await self.purge(name, lineage.decode())

    async def sweep(self) -> None:
        """Finish the deletions that a killed process left half done. For start-up."""
        for name, lineage in await self._entries():
            if await self._redis.read("SISMEMBER", doomed(name), lineage):
                await self.purge(name, lineage)

    async def enroll(self, enrollment: Enrollment) -> Enrolled:
        """Keep samples under an identity: all of them, or none."""
        [outcome] = (await self.enroll_all(Intake.of([enrollment]))).each()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def enroll_all(self, intake: Intake) -> Admitted:
        """Do enrollments in order, many in one write."""
        first, *others = intake.parts(_AT_ONCE, _BYTES_AT_ONCE)
        done = await self._enroll(first)
        for part in others:
            done = done.followed_by(await self._enroll(part))
        return done

    async def _enroll(self, part: Intake) -> Admitted:
        """Run the script once."""
        about = (self._log_length, part.digest, part.other or "", self._kept_bytes)
        try:
            answer = await self._run(_ENROLL, part.gallery, *about, *records.asked(part))
        except (StoreError, UnknownGallery, ModelMismatch) as error:
            return Admitted.none(part, error)
        return records.admitted(part, answer)

    async def forget_identity(self, gallery: str, identity: str) -> Change:
        """Forget an identity with all its samples, or raise `UnknownIdentity`."""
        return records.change(await self._run(_FORGET, gallery, self._log_length, identity, ""))

    async def forget_sample(self, gallery: str, identity: str, sample: int) -> Change:
        """Forget one sample, or raise `UnknownIdentity` or `UnknownSample`."""
        return records.change(
            await self._run(_FORGET, gallery, self._log_length, identity, sample)
        )

    async def update_metadata(
        self, gallery: str, identity: str, metadata: Metadata | None
    ) -> Change:
        """Replace an identity's metadata, or raise `UnknownIdentity`."""
        text = metadata_json(metadata)
        return records.change(
            await self._run(_DESCRIBE, gallery, self._log_length, identity, text)
        )

    async def put_cohort(self, gallery: str, digest: str, cohort: StoredCohort) -> Change:
        """Replace the gallery's own strangers, or raise `ModelMismatch`."""
        width = 4 * cohort.embeddings.shape[1]
        words = _cohort_words(cohort)
        written = await self._run(_COHORT, gallery, self._log_length, digest, width, *words)
        return records.change(written)

    async def cohort(self, gallery: str, at: Position) -> StoredCohort | None:
        """Return the own strangers of that lineage; None when it has none of its own."""
        found = await self._run(_READ_COHORT, gallery, at.lineage)
        identities, embeddings, calibration, written = found
        if identities is None:
            return None
        numbers = np.frombuffer(identities, "<i8")
        return StoredCohort(
            records.rows(embeddings, len(numbers)),
            numbers,
            calibration.decode() if calibration else None,
            int(written) / 1000 if written else None,
        )

    async def rejections(self, gallery: str, at: Position) -> list[Rejection]:
        """Return what was said not to be whom, in that lineage, the oldest first."""
        key = f"kindred:{{{gallery}}}:{at.lineage}:rejected"
        return records.rejections(await self._redis.read("HGETALL", key))

    async def identity(self, gallery: str, name: str) -> StoredIdentity:
        """Return one identity, or raise `UnknownIdentity`."""
        [found] = json.loads(await self._run(_LIST, gallery, name, 0, 1))
        return records.identity(*found)

    async def identities(
        self, gallery: str, after: int = 0, limit: int = 100
    ) -> list[StoredIdentity]:
        """Return identities in the order they came, those numbered above `after`."""
        found = json.loads(await self._run(_LIST, gallery, "", after, limit))
        return [records.identity(*one) for one in found]

    async def changes(self, gallery: str, since: Position, limit: int = 1000) -> list[Change]:
        """Return the changes after `since`, oldest first; raise `OutOfStep` when it cannot."""
        log = f"kindred:{{{gallery}}}:{since.lineage}:log"
        [lineage, version, head], entries = await self._redis.read_together(
            ("HMGET", root(gallery), "lineage", "version", "hash"),
            ("XRANGE", log, f"({since.version}-0", "+", "COUNT", limit),
        )
        if lineage is None:
            raise UnknownGallery("there is no such gallery")
        changes = [records.logged(key, fields) for key, fields in entries]
        reached = since
        for change in changes:
            follows = (change.version, change.previous) == (reached.version + 1, reached.hash)
            if not (follows and change.is_intact()):
                raise OutOfStep(f"the log does not go on from version {reached.version}")
            reached = Position(since.lineage, change.version, change.hash)
        latest = Position(lineage.decode(), int(version), head.decode())
        if len(changes) < limit and reached != latest:
            raise OutOfStep(f"the log ends at version {reached.version}, not at {latest.version}")
        return changes

    async def load(self, gallery: str, at: Position) -> AsyncIterator[References]:
        """Read all references, chunk by chunk; the next is on its way while one is looked at."""
        arguments = (_REFERENCES, gallery, at.lineage, "")
        after = b"0"
        coming = asyncio.create_task(self._run(*arguments, after, _CHUNK))
        try:
            while after:
                after, about, rows = await coming
                if after:
                    coming = asyncio.create_task(self._run(*arguments, after, _CHUNK))
                # In a thread, or the next would not be asked for until this is done.
                references = await asyncio.to_thread(records.references, about, rows)
                if len(references.samples):
                    yield references
        finally:
            coming.cancel()

    async def references(
        self, gallery: str, at: Position, identities: Collection[int]
    ) -> References:
        """Return the references that these identities have now; none for one that is gone."""
        _, about, rows = await self._run(
            _REFERENCES, gallery, at.lineage, "", "", "", *sorted(identities)
        )
        return records.references(about, rows)

    async def everything(self, gallery: str, at: Position) -> AsyncIterator[list[KeptIdentity]]:
        """Read all identities with all that is kept of them, chunk by chunk."""
        after = b"0"
        while after:
            after, about, rows = await self._run(
                _REFERENCES, gallery, at.lineage, "all", after, _WHOLE_CHUNK
            )
            yield records.kept(json.loads(about), rows)

    async def kept(
        self, gallery: str, at: Position, identities: Collection[int]
    ) -> list[KeptIdentity]:
        """Return all that is kept of these identities now; one that is gone is not listed."""
        _, about, rows = await self._run(
            _REFERENCES, gallery, at.lineage, "all", "", "", *sorted(identities)
        )
        return records.kept(json.loads(about), rows)

    async def originals(
        self, gallery: str, identity: int, samples: Sequence[int]
    ) -> list[Sample | None]:
        """Return what clients sent of samples of an identity; None of one that is not kept."""
        return [
            records.sent(kept) for kept in await self._run(_ORIGINALS, gallery, identity, *samples)
        ]

    async def begin_import(self, gallery: str) -> str:
        """Return a lineage in which a gallery can be built unseen."""
        lineage = secrets.token_hex(16)
        await self.reserve(gallery, lineage)
        await self.reserve(gallery, _originals(lineage))
        return lineage

    async def reserve(self, gallery: str, lineage: str) -> None:
        """Make room for a lineage, which is swept away unless a script makes it the gallery's."""
        await self._redis.write("SADD", GALLERIES, f"{gallery}:{lineage}")
        await self._redis.write("SADD", doomed(gallery), lineage)

    async def stage(
        self, gallery: str, lineage: str, identities: Mapping[int, KeptIdentity | None]
    ) -> None:
        """Keep identities in that lineage by number, in place of what is there; None: gone."""
        words = records.staged(identities)
        await self._redis.run(_STAGE, _staging(gallery), lineage, *words)

    async def stage_originals(
        self, gallery: str, lineage: str, originals: Mapping[tuple[int, int], Sample]
    ) -> None:
        """Keep what clients sent in that lineage, by identity number and sample id."""
        words: list[str | bytes | int] = []
        for (number, id_), sample in originals.items():
            words += [number, id_, records.original(sample)]
        await self._redis.run(
            _STAGE_ORIGINALS, _staging(gallery), lineage, self._kept_bytes, *words
        )

    async def stage_cohort(self, gallery: str, lineage: str, cohort: StoredCohort) -> None:
        """Keep the gallery's own strangers in that lineage."""
        await self._redis.run(_STAGE_COHORT, _staging(gallery), lineage, *_cohort_words(cohort))

    async def stage_rejections(
        self, gallery: str, lineage: str, rejections: Sequence[Rejection]
    ) -> None:
        """Keep what was said not to be whom in that lineage, after all identities."""
        words: list[str | bytes | int] = []
        for each in rejections:
            row = each.embedding.astype("<f4").tobytes()
            words += [each.identity, records.instant(each.created), row]
        await self._redis.run(_STAGE_REJECTIONS, _staging(gallery), lineage, *words)

    async def finish_import(
        self, settings: GallerySettings, lineage: str, created: datetime, counts: Counts
    ) -> GalleryState:
        """Make a lineage the gallery's own, at once and whole."""
        before = await self._redis.run(
            _FINISH,
            _staging(settings.name),
            lineage,
            json.dumps(asdict(settings)),
            settings.digest,
            records.instant(created),
            *astuple(counts),
            "1" if settings.keep_samples else "",
        )
        gone = [name.decode() for name in before]
        for name in gone if settings.keep_samples else [*gone, _originals(lineage)]:
            await self.purge(settings.name, name)
        return await self.gallery(settings.name)

    async def abandon_import(self, gallery: str, lineage: str) -> None:
        """Remove all that was staged."""
        await self.purge(gallery, _originals(lineage))
        await self.purge(gallery, lineage)

    async def owes_rewrite(self) -> bool:
        """Whether the store's append-only file may hold what was erased."""
        if await self._redis.read("GET", _OWED):
            return True
        return any(state.erased > state.rewritten for state in await self.galleries())

    async def rewrite(self) -> None:
        """Let the store write its append-only file anew, and note what is out of it then."""
        owed = await self._redis.read("GET", _OWED)
        states = await self.galleries()
        await self._redis.rewrite()
        for state in states:
            if state.erased > state.rewritten:
                name, lineage = state.settings.name, state.position.lineage
                await self._run(_NOTE_REWRITTEN, name, lineage, state.erased)
        if owed is not None:
            await self._redis.run(_SETTLE, [_OWED], owed)

    async def check(self) -> list[str]:
        """Return why the store must not be trusted with writes; empty when all is well."""
        return await self._redis.check()

    async def close(self) -> None:
        """Give back every connection."""
        await self._redis.close()

    async def _run(self, script: Script, gallery: str, *arguments: Word) -> Any:
        return await self._redis.run(script, [root(gallery)], *arguments)

    async def _entries(self) -> list[tuple[str, str]]:
        """Return the name and lineage of each gallery, some of which may be gone or half made."""
        entries = await self._redis.read("SMEMBERS", GALLERIES)
        return [(name, lineage) for name, lineage in (e.decode().split(":") for e in entries)]

    async def purge(self, name: str, lineage: str) -> None:
        """Remove what a deleted lineage held, in steps short enough for others to go between."""
        keys = [root(name), doomed(name)]
        await self._redis.run(_OWE, [_OWED])  # here too: this process may be killed before the end
        while (more := await self._redis.run(_PURGE, keys, lineage, _CHUNK)) > 0:
            pass
        if more < 0:
            return
        await self._redis.run(_OWE, [_OWED])
        await self._redis.write("SREM", GALLERIES, f"{name}:{lineage}")


def script(name: str, flags: str = "", *, beside: tuple[str, ...] = ()) -> Script:
    """Return a script of that file, on top of gallery.lua and of those beside it."""
    folder = Path(__file__).parent / "scripts"
    parts = ("gallery", *beside, name)
    return Script(flags, "".join((folder / f"{part}.lua").read_text() for part in parts))


_CREATE: Final = script("create")
_ENROLL: Final = script("enroll")
_DESCRIBE: Final = script("describe")
_COHORT: Final = script("cohort")
_STAGE: Final = script("stage")
_STAGE_ORIGINALS: Final = script("stage_originals")
_STAGE_COHORT: Final = script("stage_cohort")
_STAGE_REJECTIONS: Final = script("stage_rejections")
_FINISH: Final = script("finish", beside=("edits",))
# A full store must still be able to forget.
_FORGET: Final = script("forget", "allow-oom", beside=("edits",))
_DELETE: Final = script("delete", "allow-oom", beside=("edits",))
_OWE: Final = Script("allow-oom", "redis.call('INCR', KEYS[1])")
_SETTLE: Final = Script(
    "allow-oom",
    "-- Forget what was owed, unless it is more by now.\n"
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end",
)
_NOTE_REWRITTEN: Final = script("rewritten", "allow-oom")
_PURGE: Final = script("purge", "allow-oom")
_LIST: Final = script("list", "no-writes")
_REFERENCES: Final = script("references", "no-writes")
_READ_COHORT: Final = script("read_cohort", "no-writes")
_ORIGINALS: Final = script("originals", "no-writes")


def root(gallery: str) -> str:
    """Return the key of a gallery's record."""
    return f"kindred:{{{gallery}}}:gallery"


def doomed(gallery: str) -> str:
    """Return the key of the lineages that are still to be purged."""
    return f"kindred:{{{gallery}}}:doomed"


def _staging(gallery: str) -> list[str]:
    return [root(gallery), doomed(gallery)]


def _cohort_words(cohort: StoredCohort) -> list[bytes | str]:
    return [
        cohort.identities.astype("<i8").tobytes(),
        cohort.embeddings.astype("<f4").tobytes(),
        cohort.calibration or "",
    ]


def _originals(lineage: str) -> str:
    """Return the name under which a gallery made with that lineage keeps what clients sent."""
    return hashlib.sha1(lineage.encode(), usedforsecurity=False).hexdigest()
