"""Composition root: the parts, put together once."""

import asyncio
import importlib.metadata
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from threading import Barrier
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from index import (
    ApproximateGallery,
    DeviceGallery,
    FaissGallery,
    Gallery,
    Identifier,
    Metric,
    gpus,
)
from models_store import Comparator, SampleLimits, Shelf, newest, shelve
from service.begun import Begun
from service.callers.keys import Keyring
from service.callers.quotas import Questions
from service.children.evaluation_runs import EvaluationRuns
from service.doubts import tell_doubts
from service.edge.access import Door
from service.edge.middleware import Edge, tell_framework_error
from service.edge.problems import slugs
from service.embedding.decoding import Decoders
from service.embedding.embedder import Embedder
from service.replicas.calibrations import of_bundle, others_of_bundle, rule_of
from service.replicas.erasure import Pending, keep_rewriting
from service.replicas.galleries import Galleries
from service.replicas.snapshots import Snapshots
from service.replicas.stowing import Stowage
from service.requests.upload import UploadLimits
from service.routes import Parts, Straight, console, router, successes
from service.routes.wire import complete
from service.settings import Settings, split
from service.store.durable_redis import DurableRedis
from service.store.edits import EditStore
from service.store.embedded_redis import keep_running
from service.store.identities import IdentityStore
from service.store.kept import GalleryState
from service.store.migrations import MigrationStore
from service.store.redis_edits import RedisEdits
from service.store.redis_migrations import RedisMigrations
from service.store.redis_store import RedisIdentityStore
from service.use_cases.decisions import Decisions
from service.use_cases.evaluating import Evaluator
from service.use_cases.imports import ImportLimits
from service.use_cases.mapping import Maps
from service.use_cases.migrator import Migrator
from service.use_cases.recogniser import Recogniser
from service.watching.canaries import Canaries
from service.watching.drift import Drift
from service.watching.gauges import Gauges
from service.watching.telemetry import ServedComparator, Telemetry

FOLLOW_EVERY = 0.5  # seconds between two looks at what other processes changed

log = structlog.get_logger("kindred.app")


def create_app(parts: Parts, door: Door, deadline: float, body_timeout: float = 30.0) -> FastAPI:
    """Return the web application over parts that are ready; it needs no lifespan."""
    app = FastAPI(
        title="Kindred",
        version=importlib.metadata.version("kindred"),
        summary="Have we seen this before, and whose is it?",
        docs_url=None,  # the framework's own pages load scripts from elsewhere
        redoc_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it tells of messages
        exception_handlers={
            HTTPException: tell_framework_error,
            RequestValidationError: tell_framework_error,
        },
    )
    app.state.parts = parts
    app.state.draining = False
    app.include_router(router)
    app.include_router(console.router)
    app.add_middleware(Straight)
    app.add_middleware(
        Edge,
        door=door,
        telemetry=parts.telemetry,
        deadline=deadline,
        body_timeout=body_timeout,
    )
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        return complete(describe())

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way
    return app


@asynccontextmanager
async def from_settings(settings: Settings, begun: Begun) -> AsyncIterator[FastAPI]:
    """Open everything that the settings name, some of which is begun, and close it afterwards."""
    keys = Keyring(
        settings.keys, settings.keys_file, probes_per_identity=settings.probes_per_identity
    )
    async with AsyncExitStack() as stack:
        asyncio.get_running_loop().set_default_executor(_threads("other"))
        snapshots = Snapshots(begun.snapshots_folder, ahead=begun.snapshots)
        shelf, url = await asyncio.gather(
            _open_shelf(settings, begun), _store_of(settings, begun, stack)
        )
        doubts = (f"bundle {each.bundle}: {each.reason}" for each in shelf.warnings)
        tell_doubts(doubts, strict=settings.strict)
        redis = DurableRedis(
            url,
            timeout=settings.store_timeout,
            fsync="everysec" if settings.allow_everysec else "always",
            replicas=settings.wait_replicas,
            assert_durable=settings.assert_store_durable,
        )
        store = RedisIdentityStore(redis, settings.log_length, settings.max_kept_bytes)
        stack.push_async_callback(store.close)
        parts = await _assemble(
            settings,
            shelf,
            store,
            RedisMigrations(redis, store),
            RedisEdits(redis, settings.undoable_edits, settings.max_rejections),
            snapshots,
            stack,
        )
        app = create_app(
            parts,
            Door(keys, split(settings.allowed_hosts), any_host=settings.allow_keyless),
            settings.request_deadline,
            settings.body_timeout,
        )
        galleries, telemetry = parts.recogniser.galleries, parts.telemetry
        stowage = parts.stowage
        stack.push_async_callback(stowage.close)
        stack.push_async_callback(parts.maps.close)
        listed, pending = split(settings.metrics_galleries), Pending()
        canaries = Canaries(
            galleries,
            shelf.comparators.values(),
            listed,
            settings.target_fpir,
            every=settings.canary_interval,
            on_wrong=telemetry.canary_wrong,
        )
        gauges = Gauges(
            telemetry,
            parts.recogniser,
            stowage,
            pending,
            parts.drift,
            canaries,
            listed,
            settings.queue_length,
        )
        for background in (
            stowage.run(),
            *([keep_rewriting(parts.store, pending)] if settings.rewrite_store_log else []),
            parts.migrator.run(),
            parts.maps.follow(),
            gauges.keep(lambda: app.state.draining),
            *([canaries.run()] if settings.canary_interval else []),
            telemetry.watch_event_loop(),
            keys.follow(on_read=telemetry.keys),
            *([keep_running(begun.store)] if begun.store else []),
        ):
            task = asyncio.create_task(background)
            stack.push_async_callback(_cancel, task)
        yield app


async def _assemble(
    settings: Settings,
    shelf: Shelf,
    store: IdentityStore,
    migrations: MigrationStore,
    edits: EditStore,
    snapshots: Snapshots,
    stack: AsyncExitStack,
) -> Parts:
    def threads(name: str, count: int | None = None) -> Executor:
        return stack.enter_context(_threads(name, count))

    comparators = shelf.comparators
    default = _default(settings, comparators)
    telemetry = Telemetry(
        routes=successes(),
        problems=slugs(),
        comparators=[
            ServedComparator(c.title, c.digest, c.provider, settings.device)
            for c in comparators.values()
        ],
        galleries=split(settings.metrics_galleries),
        version=importlib.metadata.version("kindred"),
    )
    telemetry.bundles_refused(len(shelf.refusals))
    searchers = threads("search")
    new = partial(new_index, engine=_engine(settings))
    snapshots.on_read = telemetry.snapshot_read
    galleries = Galleries(
        store,
        comparators,
        default,
        new,
        searchers,
        snapshots,
        max_staleness=settings.max_staleness,
        keep_samples=settings.keep_samples,
    )
    # First: galleries are read while the decoders' template starts.
    stack.push_async_callback(_cancel, asyncio.create_task(galleries.follow(FOLLOW_EVERY)))
    decoders = await stack.enter_async_context(
        Decoders(
            comparators,
            at_once=settings.decoders,
            seconds=settings.decode_seconds,
            slow_seconds=settings.decode_slow_seconds,
            memory=settings.decode_memory,
            on_loss=telemetry.decoder_lost,
        )
    )
    embedder = Embedder(
        comparators,
        decoders=decoders,
        encoders=threads("encode", max(1, len(comparators))),
        max_batch=settings.max_batch,
        queue_length=settings.queue_length,
        on_batch=telemetry.batch,
        on_refusal=telemetry.refused,
    )
    recogniser = Recogniser(
        comparators,
        default,
        embedder,
        galleries,
        store,
        searchers,
        settings.target_fpir,
        on_write=telemetry.store_write,
        on_suspicion=settings.on_suspicion,
        searched_up_to=settings.bulk_searched_up_to,
    )
    evaluator = Evaluator(
        recogniser,
        embedder,
        EvaluationRuns(
            at_once=settings.evaluations,
            waiting=settings.evaluations_waiting,
            memory=settings.evaluation_memory,
        ),
        threads("evaluate"),
        settings.models_store,
    )
    dimension = max((c.manifest.dimension for c in comparators.values()), default=0)
    uploads = UploadLimits(
        body=settings.max_upload_bytes,
        file=settings.max_file_bytes,
        files=settings.max_files,
        embeddings=settings.max_embeddings,
        numbers=settings.max_embeddings * dimension,
    )
    return Parts(
        stowage=Stowage(snapshots, galleries.all_replicas),
        recogniser=recogniser,
        store=store,
        shelf=shelf,
        telemetry=telemetry,
        drift=Drift(comparators.values()),
        uploads=uploads,
        bulk_limit=settings.max_bulk_bytes,
        bulk_unread=settings.bulk_unread_bytes,
        import_limit=settings.max_import_bytes,
        imports=ImportLimits(
            line=settings.max_upload_bytes,
            metadata=settings.max_metadata_bytes,
            original=settings.max_file_bytes,
            strangers=settings.max_evaluation_embeddings,
            rejections=settings.max_rejections,
        ),
        metadata_limit=settings.max_metadata_bytes,
        evaluator=evaluator,
        evaluation_uploads=UploadLimits(
            body=settings.max_evaluation_bytes,
            file=settings.max_file_bytes,
            files=settings.max_evaluation_files,
            embeddings=settings.max_evaluation_embeddings,
            numbers=settings.max_evaluation_embeddings * dimension,
            archive=settings.max_evaluation_bytes,
        ),
        evaluation_deadline=settings.evaluation_deadline,
        questions=Questions(),
        migrator=Migrator(store, migrations, recogniser, embedder, new),
        edits=edits,
        embedder=embedder,
        decisions=Decisions(
            settings.decisions, settings.decision_seconds, settings.decision_bytes
        ),
        maps=Maps(
            galleries,
            most=settings.map_samples,
            memory=settings.map_memory,
            seconds=settings.map_seconds,
            on_layout=telemetry.laid_out,
            working=telemetry.mapping,
        ),
    )


def _threads(name: str, count: int | None = None) -> ThreadPoolExecutor:
    """Return so many threads, or as many as the library has by itself, all of them started.

    One that is started when memory is short may end before it begins: who starts it, here the
    event loop, would wait for that for ever.
    """
    count = count or min(32, (os.cpu_count() or 1) + 4)
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    together = Barrier(count)  # or the first would do what the others are started for
    for _ in range(count):
        pool.submit(together.wait)
    return pool


def new_index(
    comparator: Comparator,
    state: GalleryState,
    engine: Callable[[int, Metric], Gallery] = FaissGallery,
) -> Identifier:
    """Return an empty index that compares as the comparator does."""
    manifest, probes = comparator.manifest, state.settings.probes
    posterior, genuine = of_bundle(comparator, probes)
    return Identifier(
        lambda: engine(manifest.dimension, manifest.distance),
        comparator.score,
        comparator.cohorts[probes],
        cohort_groups=comparator.cohort_groups,
        rule=rule_of(comparator, state.settings),
        posterior=posterior,
        genuine=genuine,
        others=others_of_bundle(comparator, probes),
        choosing=state.settings.rule is None,
        own_trials=manifest.tied,
    )


def _engine(settings: Settings) -> Callable[[int, Metric], Gallery]:
    """Return what makes galleries: on a GPU all are searched exactly."""
    if settings.device != "cpu" and gpus():
        return DeviceGallery
    if settings.device == "cuda":
        log.warning("FAISS knows no GPU: galleries are searched on the CPU")
    return partial(ApproximateGallery, above=settings.approximate_above)


async def _store_of(settings: Settings, begun: Begun, stack: AsyncExitStack) -> str:
    """Return where the store is; one of our own has read its file by then."""
    if begun.store is not None:
        return (await stack.enter_async_context(begun.store)).url
    return settings.store_url() or ""  # never empty: then one of our own would be begun


async def _open_shelf(settings: Settings, begun: Begun) -> Shelf:
    limits = SampleLimits(
        pixels=settings.max_pixels,
        least_side=settings.min_side,
        aspect_ratio=settings.max_aspect_ratio,
        seconds=settings.max_audio_seconds,
        channels=settings.max_audio_channels,
        characters=settings.max_characters,
    )
    found = await asyncio.wrap_future(begun.bundles)
    shelf = await asyncio.to_thread(shelve, found, settings.device, settings.threads, limits)
    for comparator in shelf.comparators.values():
        log.info("comparator served", comparator=comparator.title, provider=comparator.provider)
    for refusal in shelf.refusals:
        log.error("bundle refused", bundle=refusal.bundle, reason=refusal.reason)
    return shelf


def _default(settings: Settings, comparators: dict[str, Comparator]) -> Comparator | None:
    if settings.default_comparator is not None:
        return newest(comparators, settings.default_comparator)
    first = min(
        (comparator.manifest for comparator in comparators.values()),
        key=lambda manifest: (not manifest.tied, manifest.name),
        default=None,
    )
    return newest(comparators, first.name) if first else None


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
