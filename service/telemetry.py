"""What operators see of the service: Prometheus series, and one log line a request."""

import asyncio
import logging
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from structlog.types import EventDict, Processor, WrappedLogger

OTHER = "_other"
STAGES = ("receive", "decode", "queue", "encode", "search", "decide", "store", "barrier")
DECISIONS = ("match", "possible", "unknown")
ENROLLMENTS = ("added", "duplicate", "refused")
WRITES = ("enroll", "forget", "gallery", "identity", "cohort")
REASONS = (
    "starting",
    "store-unavailable",
    "store-not-durable",
    "gallery-reconciling",
    "no-comparator",
    "draining",
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128)
_SCORES = tuple(i / 20 for i in range(1, 21))
_P_VALUES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_CODES = ("200", "500", "503")
_MOST_GALLERIES = 20
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C


@dataclass(frozen=True, slots=True)
class ServedComparator:
    """A comparator in service: its `name@version`, and what it runs on against what was asked."""

    name: str
    digest: str
    provider: str
    provider_wanted: str


@dataclass(frozen=True, slots=True)
class GalleryState:
    """The size of a gallery now, and the promise that it keeps; `None` is not yet known."""

    name: str
    identities: int
    samples: int
    version: int
    target_fpir: float | None = None
    threshold: float | None = None
    cohort_identities: int | None = None


class Telemetry:
    """Every series that `/metrics` shows, in a registry of its own, from the first scrape on.

    Labels come from the closed lists given here. Whatever else arrives is counted as `_other`,
    so no request can add a series; docs/metrics.md tells each name's meaning.
    """

    def __init__(
        self,
        *,
        routes: Sequence[str],
        problems: Sequence[str],
        comparators: Sequence[ServedComparator],
        galleries: Sequence[str] = ("default",),
        version: str = "0",
        commit: str = "unknown",
    ) -> None:
        if len(galleries) > _MOST_GALLERIES:
            raise ValueError(
                f"at most {_MOST_GALLERIES} galleries get series of their own, got {len(galleries)}"
            )
        disable_created_metrics()  # a start time per series would double the scrape
        self._routes = frozenset(routes)
        self._problem_types = frozenset(problems)
        self._comparators = frozenset(served.name for served in comparators)
        self._galleries = tuple(dict.fromkeys(galleries))
        self._log = structlog.stdlib.get_logger("kindred.requests")

        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        names = sorted(self._comparators)
        listed = (*self._galleries, OTHER)
        routed = (*sorted(self._routes), OTHER)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"kindred_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"kindred_{name}", meaning, labels, registry=registry)

        def histogram(
            name: str, meaning: str, *labels: str, buckets: Sequence[float] = _SECONDS
        ) -> Histogram:
            return Histogram(
                f"kindred_{name}", meaning, labels, registry=registry, buckets=buckets
            )

        self._requests = counter("http_requests", "Requests answered", "route", "code")
        self._request_seconds = histogram(
            "http_request_duration_seconds", "From the first byte in to the last out", "route"
        )
        self._request_bytes = histogram(
            "http_request_body_bytes", "Size of request bodies", "route", buckets=_BYTES
        )
        self._in_progress = gauge("http_requests_in_progress", "Requests being served now")
        self._problems = counter("problems", "Errors answered, by problem type", "type")
        self._stage_seconds = histogram(
            "stage_duration_seconds", "Time spent in one stage of a request", "stage"
        )

        self._queue_depth = gauge("queue_depth", "Samples waiting for a model run", "comparator")
        self._queue_limit = gauge("queue_limit", "Samples that may wait", "comparator")
        self._refusals = counter(
            "queue_refusals", "Requests refused because the queue was full", "comparator"
        )
        self._batch_samples = histogram(
            "batch_samples", "Samples in one model run", "comparator", buckets=_SAMPLES
        )
        self._embedded = counter("samples_embedded", "Samples embedded", "comparator")
        self._comparator_info = gauge(
            "comparator_info",
            "1 for each comparator in service",
            "comparator",
            "digest",
            "provider",
            "provider_wanted",
        )
        self._bundles_refused = gauge("bundles_refused", "Bundles refused at the last check")

        self._gallery_count = gauge("galleries", "Galleries that exist")
        self._identities = gauge("gallery_identities", "Identities enrolled", "gallery")
        self._samples = gauge("gallery_samples", "References enrolled", "gallery")
        self._versions = gauge("gallery_version", "Number of the last change applied", "gallery")
        self._target_fpir = gauge(
            "gallery_target_fpir_ratio", "Promised rate of naming strangers", "gallery"
        )
        self._thresholds = gauge(
            "gallery_threshold_score", "Score that a match needs now", "gallery"
        )
        self._cohort = gauge(
            "gallery_cohort_identities", "Strangers that the threshold rests on", "gallery"
        )
        self._enrolled = counter(
            "enrolled_samples", "Samples sent to be enrolled", "gallery", "outcome"
        )

        self._decisions = counter(
            "identify_results", "Probes identified, by outcome", "gallery", "outcome"
        )
        self._verifications = counter(
            "verify_results", "Pairs verified, by outcome", "comparator", "match"
        )
        self._best_scores = histogram(
            "identify_score", "Best score of each probe", "comparator", buckets=_SCORES
        )
        self._p_values = histogram(
            "identify_p_value",
            "p-value of each probe, flat where all are strangers",
            "comparator",
            buckets=_P_VALUES,
        )

        self._store_up = gauge("store_up", "1 while the store answers")
        self._store_durable = gauge("store_durable", "1 while the store persists and evicts not")
        self._write_seconds = histogram(
            "store_write_duration_seconds", "Atomic write and durability barrier", "operation"
        )
        self._barrier_failures = counter(
            "enroll_barrier_failures", "Enrollments whose durability is unknown"
        )
        self._ready_reasons = gauge(
            "ready_reasons", "1 where this keeps the service from being ready", "reason"
        )
        self._lag = gauge("event_loop_lag_seconds", "How late the last timer fired")
        build = gauge("build_info", "1 for the build that runs", "version", "commit")

        for route in routed:
            for code in _CODES:  # an error ratio needs its zero: absent is "no data"
                self._requests.labels(route, code)
            self._request_seconds.labels(route)
            self._request_bytes.labels(route)
        for problem in sorted(self._problem_types):
            self._problems.labels(problem)
        for stage in STAGES:
            self._stage_seconds.labels(stage)
        for comparator in names:
            for by_comparator in (
                self._queue_depth,
                self._queue_limit,
                self._refusals,
                self._batch_samples,
                self._embedded,
                self._best_scores,
                self._p_values,
            ):
                by_comparator.labels(comparator)
            for match in ("true", "false"):
                self._verifications.labels(comparator, match)
        for served in comparators:
            self._comparator_info.labels(
                served.name, served.digest, served.provider, served.provider_wanted
            ).set(1)
        for gallery in listed:
            self._identities.labels(gallery)
            self._samples.labels(gallery)
            for outcome in ENROLLMENTS:
                self._enrolled.labels(gallery, outcome)
            for outcome in DECISIONS:
                self._decisions.labels(gallery, outcome)
        for operation in WRITES:
            self._write_seconds.labels(operation)
        for reason in REASONS:
            self._ready_reasons.labels(reason)
        build.labels(version, commit).set(1)

