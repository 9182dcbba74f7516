"""A gallery gets another comparator: nobody is lost, and it answers all the while."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import structlog

from index import Identifier, Reference, TargetUnresolvable
from models_store import Comparator, Sample, Side, WrongModality
from service.embedding.batching import Overloaded
from service.embedding.embedder import Embedder
from service.parameters import InvalidParameter
from service.replicas.calibrations import of_gallery
from service.replicas.replica import members
from service.store.errors import (
    MigrationConflict,
    OriginalsMissing,
    OutOfStep,
    StoreError,
    UnknownGallery,
    UnknownMigration,
)
from service.store.identities import IdentityStore
from service.store.kept import Embedding, GallerySettings, GalleryState, Position
from service.store.migrations import Lacking, Migration, MigrationStore
from service.use_cases.agreement import Tried, measure_agreement
from service.use_cases.recogniser import EVEN_ODDS, Recogniser

EVERY = 0.5  # seconds between two looks at what is to be done
LEASE = 5.0  # seconds that a worker may be silent before another goes on in its place
PAGE = 32  # identities looked at in one go
BATCH = 16  # samples embedded and written in one go, so that others come between
BATCH_BYTES = 8 * 2**20  # … and of how many bytes, unless one alone is more
LISTED = 1000  # identities left behind that are named
TRIED = 20_000  # samples of a gallery, the oldest, that agreement is measured on
PATIENCE = 5.0  # seconds that a switch waits for embeddings of what was enrolled just now

log = structlog.get_logger("kindred.migrator")


class Migrator:
    """Starts, tells of, switches and ends migrations, and makes the embeddings in the background.

    A gallery in migration has two lineages. Enrollments are embedded by both comparators and kept
    in both by one script, and what is forgotten leaves both by one; so this only makes up what was
    there before, or what a service wrote that had not heard of the migration yet. After the switch
    the same holds the other way round, until the migration ends: going back loses nobody either.
    """

    def __init__(
        self,
        store: IdentityStore,
        migrations: MigrationStore,
        recogniser: Recogniser,
        embedder: Embedder,
        new_index: Callable[[Comparator, GalleryState], Identifier],
    ) -> None:
        self._store = store
        self._migrations = migrations
        self._recogniser = recogniser
        self._galleries = recogniser.galleries
        self._embedder = embedder
        self._new_index = new_index
        self._by_digest = {each.digest: each for each in recogniser.comparators.values()}
        self._worker = secrets.token_hex(8)

    async def start(
        self, gallery: str, comparator: str, *, automatic: bool, leave_behind: bool
    ) -> Migration:
        """Begin to embed a gallery by another comparator of the same modalities.

        Raises UnknownComparator, InvalidParameter, WrongModality, OriginalsMissing or
        MigrationConflict.
        """
        replica = self._galleries.get(gallery)
        self._galleries.demand_writable()
        model = self._recogniser.comparator(comparator)
        settings = replica.state.settings
        if model is replica.comparator:
            raise InvalidParameter("comparator", f"expected another than {model.title}, in force")
        _demand_same_modalities(replica.comparator, model, settings)
        state = await self._store.gallery(gallery)
        if state.beside:
            raise MigrationConflict("the gallery has a migration already; switch, or end it first")
        shadow = replace(settings, comparator=model.title, digest=model.digest)
        try:
            if not settings.keep_samples:
                raise OriginalsMissing("no sample was ever kept")  # noqa: TRY301 - as below
            await self._migrations.begin(
                state,
                replica.comparator.manifest.dimension,
                shadow,
                model.manifest.dimension,
                automatic=automatic,
                leave_behind=leave_behind,
            )
        except OriginalsMissing as error:
            kept = await self._store.identities(gallery, limit=LISTED)
            raise OriginalsMissing(
                "the gallery keeps no samples that another comparator could embed: make one with "
                "keep_samples and enroll these identities there from your own files",
                [each.name for each in kept],
            ) from error
        log.info("migration begun", comparator=model.title)
        await self._galleries.take_in(await self._store.gallery(gallery))
        return await self.migration(gallery)

    async def migration(self, gallery: str) -> Migration:
        """Return how far a gallery's migration is."""
        self._galleries.get(gallery)
        return await self._migrations.migration(gallery, LISTED)

    async def switch(self, gallery: str, *, leave_behind: bool) -> Migration:
        """Put the new comparator in force, or raise MigrationConflict or OriginalsMissing."""
        return await self._swap(gallery, leave_behind=leave_behind, back=False)

    async def roll_back(self, gallery: str, *, leave_behind: bool) -> Migration:
        """Put the comparator of before in force again, in the same way."""
        return await self._swap(gallery, leave_behind=leave_behind, back=True)

    async def end(self, gallery: str, *, switched_only: bool) -> int:
        """Forget the embeddings of the comparator that is not in force; return the version."""
        self._galleries.get(gallery)
        self._galleries.demand_writable()
        found = await self._migrations.migration(gallery)
        if switched_only and not found.changed:
            raise MigrationConflict(f"{found.shadow.comparator} is not in force yet")
        change = await self._migrations.end(gallery, found.beside)
        log.info("migration ended", comparator=found.in_force.comparator)
        await self._galleries.take_in(await self._store.gallery(gallery))
        return change.version

    async def run(self) -> None:
        """Make embeddings wherever some are to be made, until cancelled."""
        while True:
            worked = False
            for replica in [each for each in self._galleries.replicas if each.beside]:
                try:
                    worked |= await self._step(replica.name)
                except (UnknownGallery, UnknownMigration, MigrationConflict, OutOfStep):
                    pass  # deleted, ended or switched meanwhile
                except (StoreError, Overloaded) as error:
                    log.warning("a migration pauses", error=type(error).__name__)
                except Exception:
                    log.exception("a migration failed; it is tried again")
            await asyncio.sleep(0 if worked else EVERY)

    async def _step(self, gallery: str) -> bool:
        """Do a bit of what is to be done for a gallery; return whether there may be more."""
        if not await self._migrations.claim(gallery, self._worker, LEASE):
            return False
        found = await self._migrations.migration(gallery)
        if not found.passed:
            page = await self._migrations.lacking(gallery, found.beside, found.cursor, PAGE)
            await self._make(found, page)
            told: dict[str, str | int] = {"cursor": page[-1].number} if page else {"passed": 1}
            await self._migrations.note(gallery, found.beside, **told)
            return True
        if found.pending:
            await self._make_pending(found)
            return True
        if found.state == "ready" and found.agreement is None:
            agreement = json.dumps(await self._measure(found))
            await self._migrations.note(gallery, found.beside, agreement=agreement)
            return True
        if found.state == "ready" and found.automatic and (found.leave_behind or not found.left):
            await self._swap(gallery, leave_behind=found.leave_behind, back=False)
        return False

    async def _make_pending(self, found: Migration) -> None:
        page = await self._migrations.lacking(found.gallery, found.beside, None, PAGE)
        await self._make(found, page)

    async def _make(self, found: Migration, page: Sequence[Lacking]) -> None:
        """Let the shadow have these identities, with all embeddings that can be made."""
        model, side = self._by_digest[found.shadow.digest], found.shadow.references
        for batch in _batches(page):
            asked, samples = [], []
            for number, ids in batch.items():
                kept = await self._store.originals(found.gallery, number, ids)
                for id_, sample in zip(ids, kept, strict=True):
                    if sample is not None:  # or forgotten since
                        asked.append((number, id_))
                        samples.append(sample)
            embedded = await self._embed(model, side, samples)
            made: dict[int, dict[int, Embedding | None]] = {number: {} for number in batch}
            for (number, id_), embedding in zip(asked, embedded, strict=True):
                made[number][id_] = embedding
            await self._migrations.mirror(found.gallery, found.beside, made)

    async def _embed(
        self, model: Comparator, side: Side, samples: Sequence[Sample]
    ) -> list[Embedding | None]:
        """Return an embedding of each sample; None of one that the comparator cannot embed."""
        if not samples:
            return []
        found = await self._embedder.embed(model, side, samples)
        rows: list[Embedding | None] = [None] * len(samples)
        for i, row in zip(found.indices, found.embeddings, strict=True):
            rows[i] = row
        return rows

    async def _swap(self, gallery: str, *, leave_behind: bool, back: bool) -> Migration:
        self._galleries.get(gallery)
        self._galleries.demand_writable()
        found = await self._migrations.migration(gallery, LISTED)
        if found.changed != back:
            raise MigrationConflict(f"{found.in_force.comparator} is in force already")
        if not found.passed:
            raise MigrationConflict(
                f"expected embeddings of all identities, {found.done} of {found.total} are made"
            )
        until = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                state = await self._migrations.switch(
                    gallery, found.beside, leave_behind=leave_behind
                )
                break
            except MigrationConflict:
                if asyncio.get_running_loop().time() > until:
                    raise
                await self._make_pending(found)
            except OriginalsMissing as error:
                raise OriginalsMissing(
                    f"{found.shadow.comparator} cannot embed a sample of {found.left} identities: "
                    "no original is kept, or it is none for it. Enroll them again from files, "
                    "forget these samples, or say leave_behind",
                    found.left_names,
                ) from error
        log.info("comparator switched", comparator=state.settings.comparator)
        await self._galleries.take_in(state)
        return await self.migration(gallery)

    async def _measure(self, found: Migration) -> dict[str, object]:
        """Return what agreement was found, or the reason why none can be, as a JSON object."""
        before, after = (
            self._by_digest.get(each.digest) for each in (found.in_force, found.shadow)
        )
        if before is None or after is None or not (before.manifest.tied and after.manifest.tied):
            return {"reason": "probes are embedded by another encoder than what is enrolled"}
        told = {"version": found.version}
        target = found.in_force.target_fpir or self._recogniser.target_fpir
        tried = [
            await self._tried(found, before, found.in_force, found.lineage),
            await self._tried(found, after, found.shadow, found.beside),
        ]
        try:
            agreement = await asyncio.to_thread(
                measure_agreement,
                *tried,
                target_fpir=target,
                prior_known=found.in_force.prior_known or EVEN_ODDS,
            )
        except TargetUnresolvable as error:
            return told | {"reason": str(error)}
        return told | asdict(agreement)

    async def _tried(
        self, found: Migration, model: Comparator, settings: GallerySettings, lineage: str
    ) -> Tried:
        """Return the gallery as one comparator has it, apart from the one that is asked."""
        state = await self._store.gallery(found.gallery)
        identifier = self._new_index(model, replace(state, settings=settings))
        at = Position(lineage, 0, "")
        with contextlib.suppress(OutOfStep):  # the shadow has strangers of its own after a switch
            if own := await self._store.cohort(found.gallery, at):
                measured = of_gallery(model, own, settings.probes)
                identifier.replace_cohort(members(own), "gallery", measured)
        references: list[Reference] = []
        rows: list[Embedding] = [np.empty((0, model.manifest.dimension), np.float32)]
        async for some in self._store.load(found.gallery, at):
            pairs = zip(some.samples.tolist(), some.identities.tolist(), strict=True)
            references += [Reference(sample, some.names[number]) for sample, number in pairs]
            rows.append(some.embeddings)
            if len(references) >= TRIED:
                break
        embeddings = np.concatenate(rows)
        if references:
            await asyncio.to_thread(identifier.enroll, references, embeddings)
        return Tried(identifier, references, embeddings)


def _demand_same_modalities(
    before: Comparator, after: Comparator, settings: GallerySettings
) -> None:
    for whose, side in (("references", settings.references), ("probes", settings.probes)):
        was, will = (each.manifest.encoders[side].modality for each in (before, after))
        if was != will:
            raise WrongModality(f"the gallery's {whose} are {was}, {after.title} compares {will}")


def _batches(page: Sequence[Lacking]) -> Iterator[dict[int, list[int]]]:
    """Yield ids of samples by identity, as many as are embedded in one go."""
    batch: dict[int, list[int]] = {}
    count = size = 0
    for identity in page:
        batch[identity.number] = []
        for sample, length in identity.samples.items():
            if count and (count == BATCH or size + length > BATCH_BYTES):
                yield batch
                batch, count, size = {identity.number: []}, 0, 0
            batch[identity.number].append(sample)
            count, size = count + 1, size + length
    if batch:
        yield batch
