"""What the contracts of stores share: each server that they may stand on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import EmbeddedRedis
from tests.servers import REDIS, StartServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["embedded", "redis-server"])
async def redis(
    request: pytest.FixtureRequest, tmp_path: Path, start_server: StartServer
) -> AsyncIterator[DurableRedis]:
    if request.param == "embedded":
        async with EmbeddedRedis(tmp_path) as embedded:
            redis = DurableRedis(embedded.url, timeout=20)
            yield redis
            await redis.close()
    elif REDIS is None:
        pytest.skip("no redis-server on this machine")
    else:
        redis = DurableRedis(start_server(REDIS).url, timeout=20)
        yield redis
        await redis.close()
