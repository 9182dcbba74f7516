"""Files that end with the SHA-256 of all before it: read whole, and ahead of who asks for them."""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

FORMAT: Final = b"KINDRED SNAPSHOT 1\n"
ENDING: Final = ".snapshot"

Content = NDArray[np.uint8]
ReadAhead = dict[str, Future[Content]]
"""By gallery, what its file has before the checksum, or will have when it is read."""


class CorruptSnapshot(Exception):
    """The file is not what was written."""


def read_ahead(folder: Path) -> ReadAhead:
    """Begin to read all snapshots in a folder, in a thread of its own.

    For start-up, while other things are prepared.
    """
    paths = sorted(folder.glob(f"*{ENDING}"))
    if not paths:
        return {}
    thread = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
    ahead = {path.name.removesuffix(ENDING): thread.submit(content, path) for path in paths}
    thread.shutdown(wait=False)
    return ahead


def content(path: Path) -> Content:
    """Return what a file has before its checksum, for the caller alone; raise CorruptSnapshot.

    In few calls: whoever else runs keeps this thread waiting after each.
    """
    with path.open("rb", buffering=0) as file:
        found = np.empty(os.fstat(file.fileno()).st_size, np.uint8)
        view, start = memoryview(found), 0  # type: ignore[arg-type]  # before PEP 688 arrays are no Buffer
        while count := file.readinto(view[start:]):
            start += count
    return checked(found[:start])


def checked(found: Content) -> Content:
    """Return what lies before the checksum; raise CorruptSnapshot."""
    body, checksum = found[:-32], found[-32:]
    if len(found) < len(FORMAT) + 40 or found[: len(FORMAT)].tobytes() != FORMAT:
        raise CorruptSnapshot("the file is of another kind")
    if hashlib.sha256(body).digest() != checksum.tobytes():  # type: ignore[arg-type]  # the same
        raise CorruptSnapshot("the checksum is another")
    return body
