"""`python -m tests.fuzz.parsers --n N --seed S [--atheris]`: our own readers of strangers' bytes.

Each gets valid bytes, mutated N times; it must take them or raise its own refusal, and nothing
else. With `--atheris`, where that is installed, mutations are guided by what code they reach, and
go on until they are interrupted or have run N times. Prints one line of JSON.
"""

import argparse
import asyncio
import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import onnx
from starlette.requests import Request

from index import FaissGallery, Identifier, Reference
from models_store.audio import decode
from models_store.graph import check_graph
from models_store.manifest import BundleRefused, parse_manifest
from models_store.sample import SampleLimits, Unusable
from service.parameters import InvalidParameter
from service.replicas.contents import CorruptSnapshot
from service.replicas.snapshots import Snapshot, decoded, encoded
from service.requests.bodies import read_upload
from service.requests.strict_json import parse_json, read_sample
from service.requests.upload import MalformedBody, TooLarge, UnsupportedMedia, UploadLimits
from service.store.kept import Position
from tests.bundles import _sigmoid_head
from tests.drawings import as_json, draw
from tests.fuzz.mutations import mutated, swapped
from tests.services import ROOT
from tests.sounds import encoded as as_file
from tests.sounds import voice

LIMITS = UploadLimits(body=2**20, file=2**18, files=8, embeddings=8, numbers=1024)
REFUSED = (MalformedBody, TooLarge, UnsupportedMedia, InvalidParameter)


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads bytes, some that it takes, and what it may raise about others."""

    read: Callable[[bytes], object]
    good: bytes
    refusals: tuple[type[Exception], ...]


def _snapshot() -> bytes:
    """Return a snapshot of three samples, without its checksum."""
    rows = np.eye(4, dtype=np.float32)
    index = Identifier(lambda: FaissGallery(4, "cosine"), lambda d: 1 - d / 2, rows[3:])
    index.enroll([Reference(1, "ada"), Reference(2, "ada"), Reference(3, "bob")], rows[:3])
    position = Position("lineage", 3, "hash")
    return encoded(Snapshot("g", "0" * 64, position, np.array([1, 2]), None, index.freeze()))[:-32]


def _read_snapshot(content: bytes) -> object:
    """Read a snapshot whose checksum holds: the worst that its reader can meet."""
    return decoded(content + hashlib.sha256(content).digest())


def _read_multipart(content: bytes) -> object:
    head, _, body = content.partition(b"\n")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", head)]}
    return asyncio.run(read_upload(Request(scope, receive), LIMITS, ("files",)))


def _read_line(content: bytes) -> object:
    document = parse_json(content, 1024)
    return read_sample(document, "line")


def readers() -> Mapping[str, Reader]:
    """Return every reader of ours, by name."""
    boundary = b"multipart/form-data; boundary=xyz\n"
    part = b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    multipart = boundary + part + b"content\r\n" + part + b"more\r\n--xyz--\r\n"
    manifest = ROOT / "models_store" / "bundles" / "ink" / "1" / "manifest.json"
    told = json.loads(manifest.read_text()) | {"calibration": {"rule": "max"}, "metrics": []}
    head = _sigmoid_head(1.0, 2.0).SerializeToString()
    assert onnx.load_from_string(head)
    return {
        "snapshot": Reader(_read_snapshot, _snapshot(), (CorruptSnapshot,)),
        "multipart": Reader(_read_multipart, multipart, REFUSED),
        "json": Reader(_read_line, json.dumps(as_json(draw(1))).encode(), REFUSED),
        "graph": Reader(lambda content: check_graph("x", content), head, (BundleRefused,)),
        "manifest": Reader(parse_manifest, json.dumps(told).encode(), (BundleRefused,)),
        "audio": Reader(
            lambda content: decode(content, 8000, SampleLimits(seconds=5)),
            as_file(voice(1, seconds=0.1)),
            (Unusable,),
        ),
    }


def fuzz(n: int, seed: int) -> dict[str, object]:
    """Return how often each reader took what it got, and which mutants broke one."""
    accepted, bad = Counter[str](), []
    named = readers()
    for name, reader in named.items():
        reader.read(reader.good)
        accepted[name] = 0
    for number, (name, reader) in zip(range(n), cycle(named.items()), strict=False):
        rng = np.random.default_rng([seed, number])
        change = swapped if rng.random() < 0.3 else mutated
        try:
            reader.read(change(reader.good, rng))
        except reader.refusals:
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            bad.append({"mutant": number, "reader": name, "error": repr(error)[:200]})
            continue
        accepted[name] += 1
    return {"n": n, "seed": seed, "accepted": dict(accepted), "bad": bad}


def guided(n: int) -> None:
    """Let atheris choose the mutations; it ends this process, with its own report."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed here: pip install atheris")
    named = list(readers().values())

    def one(content: bytes) -> None:
        if content:
            reader = named[content[0] % len(named)]
            with suppress(*reader.refusals):
                reader.read(content[1:])

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-runs={n}", "-max_len=8192", "-rss_limit_mb=4096"], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz, and print what came of it; exit 1 if a reader broke."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    logging.disable()
    if options.atheris:
        guided(options.n)
    told = fuzz(options.n, options.seed)
    print(json.dumps(told))
    raise SystemExit(bool(told["bad"]))


if __name__ == "__main__":
    main()
