"""Whom real Sentinels name, and which of them is believed."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from service.store.sentinels import Sentinels
from tests.servers import free_port
from tests.torture.failover import NAME, Sentinel, start_sentinel

pytestmark = pytest.mark.anyio

Ask = Callable[..., Sentinels]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path):
    """A function that starts a Sentinel which knows a primary since some epoch."""
    started: list[Sentinel] = []

    def start(primary: int, epoch: int = 0) -> Sentinel:
        started.append(start_sentinel(tmp_path / f"s{len(started)}", primary, epoch))
        return started[-1]

    yield start
    for sentinel in started:
        sentinel.kill9()


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """A function that makes the client of some Sentinels."""
    made: list[Sentinels] = []

    def ask(*addresses: str, name: str = NAME, timeout: float = 10) -> Sentinels:
        made.append(Sentinels(f"redis+sentinel://{','.join(addresses)}/{name}", timeout))
        return made[-1]

    yield ask
    for sentinels in made:
        await sentinels.close()


async def test_the_sentinel_of_the_highest_epoch_is_believed(start, ask: Ask) -> None:
    cut_off, newer = start(1111, epoch=1), start(2222, epoch=5)

    for addresses in (
        (cut_off.address, newer.address),
        (newer.address, cut_off.address),
    ):
        assert await ask(*addresses).primary() == ("127.0.0.1", 2222)


async def test_one_sentinel_that_answers_is_enough(start, ask: Ask) -> None:
    paused, well = start(1111, epoch=1), start(2222)
    paused.stop()

    found = await ask(paused.address, f"127.0.0.1:{free_port()}", well.address).primary()

    paused.cont()
    assert found == ("127.0.0.1", 2222)


async def test_sentinels_that_know_nothing_of_it_name_nobody(start, ask: Ask) -> None:
    sentinel = start(1111)

    with pytest.raises(RedisConnectionError, match="no Sentinel knows"):
        await ask(sentinel.address, name="another").primary()
    with pytest.raises(RedisConnectionError, match="no Sentinel knows"):
        await ask(f"127.0.0.1:{free_port()}").primary()


async def test_user_password_and_database_are_those_of_the_server() -> None:
    sentinels = Sentinels("redis+sentinel://me:p%40ss@h:1,[::1]:2,i/kindred/3", 1)

    assert sentinels.server == {"username": "me", "password": "p@ss", "db": 3}
    assert [
        (
            asked.connection_pool.connection_kwargs["host"],
            asked.connection_pool.connection_kwargs["port"],
        )
        for asked in sentinels._asked
    ] == [("h", 1), ("::1", 2), ("i", 26379)]


@pytest.mark.parametrize(
    "url", ["redis+sentinel://h:1", "redis+sentinel:///kindred", "redis://h:1/kindred", ""]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected redis\\+sentinel://"):
        Sentinels(url, 1)
