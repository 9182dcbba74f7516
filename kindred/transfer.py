"""Take a gallery out of a running service, or into one."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.progress import Progress

from kindred.demo import ServiceAway

PIECE = 2**20  # bytes
STALLED = 600.0  # seconds without a byte


class Incomplete(Exception):
    """The export ended before its last line."""


def export(gallery: str, target: Path, url: str, key: str = "") -> None:
    """Write all that is kept of a gallery to a file, which is there once it is whole.

    Raises ServiceAway or Incomplete.
    """
    partial = target.with_name(target.name + ".partial")
    last = b""
    try:
        with (
            _client(url, key) as client,
            client.stream("GET", f"/galleries/{gallery}/export") as answer,
            partial.open("wb") as file,
            Progress() as progress,
        ):
            _demand(answer)
            task = progress.add_task(f"export {gallery}", total=None)
            for piece in answer.iter_bytes(PIECE):
                file.write(piece)
                last = (last + piece)[-PIECE:]
                progress.advance(task, len(piece))
        if not last.rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(b'{"end":'):
            raise Incomplete(f"the export of {gallery} ended before its last line")
        partial.replace(target)
    except httpx.TransportError as error:
        raise ServiceAway(f"{url} does not answer: {type(error).__name__}") from error
    finally:
        partial.unlink(missing_ok=True)


def import_(source: Path, gallery: str, url: str, key: str = "") -> None:
    """Send an export to become a gallery; raise ServiceAway."""

    def pieces() -> Iterator[bytes]:
        with source.open("rb") as file, Progress() as progress:
            task = progress.add_task(f"import {gallery}", total=source.stat().st_size)
            while piece := file.read(PIECE):
                yield piece
                progress.advance(task, len(piece))

    headers = {"content-type": "application/x-ndjson"}
    try:
        with _client(url, key) as client:
            path = f"/galleries/{gallery}/import"
            _demand(client.post(path, content=pieces(), headers=headers))
    except httpx.TransportError as error:
        raise ServiceAway(f"{url} does not answer: {type(error).__name__}") from error


def _client(url: str, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=STALLED)


def _demand(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        said = json.loads(answer.read())["detail"]
    except (ValueError, KeyError):
        said = "no problem is told"
    raise ServiceAway(f"{answer.request.url} answers {answer.status_code}: {said}")
