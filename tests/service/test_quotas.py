"""Quotas: what a key may ask for, as one process counts it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.callers.quotas import (
    DAY,
    Questions,
    Quota,
    QuotaExceeded,
    Quotas,
    demand_room,
    question,
)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def use(quotas, quota, *, announced=0, received=None, name="a"):
    with quotas.spend(name, quota, announced, lambda: announced if received is None else received):
        pass


def test_a_burst_passes_and_then_the_rate(clock):
    quotas, quota = Quotas(clock), Quota(requests_per_second=2, burst=3)
    for _ in range(3):
        use(quotas, quota)

    with pytest.raises(QuotaExceeded) as refused:
        use(quotas, quota)

    assert (refused.value.reason, refused.value.retry_after) == ("rate", 1)
    clock.now += 0.5
    use(quotas, quota)
    with pytest.raises(QuotaExceeded):
        use(quotas, quota)


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.2, 5), st.integers(1, 5))
def test_no_more_pass_than_the_burst_and_the_rate_let(pauses, rate, burst):
    clock = Clock()
    quotas, quota, passed = Quotas(clock), Quota(requests_per_second=rate, burst=burst), 0
    for pause in pauses:
        clock.now += pause
        with suppress(QuotaExceeded):
            use(quotas, quota)
            passed += 1

    assert passed <= burst + rate * sum(pauses) + 1e-6


def test_a_refused_request_costs_nothing(clock):
    quotas, quota = Quotas(clock), Quota(requests_per_second=1, burst=1)
    use(quotas, quota)
    for _ in range(50):
        with pytest.raises(QuotaExceeded):
            use(quotas, quota)

    clock.now += 1

    use(quotas, quota)


def test_requests_at_a_time_are_counted_until_they_end(clock):
    quotas, quota = Quotas(clock), Quota(concurrent_requests=2)
    with quotas.spend("a", quota, 0, int), quotas.spend("a", quota, 0, int):
        with pytest.raises(QuotaExceeded, match="at a time"):
            use(quotas, quota)
        use(quotas, quota, name="b")

    use(quotas, quota)


def test_a_request_that_fails_is_at_an_end_too(clock):
    quotas, quota = Quotas(clock), Quota(concurrent_requests=1)
    with pytest.raises(ValueError, match="broke"), quotas.spend("a", quota, 0, int):
        raise ValueError("broke")

    use(quotas, quota)


def test_announced_bytes_are_refused_before_they_are_read(clock):
    quotas, quota = Quotas(clock), Quota(bytes_per_day=1000)
    use(quotas, quota, announced=600)

    with pytest.raises(QuotaExceeded) as refused:
        use(quotas, quota, announced=600)

    assert refused.value.reason == "bytes"
    assert refused.value.retry_after == pytest.approx(0.2 * DAY, abs=2)
    use(quotas, quota, announced=300)


def test_bytes_that_were_not_announced_are_owed(clock):
    quotas, quota = Quotas(clock), Quota(bytes_per_day=1000)
    use(quotas, quota, received=1500)

    with pytest.raises(QuotaExceeded):
        use(quotas, quota)

    clock.now += 0.51 * DAY
    use(quotas, quota)


def test_bytes_that_did_not_come_are_given_back(clock):
    quotas, quota = Quotas(clock), Quota(bytes_per_day=1000)
    use(quotas, quota, announced=900, received=10)

    use(quotas, quota, announced=900)


def test_a_body_longer_than_a_day_is_let_in_once_a_day(clock):
    quotas, quota = Quotas(clock), Quota(bytes_per_day=1000)
    use(quotas, quota, announced=5000)

    with pytest.raises(QuotaExceeded):
        use(quotas, quota)


def test_another_quota_starts_anew(clock):
    quotas = Quotas(clock)
    use(quotas, Quota(requests_per_second=1, burst=1))

    use(quotas, Quota(requests_per_second=1, burst=2))


def test_a_gallery_that_is_full_takes_no_sample_more():
    demand_room(10, 10)
    demand_room(None, 10**9)

    with pytest.raises(QuotaExceeded, match="at most 10 samples"):
        demand_room(10, 11)


def test_questions_are_counted_once_and_end_at_the_limit(clock):
    questions, whom = Questions(clock=clock), question("alpha")
    for i in (1, 2, 3, 2, 1):
        questions.note(whom, 3, question(i))

    with pytest.raises(QuotaExceeded) as refused:
        questions.note(whom, 3, question(4))

    assert refused.value.retry_after == DAY
    questions.note(whom, 3, question(3))
    questions.note(question("beta"), 3, question(4))


def test_a_day_later_there_are_as_many_again(clock):
    questions, whom = Questions(clock=clock), question("alpha")
    questions.note(whom, 1, question(1))

    clock.now += DAY

    questions.note(whom, 1, question(2))


def test_subjects_asked_about_longest_ago_are_forgotten_first(clock):
    questions = Questions(most=100, clock=clock)
    whom = question("alpha")
    for i in range(1000):
        questions.note(question(i), 1, question(i))
        questions.note(whom, 1, question("same"))

    assert len(questions._asked) == 100
    with pytest.raises(QuotaExceeded):
        questions.note(whom, 1, question("other"))


def test_what_is_counted_tells_no_name(clock):
    questions = Questions(clock=clock)
    questions.note(question("alpha-canary"), 1, question("a canary"))

    assert b"canary" not in repr(questions._asked).encode()
