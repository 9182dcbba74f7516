"""What is replayed, when, and what is told of it."""

import asyncio
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from models_store import broken_promise, open_bundle
from service.watching.canaries import Canaries
from tests.bundles import make_bundle
from tests.replicas import replica

TARGET = 0.1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return open_bundle(make_bundle(tmp_path_factory.mktemp("bundles")), threads=1)


def enrolled(comparator, name="default", count=5):
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(count, comparator.manifest.dimension))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return replica(comparator, name, embeddings)


def canaries(comparator, *replicas, every=3600.0, wrong=None):
    served = SimpleNamespace(replicas=list(replicas))
    told = [] if wrong is None else wrong
    return Canaries(
        served, [comparator], ("default", "empty"), TARGET, every=every, on_wrong=told.append
    )


def test_it_is_the_share_of_strangers_that_the_gallery_names_without_their_own_evidence(tiny):
    gallery = enrolled(tiny)
    replayed = canaries(tiny, gallery)

    asyncio.run(replayed.look())

    named = gallery.index.judged_apart(tiny.cohort, TARGET).count("match")
    assert replayed.fpir("default") == named / len(tiny.cohort) > 0


def test_only_listed_galleries_with_somebody_in_them_are_asked(tiny):
    replayed = canaries(tiny, enrolled(tiny, "unlisted"), replica(tiny, "empty"))

    asyncio.run(replayed.look())

    assert (replayed.fpir("unlisted"), replayed.fpir("empty")) == (None, None)


def test_a_gallery_is_replayed_again_only_when_it_is_due(tiny):
    gallery = enrolled(tiny)
    rarely, often = canaries(tiny, gallery), canaries(tiny, gallery, every=0)

    async def look_twice():
        for replayed in (rarely, often):
            await replayed.look()
        gallery.index.replace_cohort(-tiny.cohort[:30])
        for replayed in (rarely, often):
            await replayed.look()

    asyncio.run(look_twice())

    assert rarely.fpir("default") != often.fpir("default")


def test_what_was_found_of_a_gallery_goes_with_it(tiny):
    gallery = enrolled(tiny)
    replayed = canaries(tiny, gallery)

    asyncio.run(replayed.look())
    gallery.index.forget(range(5))
    asyncio.run(replayed.look())

    assert replayed.fpir("default") is None


def test_an_encoder_that_embeds_otherwise_than_its_bundle_promises_is_told(tiny):
    with np.load(io.BytesIO(tiny.test_vectors)) as archive:
        vectors = dict(archive)
    vectors["embeddings_a"] = -vectors["embeddings_a"]
    buffer = io.BytesIO()
    np.savez(buffer, **vectors)
    broken, wrong = replace(tiny, test_vectors=buffer.getvalue()), []

    asyncio.run(canaries(broken, every=0, wrong=wrong).look())
    asyncio.run(canaries(tiny, every=0, wrong=wrong).look())

    assert wrong == ["tiny@1"]
    assert "does not reproduce its test vectors" in broken_promise(broken)
    assert broken_promise(tiny) is None
