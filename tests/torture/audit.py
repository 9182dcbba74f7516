"""What there is when clients have stopped: read from the store, and asked of replicas."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from redis import Redis

from service.replicas.snapshots import decoded
from tests.torture.checker import Entry, Kept, View

SAME = 1e-5  # largest difference of a distance from that of plain numpy
PROBES = 500  # in one request


@dataclass(frozen=True)
class Sample:
    """A ready embedding as a client sends it."""

    values: NDArray[np.float32]  # (d,), of norm 1

    @property
    def fingerprint(self) -> str:
        """What the service knows it by."""
        return hashlib.sha256(self.values.tobytes()).hexdigest()


def draw_samples(rng: np.random.Generator, n: int, dimension: int) -> list[Sample]:
    """Return n samples on the unit sphere."""
    rows = rng.standard_normal((n, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [Sample(row) for row in rows]


@dataclass(frozen=True)
class Audit:
    """A gallery in the store, with its embeddings."""

    kept: Kept
    ids: NDArray[np.int64]  # (n,) of samples
    embeddings: NDArray[np.float32]  # (n, d)


def audit(redis: "Redis[bytes]", gallery: str) -> Audit:
    """Read a gallery by plain commands, with none of the service's code."""
    root = redis.hgetall(f"kindred:{{{gallery}}}:gallery")
    below = f"kindred:{{{gallery}}}:{root[b'lineage'].decode()}:"
    listed = redis.zrange(f"{below}identities", 0, -1, withscores=True)
    with redis.pipeline(transaction=False) as pipe:
        for _, number in listed:
            pipe.hgetall(f"{below}identity:{int(number)}")
        found = pipe.execute()
    records, rows = {}, {}
    for (name, number), fields in zip(listed, found, strict=True):
        samples = {}
        for field, value in fields.items():
            if field.isdigit() and len(field) < 20:
                fingerprint, _, embedding = value.split(b" ", 2)
                samples[int(field)] = fingerprint.decode()
                rows[int(field)] = np.frombuffer(embedding, "<f4")
        records[int(number), name.decode()] = samples
    numbers = {int(number) for _, number in listed}
    own = {key.decode() for key in redis.scan_iter(f"{below}identity:*", count=10_000)}
    kept = Kept(
        gallery,
        version=int(root[b"version"]),
        identities=int(root[b"identities"]),
        samples=int(root[b"samples"]),
        records=records,
        log=_log(redis.xrange(f"{below}log"), root[b"lineage"]),
        orphans=[key for key in own if int(key.rpartition(":")[2]) not in numbers],
    )
    ids = np.array(sorted(rows), np.int64)
    return Audit(kept, ids, np.array([rows[id_] for id_ in ids], np.float32))


def _log(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]], lineage: bytes) -> list[Entry]:
    log, before = [], lineage
    for key, fields in entries:
        version = key.partition(b"-")[0]
        sealed = [before, version]
        names = (b"operation", b"identity", b"samples", b"digest", b"at")
        sealed += [fields[name] for name in names]
        own = hashlib.sha1(b"|".join(sealed), usedforsecurity=False).hexdigest().encode()
        log.append(
            Entry(
                int(version),
                fields[b"operation"].decode(),
                int(fields[b"identity"]),
                tuple(map(int, fields[b"samples"].split())),
                intact=(fields[b"previous"], fields[b"hash"]) == (before, own),
            )
        )
        before = fields[b"hash"]
    return log


def ask_replica(client: httpx.Client, found: Audit, probes: Sequence[Sample], whose: str) -> View:
    """Ask a service for the nearest sample of each probe, and compare with plain numpy.

    The probes are samples that were sent: those that are there and those that must not be.
    """
    there: set[int] = set()
    different: list[str] = []
    version, kept = 0, found.kept
    owners = {id_: name for (_, name), samples in kept.records.items() for id_ in samples}
    for first in range(0, len(probes), PROBES):
        some = probes[first : first + PROBES]
        answer = client.post(
            "/identify",
            json={
                "gallery": kept.gallery,
                "files": [{"embedding": probe.values.tolist()} for probe in some],
                "k": 1,
                "top": 1,
            },
            headers={"X-Min-Version": str(kept.version)},
        )
        if answer.status_code != 200:
            return View(whose, kept.version, (), different=[f"answered {answer.text[:200]}"])
        said = answer.json()
        version = said["version"]
        for probe, result in zip(some, said["results"], strict=True):
            if not result["candidates"]:
                different += ["nobody is near, and somebody is enrolled"] * bool(len(found.ids))
                continue
            nearest = result["candidates"][0]
            id_, name = int(nearest["samples"][0]["id"]), nearest["identity"]
            if nearest["distance"] <= SAME:
                there.add(id_)
            distances = 1 - found.embeddings @ probe.values
            own = distances[found.ids == id_]
            if name != owners.get(id_) or not len(own):
                different.append(f"named {name} for sample {id_}, which is {owners.get(id_)}'s")
            elif own[0] - distances.min() > SAME or abs(own[0] - nearest["distance"]) > SAME:
                different.append(
                    f"sample {id_} at {nearest['distance']:g}, by numpy {own[0]:g}, "
                    f"and the nearest at {distances.min():g}"
                )
    sent = {probe.fingerprint for probe in probes}
    looked_for = {
        id_
        for samples in kept.records.values()
        for id_, fingerprint in samples.items()
        if fingerprint in sent
    }
    return View(whose, version, there, looked_for, different)


def read_snapshot(path: Path) -> View | None:
    """Return what a service has written of a gallery; None while there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    found = decoded(content)
    return View("the snapshot", found.position.version, set(found.frozen.keys.tolist()))
