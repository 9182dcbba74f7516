"""Prometheus series: all there from the start, and none that a request could add."""

import asyncio
import contextlib
import shutil
import subprocess
import threading
import time
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.edge.problems import PROBLEMS, slugs
from service.routes import successes
from service.watching.telemetry import GalleryState, ServedComparator, Telemetry

INK = ServedComparator("ink@1", "sha256:ab", "CPUExecutionProvider", "auto")
ANY = st.text(max_size=20)
FAILURES = {int(kind.status) for kind in PROBLEMS.values()} | {400, 405, 431, 499, 500}


def telemetry(galleries: tuple[str, ...] = ("default",)) -> Telemetry:
    return Telemetry(
        routes={"/identify": {200}, "/enroll": {200}},
        problems=["overloaded", "not-found"],
        comparators=[INK],
        galleries=galleries,
        version="1.2.3",
        commit="abc",
    )


def names(telemetry: Telemetry) -> set[str]:
    """Each series as it is written, without its value."""
    return {line.rpartition(" ")[0] for line in telemetry.exposition()[0].decode().split("\n")}


def series(telemetry: Telemetry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = telemetry.exposition()[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return series(telemetry).get((name, frozenset(labels.items())))


def test_an_error_ratio_has_its_zero_before_the_first_request() -> None:
    fresh = telemetry()

    errors = [
        value(fresh, "kindred_http_requests_total", route=route, code="500")
        for route in ("/identify", "/enroll", "_other")
    ]

    assert errors == [0, 0, 0]


def test_a_request_is_counted_under_its_route_and_status() -> None:
    seen = telemetry()

    seen.request("/identify", 200, seconds=0.25, body_bytes=2000)
    seen.request("/identify", 503, seconds=0.5, body_bytes=0)

    by_route = {"route": "/identify"}
    assert value(seen, "kindred_http_requests_total", code="200", **by_route) == 1
    assert value(seen, "kindred_http_requests_total", code="503", **by_route) == 1
    assert value(seen, "kindred_http_request_duration_seconds_sum", **by_route) == 0.75
    assert value(seen, "kindred_http_request_duration_seconds_bucket", le="0.25", **by_route) == 1
    assert value(seen, "kindred_http_request_body_bytes_sum", **by_route) == 2000


def test_what_a_client_did_wrong_is_counted_together_for_its_problem_tells_the_rest() -> None:
    seen = telemetry()

    for code in (400, 404, 422, 499):
        seen.request("/identify", code, seconds=0.1, body_bytes=0)

    assert value(seen, "kindred_http_requests_total", route="/identify", code="4xx") == 4


def test_routes_that_embed_nothing_are_timed_together() -> None:
    seen = Telemetry(
        routes={"/identify": {200}, "/galleries": {200, 201}}, problems=[], comparators=[]
    )

    seen.request("/galleries", 200, seconds=0.25, body_bytes=0)

    assert value(seen, "kindred_http_requests_total", route="/galleries", code="200") == 1
    assert value(seen, "kindred_http_request_duration_seconds_count", route="_other") == 1
    assert value(seen, "kindred_http_request_duration_seconds_count", route="/galleries") is None


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(ANY, ANY, ANY), max_size=8))
def test_no_request_can_add_a_series(words: list[tuple[str, str, str]]) -> None:
    used = telemetry()
    use_everything(used, "nothing listed", "nothing listed", "nothing listed")
    before = names(used)

    for name, problem, outcome in words:
        use_everything(used, name, problem, outcome)

    assert names(used) == before


def use_everything(telemetry: Telemetry, name: str, problem: str, outcome: str) -> None:
    telemetry.request(name, 99, seconds=0.1, body_bytes=1)
    telemetry.problem(problem)
    telemetry.stage(name, 0.1)
    telemetry.batch(name, 3)
    telemetry.queue(name, 0, 10)
    telemetry.refused(name)
    telemetry.enrolled(name, outcome, 1)
    telemetry.identified(name, name, outcome, 0.5, 0.5)
    telemetry.verified(name, match=True)
    telemetry.galleries([GalleryState(name, 1, 1, 1, 0.05, 0.5, 100)])
    telemetry.store_write(name, 0.1)
    telemetry.feedback(name, outcome)
    telemetry.drift(name, 0.1, 0.2, 500)
    telemetry.canary_wrong(name)
    telemetry.evaluated(outcome, 0.1)
    telemetry.laid_out(outcome, 0.1)
    telemetry.ready_reasons([name])


def test_ten_thousand_galleries_scrape_like_twenty() -> None:
    few, many = telemetry(), telemetry()
    default = GalleryState("default", 1, 2, 3, 0.05, 0.8, 150)
    for shown, count in ((few, 20), (many, 10_000)):
        others = [GalleryState(f"g{i}", 1, 2, 3, 0.05, 0.8, 150) for i in range(count - 1)]
        shown.galleries([default, *others])
        for other in others:
            shown.identified(other.name, "ink@1", "match", 0.9, 0.01)
            shown.enrolled(other.name, "added")
            shown.feedback(other.name, "reject")

    assert names(few) == names(many)
    assert value(many, "kindred_galleries") == 10_000
    assert value(many, "kindred_gallery_samples", gallery="_other") == 2 * 9_999
    assert value(many, "kindred_gallery_samples", gallery="default") == 2
    assert value(many, "kindred_feedback_total", gallery="_other", verdict="reject") == 9_999


def test_what_a_service_does_has_its_series_from_the_start() -> None:
    shown = Telemetry(routes=successes(), problems=slugs(), comparators=[])
    before = names(shown)

    for route, codes in successes().items():
        for code in (*codes, *FAILURES):
            shown.request(route, code, seconds=0.1, body_bytes=10)
    shown.stage("check", 0.1)
    shown.ready_reasons(["whatever"])

    assert names(shown) == before
    assert successes()["/galleries"] == {200, 201}


def test_the_largest_service_has_no_more_than_1500_series() -> None:
    """Of every real route and problem, four comparators and twenty galleries of their own."""
    galleries = [f"g{i}" for i in range(20)]
    largest = Telemetry(
        routes=successes(),
        problems=slugs(),
        comparators=[ServedComparator(f"c@{i}", "sha256:ab", "CPU", "auto") for i in range(4)],
        galleries=galleries,
    )
    every_promise = dict.fromkeys([field.name for field in fields(GalleryState)][4:], 0.5)
    largest.galleries(GalleryState(name, 1, 2, 3, **every_promise) for name in galleries)
    for route in successes():
        for code in (*FAILURES, 304, 507):
            largest.request(route, code, seconds=0.1, body_bytes=10)

    shown = [name for name in names(largest) if name and not name.startswith("#")]

    assert len(shown) <= 1500


def test_what_cannot_be_summed_is_shown_for_listed_galleries_only() -> None:
    seen = telemetry(("default", "staff"))

    seen.galleries(
        [
            GalleryState("default", 1, 2, 3, 0.05, 0.8, 150),
            GalleryState("staff", 0, 0, 7, 0.01, None, None),
            GalleryState("other", 1, 2, 3, 0.05, 0.8, 150),
        ]
    )

    assert value(seen, "kindred_gallery_threshold_score", gallery="default") == 0.8
    assert value(seen, "kindred_gallery_version", gallery="staff") == 7
    assert value(seen, "kindred_gallery_threshold_score", gallery="staff") is None
    assert value(seen, "kindred_gallery_version", gallery="_other") is None


def test_a_deleted_gallery_leaves_no_promise_behind() -> None:
    seen = telemetry()
    seen.galleries([GalleryState("default", 5, 6, 7, 0.05, 0.8, 150)])

    seen.galleries([])

    assert value(seen, "kindred_gallery_threshold_score", gallery="default") is None
    assert value(seen, "kindred_gallery_identities", gallery="default") == 0


def test_a_scrape_never_meets_a_gallery_half_shown() -> None:
    """It is made in a thread, while the gauges are being set."""
    seen = telemetry()
    state = GalleryState("default", 5, 6, 7, 0.05, 0.8, 150)
    seen.galleries([state])
    stop = threading.Event()

    def set_again() -> None:
        while not stop.is_set():
            seen.galleries([state, GalleryState("other", 1, 1, 1)])

    writer = threading.Thread(target=set_again)
    writer.start()
    found = [series(seen) for _ in range(20)]
    stop.set()
    writer.join()

    by_gallery = frozenset({("gallery", "default")})
    for name, shown in [("identities", 5), ("samples", 6), ("threshold_score", 0.8)]:
        assert {each.get((f"kindred_gallery_{name}", by_gallery)) for each in found} == {shown}


def test_a_probe_that_had_nothing_to_be_compared_with_enters_no_histogram() -> None:
    seen = telemetry()

    seen.identified("default", "ink@1", "unknown", score=None, p_value=None)

    by_outcome = {"gallery": "default", "outcome": "unknown"}
    assert value(seen, "kindred_identify_results_total", **by_outcome) == 1
    assert value(seen, "kindred_identify_score_count", comparator="ink@1") == 0


def test_a_reason_is_gone_once_it_no_longer_holds() -> None:
    seen = telemetry()
    seen.ready_reasons(["starting", "store-unavailable"])

    seen.ready_reasons(["store-unavailable"])

    assert value(seen, "kindred_ready_reasons", reason="starting") == 0
    assert value(seen, "kindred_ready_reasons", reason="store-unavailable") == 1


def test_a_request_is_in_progress_until_it_ends_however_it_ends() -> None:
    seen = telemetry()

    with contextlib.suppress(KeyError), seen.in_progress():
        during = value(seen, "kindred_http_requests_in_progress")
        raise KeyError

    assert during == 1
    assert value(seen, "kindred_http_requests_in_progress") == 0


def test_a_blocked_event_loop_shows_as_lag() -> None:
    """S12."""
    seen = telemetry()

    async def block() -> None:
        watch = asyncio.create_task(seen.watch_event_loop(every=0.01))
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - blocking is what is tested
        await asyncio.sleep(0.001)
        watch.cancel()

    asyncio.run(block())

    lag = value(seen, "kindred_event_loop_lag_seconds")
    assert lag is not None
    assert lag >= 0.08


def test_more_than_twenty_galleries_of_their_own_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 20"):
        telemetry(tuple(f"g{i}" for i in range(21)))


def test_two_services_in_one_process_do_not_share_series() -> None:
    one, other = telemetry(), telemetry()

    one.barrier_failed()

    assert value(one, "kindred_enroll_barrier_failures_total") == 1
    assert value(other, "kindred_enroll_barrier_failures_total") == 0


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_has_nothing_to_say_against_the_exposition() -> None:
    seen = telemetry()
    seen.galleries([GalleryState("default", 1, 2, 3, 0.05, 0.8, 150)])

    check = subprocess.run(
        ["promtool", "check", "metrics"], input=seen.exposition()[0], capture_output=True
    )

    assert (check.returncode, check.stdout + check.stderr) == (0, b"")
