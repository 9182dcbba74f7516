"""A decoder that ends, hangs or swells costs one sample, and nobody else."""

import asyncio
import io
import os
import signal

import numpy as np
import pytest
from PIL import Image

from models_store import Sample, SampleOutOfBounds, Undecodable, open_shelf
from service.embedding.decoding import Decoders
from tests.bundles import make_bundle
from tests.decoder_faults import FAULTS
from tests.drawings import draw
from tests.refusals import decoders_of, processor_seconds, wait_gone
from tests.text_bundles import make_text_bundle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def comparators(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    make_bundle(root)
    make_text_bundle(root)
    return open_shelf(root).comparators


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(tmp_path)


def samples(*contents):
    return [Sample(content) for content in contents]


async def test_what_a_decoder_makes_of_a_sample_is_what_the_comparator_does(comparators):
    tiny, words = comparators["tiny@1"], comparators["words@1"]
    text = " ".join(["A man plays the flute."] * 20).encode()

    async with Decoders(comparators) as decoders:
        pictures = await decoders.prepare(tiny, "a", samples(*(draw(1, i) for i in range(40))))
        (windows,) = await decoders.prepare(words, "b", samples(text))

    for i, (found,) in enumerate(pictures):
        assert np.array_equal(found, tiny.prepare(Sample(draw(1, i)))[0])
    assert len(windows) > 1
    for found, expected in zip(windows, words.prepare(Sample(text)), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("content", "reason", "error"),
    [
        (b"crash", "crashed", Undecodable),
        (b"abort", "crashed", Undecodable),
        (b"exit", "crashed", Undecodable),
        (b"spin", "slow", SampleOutOfBounds),
        (b"sleep", "hung", SampleOutOfBounds),
        (b"swell", None, SampleOutOfBounds),
        (b"defect", None, Undecodable),
        (b"write", None, Undecodable),
    ],
)
async def test_a_decoder_that_fails_costs_its_sample_only(
    comparators, faulty, content, reason, error
):
    tiny, lost = comparators["tiny@1"], []

    async with Decoders(comparators, at_once=2, seconds=0.1, on_loss=lost.append) as decoders:
        before, bad, after = await decoders.prepare(tiny, "a", samples(draw(1), content, draw(2)))
        again = await decoders.prepare(tiny, "a", samples(*[draw(3)] * 4))

    assert isinstance(bad, error), bad
    assert lost == ([reason] if reason else [])
    assert all(isinstance(one, tuple) for one in (before, after, *again))


async def test_slow_samples_of_one_request_share_their_seconds(comparators, faulty):
    tiny, lost = comparators["tiny@1"], []

    async with Decoders(
        comparators, seconds=0.4, slow_seconds=0.4, on_loss=lost.append
    ) as decoders:
        spent = processor_seconds(os.getpid())
        found = await decoders.prepare(tiny, "a", samples(*[b"spin"] * 40))
        spent = processor_seconds(os.getpid()) - spent

    assert all(isinstance(one, SampleOutOfBounds) for one in found)
    assert lost == ["slow"]
    assert spent < 1, spent
    assert "slow samples" in str(found[-1])


async def test_samples_that_are_slow_and_done_are_counted_too(comparators, faulty):
    tiny = comparators["tiny@1"]

    async with Decoders(comparators, seconds=0.4, slow_seconds=0.4) as decoders:
        found = await decoders.prepare(tiny, "a", samples(*[b"slow"] * 40))

    done = [one for one in found if isinstance(one, Undecodable)]
    assert 2 <= len(done) <= 4
    assert len(done) + sum(isinstance(one, SampleOutOfBounds) for one in found) == 40


async def test_parts_of_one_request_share_their_seconds(comparators, faulty):
    tiny, lost = comparators["tiny@1"], []

    async with Decoders(
        comparators, seconds=0.2, slow_seconds=0.2, on_loss=lost.append
    ) as decoders:
        budget = decoders.budget()
        for _ in range(5):
            await decoders.prepare(tiny, "a", samples(b"spin"), budget)

    assert lost == ["slow"]


async def test_one_slow_sample_costs_none_of_its_request(comparators, faulty):
    tiny = comparators["tiny@1"]
    pictures = samples(*(draw(1, i) for i in range(60)))

    async with Decoders(comparators, seconds=0.2, slow_seconds=0.2) as decoders:
        slow, *others = await decoders.prepare(tiny, "a", [*samples(b"spin"), *pictures])

    assert isinstance(slow, SampleOutOfBounds)
    assert all(isinstance(one, tuple) for one in others)


async def test_any_number_of_ordinary_samples_is_decoded(comparators, faulty):
    async with Decoders(comparators, seconds=0.4, slow_seconds=0.4) as decoders:
        found = await decoders.prepare(comparators["tiny@1"], "a", samples(*[b"ordinary"] * 64))

    assert all(isinstance(one, Undecodable) for one in found)  # which is told when it was opened


async def test_one_request_leaves_decoders_to_others(comparators, faulty):
    tiny = comparators["tiny@1"]

    async with Decoders(comparators, at_once=2, seconds=0.5) as decoders:
        await decoders.prepare(tiny, "a", samples(draw(1)))  # so that one is there
        greedy = asyncio.create_task(decoders.prepare(tiny, "a", samples(*[b"spin"] * 3)))
        await asyncio.sleep(0.1)
        (found,) = await decoders.prepare(tiny, "a", samples(draw(1)))
        still_at_it = not greedy.done()
        await greedy

    assert isinstance(found, tuple)
    assert still_at_it


async def test_a_request_that_ends_early_leaves_no_answer_to_the_next(comparators, faulty):
    tiny = comparators["tiny@1"]

    async with Decoders(comparators, at_once=1) as decoders:
        await decoders.prepare(tiny, "a", samples(draw(1)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await decoders.prepare(tiny, "a", samples(b"spin"))
        (found,) = await decoders.prepare(tiny, "a", samples(draw(2)))

    assert np.array_equal(found[0], tiny.prepare(Sample(draw(2)))[0])


async def test_decoders_come_back_when_their_template_is_killed(comparators):
    tiny, lost = comparators["tiny@1"], []

    async with Decoders(comparators, on_loss=lost.append) as decoders:
        await decoders.prepare(tiny, "a", samples(draw(1)))
        os.kill(decoders_of(os.getpid())[0], signal.SIGKILL)
        found = await decoders.prepare(tiny, "a", samples(*(draw(i) for i in range(9))))

    assert all(isinstance(one, tuple) for one in found)
    assert lost == []


async def test_no_decoder_outlives_its_service(comparators):
    others = decoders_of(os.getpid())  # those of services that tests share
    async with Decoders(comparators) as decoders:
        await decoders.prepare(comparators["tiny@1"], "a", samples(*[draw(1)] * 8))
        forked = [pid for pid in decoders_of(os.getpid()) if pid not in others]

    assert len(forked) > 1
    wait_gone(forked)


def twenty_five_megapixels(mode, format="PNG", **options):
    buffer = io.BytesIO()
    Image.new(mode, (5000, 5000)).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "fits"), [("1", True), ("L", True), ("RGBA", False)])
async def test_a_large_picture_is_decoded_within_its_memory_or_refused(comparators, mode, fits):
    content = twenty_five_megapixels(mode)

    async with Decoders(comparators, seconds=10) as decoders:
        (found,) = await decoders.prepare(comparators["tiny@1"], "a", samples(content))

    assert isinstance(found, tuple if fits else SampleOutOfBounds), found
