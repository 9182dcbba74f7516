"""The embedded store's server: it starts, ends, comes back, and belongs to one service."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.store.durable_redis import DurableRedis
from service.store.embedded_redis import DataDirInUse, EmbeddedRedis, StoreDidNotStart, _locked

pytestmark = pytest.mark.anyio

# A service that is killed while it writes: it says each number after the store has it.
SERVICE = """
    import asyncio, sys
    from pathlib import Path
    from service.store.durable_redis import DurableRedis
    from service.store.embedded_redis import EmbeddedRedis

    async def serve():
        async with EmbeddedRedis(Path(sys.argv[1])) as embedded:
            redis = DurableRedis(embedded.url)
            print(embedded._process.pid, flush=True)
            for number in range(1_000_000):
                await redis.write("RPUSH", "kept", number)
                print(number, flush=True)

    asyncio.run(serve())
"""


KillService = Callable[[int], tuple[int, list[int]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def kept(embedded: EmbeddedRedis) -> list[int]:
    redis = DurableRedis(embedded.url)
    numbers = await redis.read("LRANGE", "kept", 0, -1)
    await redis.close()
    return [int(number) for number in numbers]


async def keep(embedded: EmbeddedRedis, *numbers: int) -> None:
    redis = DurableRedis(embedded.url)
    for number in numbers:
        await redis.write("RPUSH", "kept", number)
    await redis.close()


@pytest.fixture
def kill_service(tmp_path: Path) -> Iterator[KillService]:
    """Run a service, kill it in the middle; return its server's process id and what it kept."""
    orphans = []

    def kill_service(after: int) -> tuple[int, list[int]]:
        program = [sys.executable, "-c", textwrap.dedent(SERVICE), str(tmp_path)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout is not None
            orphans.append(int(service.stdout.readline()))
            said = [int(service.stdout.readline()) for _ in range(after)]
            service.kill()
            said += [int(line) for line in service.stdout.read().splitlines()]
        return orphans[-1], said

    yield kill_service
    for orphan in filter(is_server, orphans):  # where a test failed
        os.kill(orphan, signal.SIGKILL)


def is_server(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/exe").readlink().name == "valkey-server"
    except OSError:
        return False


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"])


def is_running(process: int) -> bool:
    """Whether it runs: one that ended may stay listed until its parent asks for it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tcp_sockets_of(process: int) -> set[str]:
    links = []
    for fd in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(fd.readlink().name)
    own = {link[8:-1] for link in links if link.startswith("socket:")}
    tcp = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    return own & {line.split()[9] for lines in tcp for line in lines}


async def test_what_was_written_is_there_after_the_next_start(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as embedded:
        await keep(embedded, 1, 2)
        first = embedded._process

    async with EmbeddedRedis(tmp_path) as embedded:
        assert await kept(embedded) == [1, 2]

    assert first is not None
    assert first.returncode == 0


async def test_only_this_user_can_reach_it_and_nobody_by_the_network(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as embedded:
        assert embedded._process is not None
        folder = embedded._socket.parent

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert tcp_sockets_of(embedded._process.pid) == set()


async def test_a_folder_is_one_services(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as first:
        await keep(first, 1)

        with pytest.raises(DataDirInUse, match=str(tmp_path)):
            await EmbeddedRedis(tmp_path).start()

        assert await kept(first) == [1]


async def test_the_server_of_a_killed_service_is_replaced_and_nothing_acknowledged_lost(
    tmp_path: Path, kill_service: KillService
) -> None:
    orphan, said = kill_service(50)
    assert is_running(orphan)

    async with EmbeddedRedis(tmp_path) as embedded:
        numbers = await kept(embedded)

    assert len(said) >= 50
    assert numbers[: len(said)] == said
    assert len(numbers) <= len(said) + 1
    assert not is_running(orphan)


async def test_a_paused_server_of_a_killed_service_is_replaced(
    tmp_path: Path, kill_service: KillService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.embedded_redis._PATIENCE", 0.3)
    orphan, said = kill_service(5)
    os.kill(orphan, signal.SIGSTOP)

    async with EmbeddedRedis(tmp_path) as embedded:
        assert (await kept(embedded))[: len(said)] == said

    assert not is_running(orphan)


async def test_a_process_that_is_not_the_folders_server_is_left_alone(
    tmp_path: Path, kill_service: KillService
) -> None:
    orphan, said = kill_service(5)
    os.kill(orphan, signal.SIGKILL)
    with sleeper() as bystander:
        (tmp_path / "store" / "valkey.pid").write_text(f"{bystander.pid}\n")
        (tmp_path / "store" / "server.lock").write_text(f"{bystander.pid}\n")

        async with EmbeddedRedis(tmp_path) as embedded:
            assert (await kept(embedded))[: len(said)] == said

        assert bystander.poll() is None
        bystander.kill()


async def test_a_socket_that_was_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "store" / "valkey.sock"))

    async with EmbeddedRedis(tmp_path) as embedded:
        await keep(embedded, 1)
        assert await kept(embedded) == [1]


async def test_a_server_that_dies_is_started_again_with_its_data(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as embedded:
        await keep(embedded, 1)
        assert not await embedded.ensure_running()

        assert embedded._process is not None
        embedded._process.kill()
        embedded._process.wait()

        assert await embedded.ensure_running()
        assert not await embedded.ensure_running()
        assert await kept(embedded) == [1]


async def test_a_server_that_dies_while_it_rewrites_its_file_is_started_again(
    tmp_path: Path,
) -> None:
    async with EmbeddedRedis(tmp_path) as embedded:
        await keep(embedded, 1)
        redis = DurableRedis(embedded.url)
        await redis.read("CONFIG SET", "rdb-key-save-delay", 30_000_000)  # microseconds a key
        await redis.read("BGREWRITEAOF")
        await redis.close()

        assert embedded._process is not None
        embedded._process.kill()
        embedded._process.wait()

        assert await embedded.ensure_running()
        assert await kept(embedded) == [1]


async def test_a_half_written_end_of_the_file_does_not_keep_it_from_starting(
    tmp_path: Path,
) -> None:
    async with EmbeddedRedis(tmp_path) as embedded:
        await keep(embedded, 1)
    [log] = (tmp_path / "store" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as end:
        end.write(b"*3\r\n$5\r\nRPUSH\r\n$4\r\nke")

    async with EmbeddedRedis(tmp_path) as embedded:
        assert await kept(embedded) == [1]


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as embedded:
        await keep(embedded, 1)
    [manifest] = (tmp_path / "store" / "appendonlydir").glob("*.manifest")
    manifest.write_text("not a manifest\n")

    with pytest.raises(StoreDidNotStart, match="manifest"):
        await EmbeddedRedis(tmp_path).start()

    manifest.unlink()  # and the folder was given back
    async with EmbeddedRedis(tmp_path):
        pass


async def test_a_server_that_is_killed_before_it_said_anything_is_told_as_ended(
    tmp_path: Path,
) -> None:
    embedded = EmbeddedRedis(tmp_path)
    embedded.begin()
    assert embedded._process
    embedded._process.kill()

    with pytest.raises(StoreDidNotStart, match=r"ended \(-9\)"):
        await embedded.start()


async def test_a_path_may_be_long_and_have_any_character(tmp_path: Path) -> None:
    for name in ("with space", "q?a=1#é%41", "long" * 40):
        async with EmbeddedRedis(tmp_path / name) as embedded:
            await keep(embedded, 1)
            assert await kept(embedded) == [1]
            assert len(os.fsencode(embedded._socket)) < 108
            assert stat.S_IMODE(embedded._socket.parent.stat().st_mode) == 0o700

    async with EmbeddedRedis(tmp_path / ("long" * 40)) as embedded:
        assert await kept(embedded) == [1]


async def test_starting_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    lags = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await asyncio.sleep(0.005)
            lags.append(loop.time() - begun)

    watching = asyncio.create_task(watch())
    async with EmbeddedRedis(tmp_path):
        pass
    watching.cancel()

    assert max(lags) < 0.5


async def test_a_lock_that_a_fork_has_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """What the service starts beside the server has its open files until it begins its program."""
    embedded = EmbeddedRedis(tmp_path / "store")
    embedded._owned = embedded._take_folder()
    forked = _locked(tmp_path / "store" / "server.lock")
    assert forked is not None
    asyncio.get_running_loop().run_in_executor(None, lambda: (time.sleep(0.2), forked.close()))

    await embedded.start()

    assert await kept(embedded) == []
    await embedded.stop()
