"""What Prometheus sees of the service: every series, and none that a request could add."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from service.watching.series import NONE, OTHER, Series

STAGES = (
    "receive",
    "decode",
    "queue",
    "encode",
    "search",
    "decide",
    "check",
    "evaluate",
    "store",
    "barrier",
)
LOST_FOR = ("slow", "hung", "killed", "crashed")
EVALUATIONS = ("done", "refused", "failed", "late", "abandoned")
LAYOUTS = ("done", "late", "memory", "uninstalled", "failed", "abandoned")
SNAPSHOTS = ("used", "absent", "corrupt", "foreign", "stale")
WAITS_FOR = ("idle", "head", "body", "leaving")
ENDED_FOR = ("idle", "head", "body", "leaving", "unread", "crowded", "full")
REFUSED_FOR = (
    "no-key",
    "unknown-key",
    "expired-key",
    "role",
    "scope",
    "host",
    "origin",
    "rate",
    "concurrency",
    "bytes",
    "gallery-size",
    "identity",
)
TIMED = ("/verify", "/embed", "/identify", "/enroll", "/enroll/bulk", "/cluster", "/evaluate")
VERDICTS = ("confirm", "reject")
DECISIONS = ("match", "possible", "unknown")
ENROLLMENTS = ("added", "duplicate", "refused")
WRITES = ("enroll", "forget", "gallery", "identity", "cohort", "edit")
REASONS = (
    "starting",
    "store-unavailable",
    "store-not-durable",
    "gallery-vanished",
    "no-comparator",
    "draining",
)

_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_LONG_SECONDS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
_SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128)
_SCORES = tuple(i / 20 for i in range(1, 21))
_P_VALUES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_DECLINED = "4xx"  # which of them it was, `problems` tells
_FAILURES = (_DECLINED, "500", "503", "504")
_MOST_GALLERIES = 20


@dataclass(frozen=True, slots=True)
class ServedComparator:
    """A comparator in service: its `name@version`, and what it runs on beside what was asked."""

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
    staleness: float | None = None  # seconds since it was known to be level with the store
    expected_fnir: float | None = None
    index_recall: float | None = None  # share of the ten nearest that a search finds
    calibrated: float | None = None  # when what judges it was put in force, s since 1970
    canary_fpir: float | None = None


class Telemetry:
    """Every series that `/metrics` shows, in a registry of its own, from the first scrape on.

    Labels come from the closed lists given here, and whatever else arrives is counted as
    `_other`. Each of `routes` comes with the statuses of its successes. Only the galleries named
    here, at most 20, have series of their own.
    docs/metrics.md tells what each name means.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, Collection[int]],
        problems: Sequence[str],
        comparators: Sequence[ServedComparator],
        galleries: Sequence[str] = ("default",),
        version: str = "0",
        commit: str = "unknown",
    ) -> None:
        if len(galleries) > _MOST_GALLERIES:
            raise ValueError(f"at most {_MOST_GALLERIES} galleries of their own: {galleries}")
        self._listed = tuple(galleries)
        series = self._series = Series()
        codes = {route: (*map(str, successes), *_FAILURES) for route, successes in routes.items()}
        codes[OTHER] = ("200", *_FAILURES)
        by_timed = {"route": (*(route for route in TIMED if route in routes), OTHER)}
        by_gallery = {"gallery": (*galleries, OTHER)}
        by_comparator = {"comparator": [served.name for served in comparators]}

        self._in_progress = series.gauge("http_requests_in_progress", "Requests being served")
        self._requests = series.counter(
            "http_requests",
            "Requests answered",
            {"route": codes, "code": set().union(*codes.values())},
            [(route, code) for route, those in codes.items() for code in those],
        )
        self._request_seconds = series.histogram(
            "http_request_duration_seconds", "First byte in to last byte out", by_timed
        )
        self._request_bytes = series.histogram(
            "http_request_body_bytes", "Size of request bodies", by_timed, _BYTES
        )
        self._problems = series.counter("problems", "Errors told", {"type": problems})
        self._access_refused = series.counter(
            "access_refused", "What callers were refused", {"reason": REFUSED_FOR}
        )
        self._keys = series.gauge("keys", "API keys in force")
        self._keys_broken = series.gauge("keys_broken", "1 while the file of keys cannot be read")
        self._stage_seconds = series.histogram(
            "stage_duration_seconds", "Time in one stage of a request", {"stage": STAGES}
        )

        self._connections = series.gauge(
            "connections", "Open connections", {"waits_for": (*WAITS_FOR, "nothing")}
        )
        self._connections_ended = series.counter(
            "connections_ended", "Connections that were ended", {"reason": ENDED_FOR}
        )
        self._under_way = series.gauge(
            "admission_requests", "Requests of short work that are under way"
        )
        self._admission_limit = series.gauge(
            "admission_limit", "Requests of short work that may be under way"
        )

        self._queue_depth = series.gauge(
            "queue_depth", "Samples waiting for a model run", by_comparator
        )
        self._queue_limit = series.gauge("queue_limit", "Samples that may wait", by_comparator)
        self._refusals = series.counter(
            "queue_refusals", "Requests that a full queue refused", by_comparator
        )
        self._batch_samples = series.histogram(
            "batch_samples", "Samples in one model run", by_comparator, _SAMPLES
        )
        self._embedded = series.counter("samples_embedded", "Samples embedded", by_comparator)
        self._decoders_lost = series.counter(
            "decoders_lost", "Processes that ended while they decoded", {"reason": LOST_FOR}
        )
        self._bundles_refused = series.gauge(
            "bundles_refused", "Bundles that the last check refused"
        )

        self._galleries = series.gauge("galleries", "Galleries that exist")
        self._identities = series.gauge("gallery_identities", "Identities enrolled", by_gallery)
        self._samples = series.gauge("gallery_samples", "References enrolled", by_gallery)
        self._enrolled = series.counter(
            "enrolled_samples",
            "Samples sent to be enrolled",
            {**by_gallery, "outcome": ENROLLMENTS},
        )
        # These cannot be summed: a gallery that is not listed has none.
        self._promised: set[tuple[str, str]] = set()  # which of them are shown, of which gallery
        self._promises = {
            "version": series.facts("gallery_version", "Number of the last change", "gallery"),
            "target_fpir": series.facts(
                "gallery_target_fpir_ratio", "Promised rate of naming strangers", "gallery"
            ),
            "threshold": series.facts(
                "gallery_threshold_score", "Score that a match needs", "gallery"
            ),
            "cohort_identities": series.facts(
                "gallery_cohort_identities", "Strangers behind the threshold", "gallery"
            ),
            "staleness": series.facts(
                "replica_staleness_seconds", "Since it was level with the store", "gallery"
            ),
            "expected_fnir": series.facts(
                "gallery_expected_fnir_ratio", "Enrolled that the threshold misses", "gallery"
            ),
            "index_recall": series.facts(
                "gallery_index_recall_ratio", "Nearest samples that searches find", "gallery"
            ),
            "calibrated": series.facts(
                "gallery_calibration_timestamp_seconds", "When its judges came", "gallery"
            ),
            "canary_fpir": series.facts(
                "canary_fpir_ratio", "Strangers that the last replay named", "gallery"
            ),
        }

        self._decisions = series.counter(
            "identify_results", "Probes identified", {**by_gallery, "outcome": DECISIONS}
        )
        self._best_scores = series.histogram(
            "identify_score", "Best score of a probe", by_comparator, _SCORES
        )
        self._p_values = series.histogram(
            "identify_p_value", "p-value of a probe", by_comparator, _P_VALUES
        )
        self._verifications = series.counter(
            "verify_results", "Pairs verified", {**by_comparator, "match": ("true", "false")}
        )

        self._feedback = series.counter(
            "feedback", "What people said of answers", {**by_gallery, "verdict": VERDICTS}
        )
        self._drift = series.gauge(
            "score_drift_psi", "How far the last probes are from what is known", by_comparator
        )
        self._drift_limit = series.gauge(
            "score_drift_psi_limit", "How far they get by chance", by_comparator
        )
        self._drift_probes = series.gauge(
            "score_drift_window_samples", "Probes that this is told from", by_comparator
        )
        self._canaries_wrong = series.counter(
            "canary_wrong", "Replays that an encoder failed", by_comparator
        )

        self._evaluations = series.counter(
            "evaluations", "Evaluations asked for", {"outcome": EVALUATIONS}
        )
        self._evaluation_seconds = series.histogram(
            "evaluation_duration_seconds",
            "From the whole request to its report",
            NONE,
            _LONG_SECONDS,
        )
        self._evaluations_running = series.gauge(
            "evaluations_in_progress", "Evaluations that run or wait for their turn"
        )
        self._layouts = series.counter("layouts", "Layouts of maps begun", {"outcome": LAYOUTS})
        self._layout_seconds = series.histogram(
            "layout_duration_seconds", "Layouts of maps that were done", NONE, _LONG_SECONDS
        )
        self._maps_running = series.gauge(
            "maps_in_progress", "Maps that are worked out or wait for their turn"
        )

        self._snapshot_reads = series.counter(
            "snapshot_reads", "Galleries taken up from a snapshot, or not", {"outcome": SNAPSHOTS}
        )
        self._store_up = series.gauge("store_up", "1 while the store answers")
        self._store_durable = series.gauge(
            "store_durable", "1 while the store persists and never evicts"
        )
        self._write_seconds = series.histogram(
            "store_write_duration_seconds", "Atomic write and its barrier", {"operation": WRITES}
        )
        self._barrier_failures = series.counter(
            "enroll_barrier_failures", "Writes whose durability is unknown"
        )
        self._erasure_pending = series.gauge(
            "erasure_oldest_pending_seconds", "How long a file holds what was forgotten"
        )
        self._memory_used = series.gauge("memory_used_bytes", "Memory that is taken")
        self._memory_limit = series.gauge("memory_limit_bytes", "Memory that there may be")
        self._memory_ran_out = series.counter(
            "memory_refusals", "Requests refused because no memory was left"
        )
        self._ready_reasons = series.gauge(
            "ready_reasons",
            "1 where this keeps the service from being ready",
            {"reason": (*REASONS, OTHER)},
        )
        self._lines_dropped = series.counter(
            "log_lines_dropped", "Log lines that nobody took in time"
        )
        self._lag = series.gauge("event_loop_lag_seconds", "How late the last timer fired")

        build = series.facts("build_info", "The build that runs", "version", "commit")
        build.labels(version, commit).set(1)
        info = series.facts(
            "comparator_info",
            "A comparator in service",
            "comparator",
            "digest",
            "provider",
            "provider_wanted",
        )
        for c in comparators:
            info.labels(c.name, c.digest, c.provider, c.provider_wanted).set(1)

    def exposition(self) -> tuple[bytes, str]:
        """Return the body and the content type of `GET /metrics`."""
        return self._series.exposition()

    def gallery_label(self, gallery: str) -> str:
        """Return the name where it is listed, else `_other`: what the log may tell of it."""
        return gallery if gallery in self._listed else OTHER

    def in_progress(self) -> AbstractContextManager[None]:
        """Count a request as being served for as long as the context lasts."""
        return self._in_progress().track_inprogress()

    def request(self, route_template: str, code: int, seconds: float, body_bytes: int) -> None:
        """Count an answered request; a path that no route took is `_other`."""
        declined = 400 <= code < 500
        self._requests(route_template, _DECLINED if declined else str(code)).inc()
        self._request_seconds(route_template).observe(seconds)
        self._request_bytes(route_template).observe(body_bytes)

    def problem(self, slug: str) -> None:
        """Count an error told, of a whole request or of one item."""
        self._problems(slug).inc()

    def access_refused(self, reason: str) -> None:
        """Count a request, or an item of one, that its caller may not have."""
        self._access_refused(reason).inc()

    def keys(self, count: int, broken: bool) -> None:  # noqa: FBT001 - as it is told
        """Show how many keys are in force, and whether the files of them are broken since."""
        self._keys().set(count)
        self._keys_broken().set(broken)

    def stage(self, stage: str, seconds: float) -> None:
        """Time one stage of a request."""
        self._stage_seconds(stage).observe(seconds)

    def turned_away(self, route_template: str, n: int) -> None:
        """Count requests that were refused before they were read."""
        self._requests(route_template, "503").inc(n)
        self._problems("overloaded").inc(n)

    def connection_ended(self, reason: str) -> None:
        """Count a connection whose client took too long, or that made room."""
        self._connections_ended(reason).inc()

    def entrance(
        self, connections: int, waiting: Mapping[str, int], under_way: int, limit: int
    ) -> None:
        """Show the connections, what their clients are waited for, and the work under way."""
        for stage in WAITS_FOR:
            self._connections(stage).set(waiting.get(stage, 0))
        self._connections("nothing").set(connections - sum(waiting.values()))
        self._under_way().set(under_way)
        self._admission_limit().set(limit)

    def batch(self, comparator: str, samples: int) -> None:
        """Count one model run over this many samples."""
        self._batch_samples(comparator).observe(samples)
        self._embedded(comparator).inc(samples)

    def queue(self, comparator: str, depth: int, limit: int) -> None:
        """Show how many samples wait for a comparator, and how many may."""
        self._queue_depth(comparator).set(depth)
        self._queue_limit(comparator).set(limit)

    def refused(self, comparator: str) -> None:
        """Count a request turned away because the comparator's queue was full."""
        self._refusals(comparator).inc()

    def decoder_lost(self, reason: str) -> None:
        """Count a process that ended while it decoded a sample."""
        self._decoders_lost(reason).inc()

    def bundles_refused(self, n: int) -> None:
        """Show how many bundles the last check refused; the log says which and why."""
        self._bundles_refused().set(n)

    def galleries(self, states: Iterable[GalleryState]) -> None:
        """Show all galleries as they are now: the listed one by one, the others summed."""
        by_name = {state.name: state for state in states}
        others = [state for name, state in by_name.items() if name not in self._listed]
        self._galleries().set(len(by_name))
        self._identities(OTHER).set(sum(state.identities for state in others))
        self._samples(OTHER).set(sum(state.samples for state in others))
        for name in self._listed:
            state = by_name.get(name, GalleryState(name, 0, 0, 0))
            self._identities(name).set(state.identities)
            self._samples(name).set(state.samples)
            self._show_promises(name, by_name.get(name))

    def _show_promises(self, gallery: str, state: GalleryState | None) -> None:
        """Set what is known and take away what is not: a scrape may come in between."""
        for name, promise in self._promises.items():
            value = None if state is None else getattr(state, name)
            if value is not None:
                promise.labels(gallery).set(value)
                self._promised.add((name, gallery))
            elif (name, gallery) in self._promised:
                promise.remove(gallery)
                self._promised.remove((name, gallery))

    def enrolled(self, gallery: str, outcome: str, n: int = 1) -> None:
        """Count samples sent to be enrolled, by what became of them."""
        self._enrolled(gallery, outcome).inc(n)

    def identified(
        self,
        gallery: str,
        comparator: str,
        outcome: str,
        score: float | None,
        p_value: float | None,
    ) -> None:
        """Count the decision on one probe; `None` where there was nothing to compare it with."""
        self._decisions(gallery, outcome).inc()
        if score is not None:
            self._best_scores(comparator).observe(score)
        if p_value is not None:
            self._p_values(comparator).observe(p_value)

    def verified(self, comparator: str, *, match: bool) -> None:
        """Count the decision on one pair."""
        self._verifications(comparator, str(match).lower()).inc()

    def feedback(self, gallery: str, verdict: str) -> None:
        """Count what somebody said of an answer: `confirm` or `reject`."""
        self._feedback(gallery, verdict).inc()

    def drift(self, comparator: str, index: float, limit: float, probes: int) -> None:
        """Show how far a comparator's last probes are from what it knows, and what is chance."""
        self._drift(comparator).set(index)
        self._drift_limit(comparator).set(limit)
        self._drift_probes(comparator).set(probes)

    def canary_wrong(self, comparator: str) -> None:
        """Count a replay in which an encoder did not embed what it promises."""
        self._canaries_wrong(comparator).inc()

    def evaluating(self) -> AbstractContextManager[None]:
        """Show an evaluation as under way for as long as the context lasts."""
        return self._evaluations_running().track_inprogress()

    def evaluated(self, outcome: str, seconds: float) -> None:
        """Count what became of an evaluation, and time it where it is done."""
        self._evaluations(outcome).inc()
        if outcome == "done":
            self._evaluation_seconds().observe(seconds)

    def mapping(self) -> AbstractContextManager[None]:
        """Show a map as under way for as long as the context lasts."""
        return self._maps_running().track_inprogress()

    def laid_out(self, outcome: str, seconds: float) -> None:
        """Count what became of the layout of a map, and time it where it is done."""
        self._layouts(outcome).inc()
        if outcome == "done":
            self._layout_seconds().observe(seconds)

    def snapshot_read(self, outcome: str) -> None:
        """Count what became of an attempt to take a gallery up from its snapshot."""
        self._snapshot_reads(outcome).inc()

    def store(self, *, up: bool, durable: bool) -> None:
        """Show whether the store answers, and whether it keeps what it is given."""
        self._store_up().set(up)
        self._store_durable().set(durable)

    def store_write(self, operation: str, seconds: float) -> None:
        """Time one atomic write with its durability barrier."""
        self._write_seconds(operation).observe(seconds)

    def barrier_failed(self) -> None:
        """Count a write whose durability is unknown."""
        self._barrier_failures().inc()

    def erasure_pending(self, seconds: float) -> None:
        """Show for how long a file holds bytes of what was forgotten."""
        self._erasure_pending().set(seconds)

    def memory(self, used: int, limit: int) -> None:
        """Show what memory is taken, and what there may be; bytes."""
        self._memory_used().set(used)
        self._memory_limit().set(limit)

    def memory_ran_out(self) -> None:
        """Count a request that was refused because there was no memory left."""
        self._memory_ran_out().inc()

    def ready_reasons(self, reasons: Collection[str]) -> None:
        """Show what keeps the service from being ready: nothing, where empty."""
        for reason in REASONS:
            self._ready_reasons(reason).set(reason in reasons)
        self._ready_reasons(OTHER).set(any(reason not in REASONS for reason in reasons))

    def log_lines_dropped(self, n: int) -> None:
        """Count log lines that were not written."""
        self._lines_dropped().inc(n)

    async def watch_event_loop(self, every: float = 0.5) -> None:
        """Show how late the event loop fires a timer, in seconds, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + every
            await asyncio.sleep(every)
            self._lag().set(max(0.0, loop.time() - due))
