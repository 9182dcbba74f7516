"""Probes of many requests in one search: each gets what it would get alone."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from index.gallery import DimensionMismatch
from service.replicas.probing import TOGETHER, Probing
from tests.index.circle import on_circle
from tests.index.test_identification import circle

pytestmark = pytest.mark.anyio

TERMS = {
    "rule": None,
    "target_fpir": 0.05,
    "threshold": None,
    "k": 5,
    "top": 5,
    "prior_known": 0.5,
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def probing():
    with ThreadPoolExecutor(2) as executor:
        yield Probing(executor)


@pytest.fixture
def index(monkeypatch):
    """A gallery that remembers how many probes each search had, and waits at a gate."""
    gallery = circle()
    gallery.searches, gallery.searching, gallery.gate = [], threading.Event(), threading.Event()
    gallery.gate.set()
    identify = gallery.identify

    def watched(probes, **terms):
        gallery.searches.append(len(probes))
        gallery.searching.set()
        assert gallery.gate.wait(5)
        return identify(probes, **terms)

    monkeypatch.setattr(gallery, "identify", watched)
    return gallery


async def test_probes_that_come_during_a_search_share_the_next_and_get_what_is_theirs(
    probing, index
):
    angles = list(range(0, 100, 10))
    alone = [circle().identify(on_circle(angle), **TERMS) for angle in angles]

    index.gate.clear()
    asked = [
        asyncio.create_task(probing.identify(index, on_circle(angle), TERMS)) for angle in angles
    ]
    await asyncio.to_thread(index.searching.wait, 5)
    late = asyncio.create_task(probing.identify(index, on_circle(10, 20), TERMS))
    await asyncio.sleep(0)
    index.gate.set()

    assert [[repr(one) for one in each] for each in await asyncio.gather(*asked)] == [
        [repr(one) for one in each] for each in alone
    ]
    assert [found.identity for found in await late] == ["ada", "ada"]
    assert index.searches == [10, 2]


async def test_other_terms_are_another_search(probing, index):
    strict = TERMS | {"target_fpir": None, "threshold": 0.99}

    (loose,), (none,) = await asyncio.gather(
        probing.identify(index, on_circle(10), TERMS),
        probing.identify(index, on_circle(10), strict),
    )

    assert (loose.outcome, none.outcome) == ("match", "unknown")
    assert index.searches == [1, 1]


async def test_what_cannot_be_searched_for_costs_no_other_its_answer(probing, index):
    good, bad, other = await asyncio.gather(
        probing.identify(index, on_circle(10), TERMS),
        probing.identify(index, np.ones((1, 3), np.float32), TERMS),
        probing.identify(index, on_circle(60), TERMS),
        return_exceptions=True,
    )

    assert (good[0].identity, other[0].identity) == ("ada", "bob")
    assert isinstance(bad, ValueError | DimensionMismatch)


async def test_who_left_is_not_searched_for(probing, index):
    index.gate.clear()
    first = asyncio.create_task(probing.identify(index, on_circle(10), TERMS))
    await asyncio.to_thread(index.searching.wait, 5)
    left = asyncio.create_task(probing.identify(index, on_circle(20), TERMS))
    await asyncio.sleep(0)
    left.cancel()
    index.gate.set()
    await first

    (found,) = await probing.identify(index, on_circle(60), TERMS)

    assert found.identity == "bob"
    assert index.searches == [1, 1]


@pytest.mark.parametrize("count", [TOGETHER, TOGETHER + 1])
async def test_a_request_of_any_size_is_answered_in_order(probing, index, count):
    angles = [0.0, 60.0] * count

    found = await probing.identify(index, on_circle(*angles[:count]), TERMS)

    assert [one.identity for one in found] == [("ada", "bob")[i % 2] for i in range(count)]
