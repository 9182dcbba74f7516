import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models_store import Degenerate
from service.embedding.batching import Batcher, Embedded, Overloaded

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Model:
    """Doubles its input; waits at a gate; remembers the sizes of its runs."""

    def __init__(self):
        self.runs = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, inputs):
        assert self.gate.wait(5)
        self.runs.append(len(inputs))
        values = np.stack([window for (window,) in inputs])
        if (values < 0).any():
            raise Degenerate("negative")
        return values * 2


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def batcher(model):
    with ThreadPoolExecutor(1) as executor:
        yield Batcher(model, executor, max_batch=4, queue_length=8)


def inputs(*values):
    return [(np.array([value], np.float32),) for value in values]


async def test_an_idle_model_starts_at_once_and_answers_in_order(batcher, model):
    found = await batcher.embed(inputs(1, 2, 3))

    assert [float(one.embedding[0]) for one in found] == [2, 4, 6]
    assert model.runs == [3]


async def test_what_queues_up_during_a_run_is_the_next_batch(batcher, model):
    model.gate.clear()
    calls = [asyncio.create_task(batcher.embed(inputs(i))) for i in range(6)]
    await asyncio.sleep(0.05)
    model.gate.set()

    found = await asyncio.gather(*calls)

    assert [float(one.embedding[0]) for (one,) in found] == [0, 2, 4, 6, 8, 10]
    assert model.runs[0] <= 4
    assert sum(model.runs) == 6
    assert len(model.runs) <= 3


async def test_a_full_queue_refuses_and_keeps_what_waits(batcher, model):
    model.gate.clear()
    running = asyncio.create_task(batcher.embed(inputs(0)))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(batcher.embed(inputs(*range(8))))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await batcher.embed(inputs(9))
    assert batcher.depth == 8

    model.gate.set()
    assert len(await waiting) == 8
    await running


async def test_a_sample_whose_client_left_is_not_run(batcher, model):
    model.gate.clear()
    running = asyncio.create_task(batcher.embed(inputs(0)))
    await asyncio.sleep(0.05)
    left = asyncio.create_task(batcher.embed(inputs(1, 2)))
    stays = asyncio.create_task(batcher.embed(inputs(3)))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    model.gate.set()

    await running
    (kept,) = await stays

    assert float(kept.embedding[0]) == 6
    assert model.runs == [1, 1]


async def test_a_degenerate_sample_fails_alone(batcher):
    good, bad, also_good = await batcher.embed(inputs(1, -1, 2))

    assert isinstance(good, Embedded)
    assert isinstance(bad, Degenerate)
    assert float(also_good.embedding[0]) == 4


async def test_a_defect_reaches_whoever_waits_and_the_next_request_is_served():
    broken = True

    def embed(rows):
        if broken:
            raise RuntimeError("defect")
        return rows

    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(embed, executor, max_batch=4, queue_length=8)
        with pytest.raises(RuntimeError, match="defect"):
            await batcher.embed(inputs(1))
        broken = False

        assert len(await batcher.embed(inputs(1))) == 1
