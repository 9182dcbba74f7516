"""Whether and when a call is tried again."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred import calls
from kindred.exchange import Exchange, Versions
from kindred.problems import (
    NotDurable,
    NotFound,
    Overloaded,
    Problem,
    QuotaExceeded,
    ReplicaBehind,
    StoreUnavailable,
    UnexpectedAnswer,
    Unreachable,
)

REQUEST = httpx.Request("POST", "http://127.0.0.1:1/x")
READ = calls.list_galleries()
KEYED = calls.enroll("a", b"x")
UNKEYED = calls.forget_identity("g", "a")
BROKEN = httpx.RemoteProtocolError("ended", request=REQUEST)
REFUSED = httpx.ConnectError("refused", request=REQUEST)
LATE = httpx.ReadTimeout("late", request=REQUEST)


def told(slug, status=503, retry_after="1", **more):
    headers = {"content-type": "application/problem+json"}
    headers |= {} if retry_after is None else {"retry-after": retry_after}
    body = {"type": f"/docs/problems.md#{slug}", "status": status, "detail": "no", **more}
    return httpx.Response(status, headers=headers, content=json.dumps(body), request=REQUEST)


def exchange(call, patience=10.0, versions=None):
    return Exchange(call, versions or Versions(), patience)


@pytest.mark.parametrize("call", [READ, KEYED], ids=["read", "keyed write"])
@pytest.mark.parametrize("slug", ["overloaded", "not-ready", "store-unavailable", "not-durable"])
def test_what_may_be_done_twice_waits_as_long_as_the_service_asks(call, slug):
    assert exchange(call).came(told(slug, retry_after="3")) == 3


def test_a_retry_after_may_be_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True)

    assert 3 < exchange(READ).came(told("overloaded", retry_after=date)) <= 5


@pytest.mark.parametrize(
    ("slug", "more", "error"),
    [
        ("store-unavailable", {"outcome": "unknown"}, StoreUnavailable),
        ("not-durable", {"outcome": "unknown"}, NotDurable),
        ("overloaded", {"outcome": "unknown"}, Overloaded),
        ("store-unavailable", {}, StoreUnavailable),
    ],
)
def test_a_write_that_may_have_been_done_is_not_done_twice(slug, more, error):
    with pytest.raises(error) as caught:
        exchange(UNKEYED).came(told(slug, **more))

    assert caught.value.outcome == more.get("outcome")


@pytest.mark.parametrize(
    ("slug", "more"), [("overloaded", {}), ("store-full", {"outcome": "absent"})]
)
def test_a_write_of_which_nothing_was_done_is_tried_again(slug, more):
    assert exchange(UNKEYED).came(told(slug, **more)) == 1


@pytest.mark.parametrize(
    ("call", "error", "again"),
    [
        (READ, BROKEN, True),
        (KEYED, BROKEN, True),
        (UNKEYED, BROKEN, False),
        (UNKEYED, REFUSED, True),
        (READ, LATE, False),
        (KEYED, LATE, False),
    ],
)
def test_a_connection_that_ends_is_tried_again_where_that_is_safe(call, error, again):
    if again:
        assert exchange(call).failed(error) > 0
    else:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
            exchange(call).failed(error)


@given(
    st.floats(0, 60),
    st.lists(st.sampled_from([BROKEN, REFUSED, "1", "0", "7"]), min_size=200, max_size=200),
)
def test_all_waits_together_are_within_patience_and_come_to_an_end(patience, events):
    tried = exchange(KEYED, patience)
    waited = []

    def go_on():
        for event in events:
            error = isinstance(event, Exception)
            came = tried.failed(event) if error else tried.came(told("overloaded", 503, event))
            waited.append(came)

    with pytest.raises((Unreachable, Overloaded)):
        go_on()
    assert sum(waited) <= patience + 1e-9
    assert all(seconds > 0 for seconds in waited)


def test_pauses_grow_where_nobody_says_how_long():
    tried = exchange(READ, 1000)

    pauses = [tried.failed(REFUSED) for _ in range(8)]

    assert all(later > earlier / 2 for earlier, later in pairwise(pauses))
    assert pauses[0] <= 0.1
    assert pauses[-1] > 2


def test_a_quota_that_is_longer_away_than_patience_is_raised_at_once():
    with pytest.raises(QuotaExceeded) as caught:
        exchange(READ).came(told("quota-exceeded", 429, "86400"))

    assert caught.value.retry_after == 86400


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 503, 504])
def test_what_does_not_ask_to_come_back_is_raised(status):
    with pytest.raises(Problem):
        exchange(READ).came(told("not-found", status, None))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, html="<p>hello</p>", request=REQUEST),
        httpx.Response(200, json=["not", "it"], request=REQUEST),
        httpx.Response(302, headers={"location": "/login"}, request=REQUEST),
        httpx.Response(502, text="bad gateway", request=REQUEST),
        httpx.Response(503, headers={"retry-after": "1"}, request=REQUEST),
        httpx.Response(
            404,
            headers={"content-type": "application/problem+json"},
            content=b"{",
            request=REQUEST,
        ),
    ],
    ids=lambda response: f"{response.status_code}",
)
def test_what_is_not_kindreds_is_told_with_the_address(response):
    with pytest.raises(UnexpectedAnswer, match=r"http://127\.0\.0\.1:1/x") as caught:
        exchange(READ).came(response)

    assert caught.value.status == response.status_code


def test_what_was_written_is_asked_for_and_only_in_its_gallery():
    versions = Versions()
    versions.wrote("letters", 7)
    versions.wrote("letters", 5)  # which began before, and ended after

    with httpx.Client(base_url="http://127.0.0.1:1") as http:
        seen = [
            exchange(calls.identify(b"x", gallery=gallery), versions=versions)
            .request(http, iter)
            .headers.get("x-min-version")
            for gallery in ("letters", "others")
        ]

    assert seen == ["7", None]


def test_a_version_that_never_comes_is_asked_for_once():
    versions = Versions()
    versions.wrote("letters", 7)
    call = calls.identify(b"x", gallery="letters")

    with pytest.raises(ReplicaBehind):
        exchange(call, 0, versions).came(told("replica-behind"))

    assert versions.of("letters") is None


def test_a_gallery_that_ended_is_asked_for_nothing():
    versions = Versions()
    versions.wrote("letters", 7)
    gone = httpx.Response(200, json={"gallery": "letters"}, request=REQUEST)

    exchange(calls.delete_gallery("letters"), versions=versions).came(gone)

    assert versions.of("letters") is None


def test_an_error_tells_no_more_than_it_is():
    with pytest.raises(NotFound) as caught:
        exchange(READ).came(told("not-found", 404, None, instance="urn:request:1"))

    assert (caught.value.instance, caught.value.outcome) == ("urn:request:1", None)
