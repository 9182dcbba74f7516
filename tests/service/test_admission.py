"""How much work is taken on, by the pace at which it is done."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.edge.admission import Admission, kind_of_work


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def make(wait=0.1, fewest=4, most_long=2):
    clock = Clock()
    return Admission(wait=wait, fewest=fewest, most_long=most_long, clock=clock), clock


def work(admission, clock, seconds, *, requests=1, answered=True):
    """Do some requests at a time, over and over, each batch in so many seconds."""
    for _ in range(200):
        places = [admission.place("short", "/embed") for _ in range(requests)]
        for place in places:
            place.begin()
        clock.now += seconds
        for place in places:
            place.answered = answered
            place.leave()


@pytest.mark.parametrize("seconds", [0.001, 0.004, 0.02])
def test_as_much_is_taken_on_as_is_done_within_the_wait(seconds):
    admission, clock = make()

    work(admission, clock, seconds)

    assert admission.limit == pytest.approx(max(4, 0.1 / seconds), rel=0.05)


def test_what_is_done_side_by_side_counts_as_faster():
    admission, clock = make()

    work(admission, clock, 0.04, requests=8)

    assert admission.limit == pytest.approx(0.1 / 0.005, rel=0.05)


def test_slow_or_failing_work_leaves_the_fewest_places():
    for seconds, answered in ((5.0, True), (0.001, False)):
        admission, clock = make()
        work(admission, clock, seconds, answered=answered)
        assert admission.limit == 4


def test_time_without_work_says_nothing_about_the_pace():
    admission, clock = make()
    work(admission, clock, 0.004)
    before = admission.limit

    clock.now += 3600
    work(admission, clock, 0.004)

    assert admission.limit == pytest.approx(before, rel=0.05)


def test_a_full_house_refuses_until_somebody_ends():
    admission, clock = make()
    work(admission, clock, 5.0)
    places = [admission.place("short", "/embed") for _ in range(4)]
    for place in places:
        assert admission.admits("short")
        place.begin()

    clock.now += 1
    assert not admission.admits("short")
    assert admission.admits("long")
    places[0].leave()
    assert admission.admits("short")


def test_a_burst_comes_in_and_what_stands_keeps_the_next_out():
    admission, clock = make()
    work(admission, clock, 5.0)

    burst = []
    while admission.admits("short"):
        burst.append(admission.place("short", "/embed"))
        burst[-1].begin()
    clock.now += 1
    while admission.under_way > 4:
        burst.pop().leave()
        assert admission.admits("short") == (admission.under_way < 4)
    burst.pop().leave()

    assert admission.admits("short")


def test_the_next_burst_waits_until_there_was_room_for_a_while():
    admission, clock = make()
    work(admission, clock, 0.001)
    places = []

    def fill():
        while admission.admits("short"):
            places.append(admission.place("short", "/embed"))
            places[-1].begin()

    def drain(share):
        while len(places) > share * admission.limit:
            place = places.pop()
            place.answered = True
            place.leave()

    fill()
    assert len(places) == admission.most
    clock.now += 0.2
    drain(0)  # as where a whole batch ends
    fill()
    assert len(places) == admission.limit
    drain(0)
    clock.now += 0.2
    fill()
    assert len(places) == admission.most


def test_who_has_not_sent_everything_takes_no_place():
    admission, _ = make()

    places = [admission.place("short", "/embed") for _ in range(1000)]

    assert admission.admits("short")
    for place in places:
        place.leave()
    assert admission.under_way == 0


def test_of_those_who_come_at_the_same_time_the_last_are_told():
    admission, clock = make()
    work(admission, clock, 5.0)

    places = [admission.place("short", "/embed") for _ in range(100)]
    for place in places:
        place.begin()

    assert [place.crowded for place in places] == [False] * 12 + [True] * 88


def test_long_requests_have_places_of_their_own():
    admission, _ = make()

    places = [admission.place("long", "/cluster") for _ in range(2)]
    for place in places:
        place.begin()

    assert not admission.admits("long")
    assert admission.admits("short")
    for place in places:
        place.leave()
        place.leave()
    assert admission.admits("long")


@pytest.mark.parametrize("path", ["/cluster", "/enroll/bulk", "/galleries/g/import"])
def test_a_client_that_does_not_go_on_sending_keeps_nobody_out(path):
    admission, _ = make()

    stuck = [admission.place("long", path) for _ in range(100)]
    for place in stuck:
        place.come(100)

    assert admission.admits("long")
    for place in stuck:
        place.begin()
    assert [place.crowded for place in stuck] == [False] * 2 + [True] * 98


def test_a_body_that_is_worked_on_while_it_comes_counts_as_long_as_it_comes():
    admission, clock = make(most_long=1)
    bulk = admission.place("long", "/enroll/bulk")

    admitted = []
    for size, seconds in ((1000, 0), (1000, 0), (1000, 0.9), (1000, 0.9), (0, 1.1), (2000, 0)):
        clock.now += seconds
        bulk.come(size)
        admitted.append(admission.admits("long"))

    assert admitted == [True, False, False, False, True, False]
    assert not bulk.crowded


@given(st.lists(st.sampled_from(["begin", "leave", "work"]), max_size=6))
def test_whatever_happens_to_a_request_its_place_is_given_back(steps):
    async def serve():
        admission, _ = make()
        place = admission.place("short", "/embed")
        for step in steps:
            if step == "work":
                with place:
                    pass
            else:
                getattr(place, step)()
        with place:
            place.begin()
            assert admission.under_way <= 1
        return admission.under_way

    assert asyncio.run(serve()) == 0


@pytest.mark.parametrize(
    ("path", "dropped"), [("/embed", True), ("/cluster", True), ("/enroll/bulk", False)]
)
def test_work_is_dropped_where_nobody_waits_for_it(path, dropped):
    async def serve():
        admission, _ = make()
        place = admission.place(kind_of_work(path), path)

        async def answer():
            with place:
                place.begin()
                await asyncio.sleep(0.05)

        task = asyncio.create_task(answer())
        await asyncio.sleep(0)
        place.leave()
        await asyncio.wait([task])
        return task.cancelled(), place.left, admission.under_way

    assert asyncio.run(serve()) == (dropped, dropped, 0)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/embed", "short"),
        ("/enroll", "short"),
        ("/enroll/bulk", "long"),
        ("/cluster", "long"),
        ("/galleries/g/health", "long"),
        ("/galleries/g/export", "long"),
        ("/galleries/health", None),
        ("/galleries/g/identities/health", None),
        ("/health/live", None),
        ("/metrics", None),
        ("/", None),
    ],
)
def test_only_what_is_work_asks_for_a_place(path, kind):
    assert kind_of_work(path) == kind
