"""The use cases: verify, embed, enroll, identify, forget; and what others stand on."""

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from time import perf_counter
from typing import Protocol, Self, TypeVar

from index import (
    LIKELY,
    Health,
    Rule,
    examine,
    unjudged,
)
from models_store import Comparator, Given, Side, newest
from service.callers.keys import KEYLESS, Caller, OutOfScope
from service.embedding.embedder import EmbeddedSamples, Embedder
from service.parameters import InvalidParameter
from service.replicas.calibrations import pair_threshold
from service.replicas.galleries import Galleries
from service.replicas.probing import Probing
from service.replicas.replica import Replica, ReplicaBehind
from service.store.errors import StoreError, UnknownGallery
from service.store.identities import IdentityStore
from service.store.kept import Change, GallerySettings, GalleryState, Metadata, StoredCohort
from service.use_cases.enrolling import Asked, Enrolling, OnSuspicion, Prepared, Stored
from service.use_cases.results import (
    Checkup,
    Enrollments,
    Identifications,
    Verification,
)

T = TypeVar("T")


class Written(Protocol):
    """What a write left: a version of its gallery."""

    @property
    def version(self) -> int:
        """The gallery's version with it."""


WrittenT = TypeVar("WrittenT", bound=Written)

EVEN_ODDS = 0.5
"""The share of probes that are of anybody enrolled, where the gallery does not say."""

_LISTED = 100  # of what a check-up finds, where nobody says how many


class UnknownComparator(LookupError):
    """No comparator of that name is served."""


class Recogniser:
    """Answers what the routes ask, knowing neither HTTP nor Redis."""

    def __init__(
        self,
        comparators: Mapping[str, Comparator],
        default: Comparator | None,
        embedder: Embedder,
        galleries: Galleries,
        store: IdentityStore,
        searchers: Executor,
        target_fpir: float,
        on_write: Callable[[str, float], None] = lambda _operation, _seconds: None,
        on_suspicion: OnSuspicion = "warn",
        searched_up_to: int = 5000,
    ) -> None:
        self.comparators = dict(comparators)
        self.galleries = galleries
        self.target_fpir = target_fpir
        self._default = default
        self.embedder = embedder
        self._store = store
        self._searchers = searchers
        self._probing = Probing(searchers)
        self._on_write = on_write
        self._enrolling = Enrolling(
            embedder, galleries, store, searchers, on_suspicion, on_write, searched_up_to
        )
        self._caller = KEYLESS
        self._one_check_up = asyncio.Lock()  # or check-ups would keep every searcher busy

    def comparator(self, name: str | None) -> Comparator:
        """Return the comparator of a `name@version` or the newest of a name, or the default."""
        found = self._default if name is None else newest(self.comparators, name)
        if found is None:
            raise UnknownComparator("no such comparator is served; GET /comparators lists them")
        return found

    def seen_by(self, caller: Caller) -> Self:
        """Return the same as a caller has it: galleries out of scope are as if there were none."""
        seen = copy.copy(self)
        seen._caller = caller
        return seen

    def gallery(self, name: str) -> Replica:
        """Return a gallery in scope, or raise as `Galleries.get` does."""
        self._demand_scope(name)
        return self.galleries.get(name)

    def answering(self, name: str) -> Replica:
        """Return a gallery to answer from, or raise ReplicaBehind where that may be too old."""
        replica = self.gallery(name)
        self.galleries.demand_level(replica)
        return replica

    def replicas(self) -> list[Replica]:
        """Return every gallery that is served and in scope, by name."""
        return [replica for replica in self.galleries.replicas if self._caller.sees(replica.name)]

    def _demand_scope(self, gallery: str) -> None:
        if not self._caller.sees(gallery):
            raise OutOfScope("there is no such gallery")

    def queue_depths(self) -> dict[str, int]:
        """Return how many samples wait for each comparator."""
        return self.embedder.queue_depths()

    async def verify(
        self,
        a: Given,
        b: Given,
        comparator: str | None = None,
        target_fmr: float | None = None,
        threshold: float | None = None,
    ) -> Verification:
        """Say whether two samples are the same, at a false-match rate or a threshold."""
        model = self.comparator(comparator)
        threshold, target_fmr, fmr = pair_threshold(model, target_fmr, threshold)
        budget = self.embedder.budget()
        left, right = await asyncio.gather(
            self.embedder.embed(model, "a", [a], budget),
            self.embedder.embed(model, "b", [b], budget),
        )
        left.demand_some()
        right.demand_some()
        distance = model.distance(left.embeddings, right.embeddings)
        score = float(model.score(distance)[0])
        return Verification(
            comparator=model,
            score=score,
            distance=float(distance[0]),
            match=score >= threshold,
            threshold=threshold,
            target_fmr=target_fmr,
            fmr=fmr,
            timings={
                stage: max(left.timings.get(stage, 0), right.timings.get(stage, 0))
                for stage in left.timings | right.timings
            },
        )

    async def embed(
        self, files: Sequence[Given], comparator: str | None, side: Side
    ) -> tuple[Comparator, EmbeddedSamples]:
        """Return the vectors that search compares."""
        model = self.comparator(comparator)
        embedded = await self.embedder.embed(model, side, files)
        if len(files) == 1:
            embedded.demand_some()
        return model, embedded

    async def create_gallery(
        self,
        name: str,
        comparator: str | None = None,
        *,
        rule: Rule | None = None,
        target_fpir: float | None = None,
        prior_known: float | None = None,
        keep_samples: bool = False,
        references: Side = "b",
    ) -> Replica:
        """Make an empty gallery of one comparator version, whose `references` are of a side."""
        self._demand_scope(name)
        model = self.comparator(comparator)
        settings = GallerySettings(
            name,
            model.title,
            model.digest,
            rule,
            target_fpir,
            prior_known,
            keep_samples,
            references,
        )
        state = await self._write("gallery", lambda: self._store.create_gallery(settings))
        return await self.galleries.take_in(state)

    async def import_gallery(
        self, name: str, write: Callable[[], Awaitable[GalleryState]]
    ) -> Replica:
        """Serve the gallery that a write makes whole."""
        self._demand_scope(name)
        return await self.galleries.take_in(await self._write("gallery", write))

    async def delete_gallery(self, name: str) -> None:
        """Delete a gallery and everything in it."""
        self.gallery(name)
        await self._write("gallery", lambda: self._store.delete_gallery(name))
        await self.galleries.drop(name)

    async def enroll(
        self,
        gallery: str,
        identity: str,
        files: Sequence[Given],
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
    ) -> Enrollments:
        """Keep samples under an identity; it returns once the store will not lose them."""
        asked = Asked(identity, files, metadata, idempotency_key)
        self.gallery(gallery)
        most = self._most_samples
        prepared = await self._enrolling.prepare(gallery, [asked], most)
        stored = await self._enrolling.write(prepared, most)
        await stored.followed()
        [outcome] = stored.outcomes
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def prepare_many(
        self, gallery: str, asked: Sequence[Asked], *, thorough: bool
    ) -> Prepared:
        """Embed samples of many enrollments, to be written by `enroll_many`."""
        self.gallery(gallery)
        most = self._most_samples
        return await self._enrolling.prepare(gallery, asked, most, thorough=thorough)

    async def enroll_many(self, prepared: Prepared) -> Stored:
        """Write enrollments together, in order; each has an outcome of its own."""
        return await self._enrolling.write(prepared, self._most_samples)

    @property
    def _most_samples(self) -> int | None:
        return self._caller.quota.samples_per_gallery

    async def identify(
        self,
        gallery: str,
        files: Sequence[Given],
        *,
        target_fpir: float | None = None,
        threshold: float | None = None,
        rule: Rule | None = None,
        k: int = 5,
        top: int = 5,
        min_version: int = 0,
    ) -> Identifications:
        """Say whose each sample is, or that it is nobody's who is enrolled."""
        if target_fpir is not None and threshold is not None:
            raise InvalidParameter("threshold", "expected target_fpir or threshold, not both")
        replica = self.answering(gallery)
        if replica.version < min_version:
            replica = await self._reach(gallery, min_version)
            if replica.version < min_version:
                raise ReplicaBehind(f"the gallery is at version {replica.version} here")
        if threshold is None and target_fpir is None:
            target_fpir = replica.state.settings.target_fpir or self.target_fpir
        embedded = await self.embedder.embed(
            replica.comparator, replica.state.settings.probes, files
        )
        if len(files) == 1:
            embedded.demand_some()
        started, version = perf_counter(), replica.version
        index = replica.index
        results = await self._probing.identify(
            index,
            embedded.embeddings,
            {
                "rule": rule,
                "target_fpir": target_fpir,
                "threshold": threshold,
                "k": k,
                "top": top,
                "prior_known": replica.state.settings.prior_known or EVEN_ODDS,
            },
        )
        return Identifications(
            replica=replica,
            version=version,
            identities=index.identities,
            indices=embedded.indices,
            results=results,
            embeddings=embedded.embeddings,
            failures=embedded.failures,
            timings=embedded.timings | {"search": perf_counter() - started},
        )

    async def check_up(self, gallery: str, *, few: int, limit: int | None) -> Checkup:
        """Say what seems wrong with who is enrolled, one gallery at a time.

        With a limit that many are ranked, whether they are likely to be wrong or not.
        """
        replica = self.answering(gallery)
        most, least = (_LISTED, LIKELY) if limit is None else (limit, 0.0)
        async with self._one_check_up:
            started, version = perf_counter(), replica.version
            index, model = replica.index, replica.comparator

            def check() -> Health:
                references, embeddings = index.enrolled()
                if not model.manifest.tied:
                    return unjudged(references, few=few, limit=most)
                metric = model.manifest.distance
                return examine(
                    references,
                    embeddings,
                    model.score,
                    metric=metric,
                    few=few,
                    limit=most,
                    least=least,
                )

            found = await self.in_thread(check)
        return Checkup(replica, version, found, {"check": perf_counter() - started})

    async def forget_identity(self, gallery: str, identity: str) -> Change:
        """Forget an identity; it is found nowhere once this returns."""
        return await self.change(
            gallery, "forget", lambda: self._store.forget_identity(gallery, identity)
        )

    async def forget_sample(self, gallery: str, identity: str, sample: int) -> Change:
        """Forget one sample of an identity."""
        return await self.change(
            gallery, "forget", lambda: self._store.forget_sample(gallery, identity, sample)
        )

    async def describe(self, gallery: str, identity: str, metadata: Metadata) -> Change:
        """Replace an identity's metadata."""
        return await self.change(
            gallery, "identity", lambda: self._store.update_metadata(gallery, identity, metadata)
        )

    async def judge_by(self, cohort: StoredCohort, gallery: str, digest: str) -> Change:
        """Judge a gallery by these strangers from now on, as the comparator of a digest has them.

        Raises ModelMismatch if the gallery has got another comparator.
        """
        return await self.change(
            gallery, "cohort", lambda: self._store.put_cohort(gallery, digest, cohort)
        )

    async def change(
        self, gallery: str, operation: str, write: Callable[[], Awaitable[WrittenT]]
    ) -> WrittenT:
        """Do a write that changes a gallery in scope; it is followed here once this returns."""
        self.gallery(gallery)
        change = await self._write(operation, write)
        await self._follow(gallery, change.version)
        return change

    async def _write(self, operation: str, write: Callable[[], Awaitable[T]]) -> T:
        """Do a write, unless the store would not keep it, and time it."""
        self.galleries.demand_writable()
        started = perf_counter()
        written = await write()
        self._on_write(operation, perf_counter() - started)
        return written

    async def _follow(self, gallery: str, version: int) -> None:
        """Let the index follow a write that is durable already, now or as soon as it can."""
        with contextlib.suppress(StoreError, UnknownGallery):
            await self.gallery(gallery).reach(self._store, version)

    async def _reach(self, gallery: str, version: int) -> Replica:
        """Return a gallery at that version, if it can be; perhaps by another comparator by now."""
        replica = self.gallery(gallery)
        await replica.reach(self._store, version)
        if replica.version < version:
            await self.galleries.refresh()
            await self.galleries.changed(gallery)
        return self.gallery(gallery)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run what takes a while beside the event loop, with the searches."""
        return await asyncio.get_running_loop().run_in_executor(self._searchers, function)
