"""A store, services over it and clients of theirs, of which any may be killed at any moment."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
from redis import Redis

from tests.bundles import make_bundle
from tests.servers import DURABLE, VALKEY, Option, Server, free_port
from tests.torture.audit import Audit, Sample, ask_replica, audit, draw_samples, read_snapshot
from tests.torture.checker import View, Violation, check
from tests.torture.clients import Client, Mix
from tests.torture.history import History
from tests.torture.launcher import Launched

Victim = Literal["service", "store", "both"]
VICTIMS: tuple[Victim, ...] = ("service", "store", "both")
TURNS: tuple[Victim, ...] = ("store", "service", "store", "both")  # the quick ones more often

DIMENSION = 8
MOST_PROBES = 300


@dataclass
class Tally:
    """What a run has seen; `violations` are what it must not have."""

    seed: int
    kills: dict[str, int] = field(default_factory=dict)
    operations: int = 0
    acknowledged: int = 0  # enrollments
    forgotten: int = 0  # acknowledged deletions
    unknown: int = 0
    retried: int = 0
    violations: list[Violation] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Acknowledged enrollments that are not there."""
        return sum(v.rule == 1 and v.what.startswith("lost") for v in self.violations)


class Scene:
    """One durable store and services over it, each in a folder of its own."""

    def __init__(
        self, folder: Path, *, seed: int = 0, services: int = 1, **settings: object
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.tally = Tally(seed)
        self.history = History()
        self.settings = settings
        bundles = folder / "bundles"
        if not bundles.exists():
            make_bundle(bundles, dimension=DIMENSION, cohort=20)
        self.bundles = bundles
        self.store = self.make_store("store")
        self.services = [self.launch(f"service{i}") for i in range(services)]

    def make_store(self, name: str, **options: Option) -> Server:
        """Start a durable server."""
        return Server(VALKEY, self.folder / name, {**DURABLE, **options}).wait()

    def store_url(self) -> str:
        """Where services find the store."""
        return self.store.url

    def launch(self, name: str) -> Launched:
        """Start a service, and go on while it does."""
        settings = {"redis_url": self.store_url(), "store_timeout": 2, **self.settings}
        return Launched(self.folder / name, self.bundles, free_port(), **settings).start()

    def close(self) -> None:
        """End everything."""
        for service in self.services:
            service.kill9()
        self.store.kill9()

    def __enter__(self) -> "Scene":
        for service in self.services:
            service.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def redis(self) -> "Redis[bytes]":
        """Connect to where the truth is now."""
        return Redis.from_url(self.store.url, protocol=2)

    def make_gallery(self, name: str) -> None:
        """Make a gallery, and wait until every service has it."""
        until = time.monotonic() + 30
        url = self.services[0].url
        while httpx.post(f"{url}/galleries", json={"name": name}).status_code not in (201, 409):
            assert time.monotonic() < until
            time.sleep(0.1)
        for service in self.services:
            self.wait_until(lambda s=service: _get(f"{s.url}/galleries/{name}") == 200)

    def drop_gallery(self, name: str) -> None:
        """Delete a gallery that was checked."""
        httpx.delete(f"{self.services[0].url}/galleries/{name}", timeout=60)
        self.history.forget([name])

    @contextlib.contextmanager
    def clients(self, gallery: str, n: int, mix: Mix | None = None) -> Iterator[Sequence[Client]]:
        """Let clients call, spread over the services, until the block ends."""
        clients = [
            Client(
                f"{gallery}-{i}",
                self.services[i % len(self.services)].url,
                gallery,
                self.history,
                np.random.default_rng(self.rng.integers(2**32)),
                mix or Mix(),
                DIMENSION,
            )
            for i in range(n)
        ]
        for client in clients:
            client.start()
        try:
            yield clients
        finally:
            for client in clients:
                client.stop()
            for client in clients:
                client.join(60)

    def kill(self, victim: Victim) -> None:
        """Kill, start again what was killed, and wait until all is well."""
        if victim != "store":
            self.services[0].kill9()
        if victim != "service":
            self.store.kill9()
        self.tally.kills[victim] = self.tally.kills.get(victim, 0) + 1
        if victim != "service":
            self.store.start()
        if victim != "store":
            self.services[0].start()
        for service in self.services:
            service.wait_ready()

    def answers_as_one_that_starts_anew(self) -> bool:
        """Whether a service without any snapshot gives the same answers, to the last bit."""
        fresh = self.launch("fresh").wait_ready()
        probes = [{"embedding": s.values.tolist()} for s in draw_samples(self.rng, 50, DIMENSION)]
        try:
            galleries = httpx.get(f"{fresh.url}/galleries").json()["galleries"]
            names = [gallery["name"] for gallery in galleries]
            for name in names:
                for service in self.services:
                    if _answers(service, name, probes) != _answers(fresh, name, probes):
                        return False
        finally:
            fresh.kill9()
        return bool(names)

    def judge(self, gallery: str, clients: Sequence[Client]) -> list[Violation]:
        """Compare what clients were told with what there is; add it to the tally."""
        for service in self.services:
            service.wait_ready()
        probes = self._probes(clients)
        with self.redis() as redis:
            found = audit(redis, gallery)
            views = self._views(found, probes)
            while (now := audit(redis, gallery)).kept.version != found.kept.version:
                found = now  # what a client gave up on may be done late
                views = self._views(found, probes)
        operations = [o for o in self.history.operations if o.gallery == gallery]
        violations = check(operations, found.kept, views)
        self._count(operations, violations)
        return violations

    def _views(self, found: Audit, probes: Sequence[Sample]) -> list[View]:
        """Return what each service answers, and what its snapshot holds."""
        views: list[View] = []
        for i, service in enumerate(self.services):
            with httpx.Client(base_url=service.url, timeout=60) as client:
                views.append(ask_replica(client, found, probes, f"replica {i}"))
            path = service.folder / "var" / "snapshots" / f"{found.kept.gallery}.snapshot"
            views += filter(None, [read_snapshot(path)])
        return views

    def judge_again(self, gallery: str) -> None:
        """Compare once more, after others were killed; count what is broken only."""
        with self.redis() as redis:
            found = audit(redis, gallery)
        operations = [o for o in self.history.operations if o.gallery == gallery]
        self.tally.violations += check(operations, found.kept)

    def wait_until(self, holds: Any, seconds: float = 60) -> None:
        """Wait until a condition holds."""
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "it never came"
            time.sleep(0.05)

    def _probes(self, clients: Sequence[Client]) -> list[Sample]:
        """Return some that may be there, and all that must not be."""
        sent = [sample for client in clients for sample in client.sent]
        gone = [sample for client in clients for sample in client.gone]
        some = min(len(sent), MOST_PROBES)
        chosen = self.rng.choice(len(sent), some, replace=False) if sent else []
        return [sent[i] for i in chosen] + gone[:MOST_PROBES]

    def _count(self, operations: Sequence[Any], violations: list[Violation]) -> None:
        tally = self.tally
        tally.operations += len(operations)
        tally.acknowledged += sum(o.kind == "enroll" and o.acknowledged for o in operations)
        tally.forgotten += sum(o.kind == "forget" and o.acknowledged for o in operations)
        tally.unknown += sum(o.outcome == "unknown" for o in operations)
        tally.retried += sum(o.retried for o in operations)
        tally.violations += violations


def _get(url: str) -> int:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:
        return 0


def _answers(service: Launched, gallery: str, probes: Sequence[Any]) -> Any:
    asked = {"gallery": gallery, "files": probes, "k": 3, "top": 3}
    said = httpx.post(f"{service.url}/identify", json=asked, timeout=60).json()
    return {name: value for name, value in said.items() if name != "timings_ms"}
