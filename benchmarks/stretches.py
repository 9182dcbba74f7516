"""For how long at a stretch one request has the event loop: `python -m benchmarks.stretches`.

That is what everybody else waits for. It is told in processor milliseconds, which other work on
the machine moves less than the delays that `benchmarks.neighbours` sees; what is worked out in
threads is not in it. The application runs in this process, and each request is the largest that
the default limits allow.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from fastapi import FastAPI

from benchmarks.clients import DRAWING
from benchmarks.neighbours import unit
from service.app import from_settings
from service.begun import Begun
from service.settings import Settings
from tests.services import ROOT

TICK = 0.002  # seconds between two looks
CHUNK = 2**16  # bytes that a body comes in
ENROLLED = 12

Request = tuple[str, str, bytes]
"""Path, media type and body."""


def largest(dimension: int) -> Mapping[str, Request]:
    """Return each request by what it is."""
    embeddings = as_json({"files": [{"embedding": row} for row in unit(4096, dimension)]})
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n%s\r\n'
    pictures = (part % DRAWING.read_bytes()) * 256 + b"--x--\r\n"
    files = ("multipart/form-data; boundary=x", pictures)
    words = as_json({"files": [{"embedding": ["1"] * 500_000}]})
    lists = as_json({"files": [{"embedding": [[]] * 125_000}]})
    short = as_json({"files": [{"embedding": [[]] * 60_000}]})
    return {
        "/embed, 4,096 embeddings": ("/embed", *embeddings),
        "/identify, 4,096 embeddings": ("/identify", *embeddings),
        "/cluster, 4,096 embeddings": ("/cluster", *embeddings),
        "/embed, 256 pictures": ("/embed", *files),
        "/identify, 256 pictures": ("/identify", *files),
        "/cluster, 256 pictures": ("/cluster", *files),
        "/embed, 500,000 words for numbers": ("/embed", *words),
        "/embed, 125,000 lists for numbers": ("/embed", *lists),
        "/embed, 60,000 lists, which are no long body": ("/embed", *short),
    }


def as_json(document: object) -> tuple[str, bytes]:
    """Return a body of JSON, with its media type."""
    return "application/json", json.dumps(document).encode()


async def answered(app: FastAPI, request: Request) -> int:
    """Return the status of the answer to a request."""
    path, media_type, body = request
    chunks = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = {"host": "localhost", "content-type": media_type, "content-length": str(len(body))}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    return statuses[0]


async def stretch(app: FastAPI, request: Request) -> tuple[float, int]:
    """Return the longest stretch while a request is served, in milliseconds, and its status."""
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(TICK)
            longest = max(longest, time.thread_time() - before)

    looking = asyncio.create_task(look())
    await asyncio.sleep(2 * TICK)
    status = await answered(app, request)
    await asyncio.sleep(2 * TICK)
    looking.cancel()
    return 1000 * longest, status


async def measure() -> None:
    """Print a line of JSON for each request: the better of two, as a collection may fall in."""
    bundles = ROOT / "models_store" / "bundles"
    with tempfile.TemporaryDirectory(prefix="kindred-stretches-") as folder:
        settings = Settings(data_dir=Path(folder) / "var", models_store=bundles)
        async with from_settings(settings, Begun(settings)) as app:
            galleries = app.state.parts.recogniser.galleries
            while galleries.reasons:  # noqa: ASYNC110 - there is nothing that tells
                await asyncio.sleep(0.1)
            gc.collect()
            gc.freeze()  # as the service does
            dimension = galleries.get("default").comparator.manifest.dimension
            for number, row in enumerate(np.asarray(unit(ENROLLED, dimension)).tolist()):
                sample = {"identity": f"id-{number}", "files": [{"embedding": row}]}
                assert await answered(app, ("/enroll", *as_json(sample))) == 201
            for name, request in largest(dimension).items():
                found = [await stretch(app, request) for _ in range(2)]
                (least, status) = min(found)
                told = {"request": name, "status": status, "stretch_ms": round(least, 1)}
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(measure())
