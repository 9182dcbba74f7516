"""Embeddings come from the server's scripts as they were put in."""

from pathlib import Path

import numpy as np
import pytest

from service.store.durable_redis import DurableRedis, Script
from service.store.embedded_redis import EmbeddedRedis
from service.store.redis_records import packed

pytestmark = pytest.mark.anyio

PACK = Script("no-writes", "return cmsgpack.pack(ARGV)")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_the_server_packs_is_unpacked_in_any_order(tmp_path: Path) -> None:
    """Heads of arrays and of strings differ with what is in them."""
    rng = np.random.default_rng(0)
    async with EmbeddedRedis(tmp_path) as embedded:
        redis = DurableRedis(embedded.url)
        for count in (1, 2, 15, 16, 300, 70_000):
            for dimension in (1, 7, 8, 63, 64, 512, 17_000):
                if count * dimension < 3e6:
                    sent = rng.standard_normal((count, dimension)).astype("<f4")
                    order = rng.permutation(count)
                    answer = await redis.run(PACK, [], *(row.tobytes() for row in sent))
                    np.testing.assert_equal(packed(answer, order), sent[order])
        await redis.close()
    assert packed(b"\x80", np.arange(0)).shape == (0, 0)
