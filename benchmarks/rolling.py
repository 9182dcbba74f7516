"""Two services on one store, restarted in turn under load: `python -m benchmarks.rolling`.

A small proxy stands before them, as any would: it asks each ten times a second whether it is
ready, sends requests only where it is, keeps connections until an answer says otherwise, and never
tries again. Clients verify and enroll; whatever is not a success is a failure.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import re
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bundles import make_bundle
from tests.drawings import draw
from tests.servers import DURABLE, VALKEY, Server
from tests.services import Service

PROBE_EVERY = 0.1  # seconds
CLIENTS = 4
PATIENCE = 240.0  # seconds that a start may take on a busy machine
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)
Channel = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Sends each request to a service that says it is ready, in turn."""

    def __init__(self, services: list[Service]) -> None:
        self._services = services
        self._ready: list[Service] = []
        self._turn = itertools.count()
        self._kept: dict[Service, list[Channel]] = {service: [] for service in services}
        self._stop: asyncio.Event
        self.port = 0

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Proxy in a thread of its own for as long as the context lasts."""
        listening = threading.Event()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._run(listening),))
        thread.start()
        listening.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            loop.close()

    def ready(self) -> int:
        """Return how many services are."""
        return len(self._ready)

    async def _run(self, listening: threading.Event) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        probes = [asyncio.create_task(self._probe(service)) for service in self._services]
        listening.set()
        await self._stop.wait()
        server.close()
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        for service in self._services:
            self._forget(service)

    async def _probe(self, service: Service) -> None:
        while True:
            ready = False
            with suppress(OSError, EOFError, TimeoutError):
                async with asyncio.timeout(2):
                    channel = await self._connect(service)
                    try:
                        answer = await _ask(channel, _get("/health/ready"))
                        ready = answer.startswith(b"HTTP/1.1 200")
                    finally:
                        channel[1].close()
            if not ready and service in self._ready:
                self._ready.remove(service)
                self._forget(service)
            elif ready and service not in self._ready:
                self._ready.append(service)
            await asyncio.sleep(PROBE_EVERY)

    def _forget(self, service: Service) -> None:
        while self._kept[service]:
            self._kept[service].pop()[1].close()

    async def _connect(self, service: Service) -> Channel:
        where = urlsplit(service.url)
        return await asyncio.open_connection(where.hostname, where.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _whole(reader)
            service = self._ready[next(self._turn) % len(self._ready)]
            kept = self._kept[service]
            channel = kept.pop() if kept else await self._connect(service)
            answer = await _ask(channel, request)
            if CLOSES.search(answer) or service not in self._ready:
                channel[1].close()
            else:
                kept.append(channel)
            writer.write(answer)
            await writer.drain()
        except (OSError, EOFError, ZeroDivisionError):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
        finally:
            writer.close()


async def _ask(channel: Channel, request: bytes) -> bytes:
    channel[1].write(request)
    return await _whole(channel[0])


async def _whole(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def _multipart(**fields: str | bytes) -> bytes:
    body = b""
    for name, value in fields.items():
        named = f'--x\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if isinstance(value, bytes):
            body += named + b'; filename="x.png"\r\n\r\n' + value + b"\r\n"
        else:
            body += named + b"\r\n\r\n" + value.encode() + b"\r\n"
    return body + b"--x--\r\n"


@dataclass(frozen=True, slots=True)
class Rolled:
    """What was seen: `failures` by what they were; seconds that the stopping took."""

    restarts: int
    requests: int
    failures: dict[str, int]
    acknowledged: int
    lost: int
    exits: dict[int, int]
    slowest_stop_s: float


class _Load:
    """Clients that ask on and on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count()
        self._going = True
        self.requests: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self._threads = [threading.Thread(target=self._go_on) for _ in range(CLIENTS)]

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        for thread in self._threads:
            thread.join()

    def _go_on(self) -> None:
        while self._going:
            number = next(self._numbers)
            name = f"id-{number}"
            if number % 4:
                body = _multipart(a=draw(number), b=draw(number, 1))
                self.requests[self._ask("/verify", body)] += 1
                continue
            said = self._ask("/enroll", _multipart(identity=name, files=draw(number)))
            self.requests[said] += 1
            if said == "201":
                self.acknowledged.append(name)

    def _ask(self, path: str, body: bytes) -> str:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        try:
            link.request("POST", path, body, headers)
            return str(link.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            link.close()


def roll(folder: Path, bundles: Path, restarts: int, drain_delay: float = 1.0) -> Rolled:
    """Return what clients see while two services are restarted so often, in turn."""
    store = Server(VALKEY, folder / "store", DURABLE).wait()
    services = [
        Service(folder / name, bundles, redis_url=store.url, drain_delay=drain_delay)
        for name in ("one", "two")
    ]
    exits, slowest = Counter[int](), 0.0
    try:
        for service in services:
            service.start(PATIENCE).wait_ready(PATIENCE)
        with Proxy(services).running() as proxy:
            _until(lambda: proxy.ready() == len(services))
            with _Load(proxy.port) as load:
                for number in range(restarts):
                    service = services[number % len(services)]
                    time.sleep(0.5)
                    service.signal(signal.SIGTERM)
                    begun = time.monotonic()
                    exits[service.wait(60)] += 1
                    slowest = max(slowest, time.monotonic() - begun)
                    service.start(PATIENCE).wait_ready(PATIENCE)
                    _until(lambda: proxy.ready() == len(services))
        kept = _enrolled(services[0])
    finally:
        for service in services:
            service.stop()
        store.kill9()
    return Rolled(
        restarts=restarts,
        requests=load.requests.total(),
        failures={k: n for k, n in load.requests.items() if k not in ("200", "201")},
        acknowledged=len(load.acknowledged),
        lost=len(set(load.acknowledged) - kept),
        exits=dict(exits),
        slowest_stop_s=round(slowest, 2),
    )


def _enrolled(service: Service) -> set[str]:
    kept, after = set[str](), "0"
    with service.client() as client:
        while after:
            page = client.get(f"/galleries/default/identities?limit=1000&after={after}").json()
            kept |= {item["identity"] for item in page["items"]}
            after = page["next"]
    return kept


def _until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def main() -> None:
    """Print what was seen, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--drain-delay", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kindred-rolling-") as folder:
        make_bundle(Path(folder) / "bundles", dimension=32, cohort=400)
        found = roll(Path(folder), Path(folder) / "bundles", asked.restarts, asked.drain_delay)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
