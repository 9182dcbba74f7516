"""Files that hold much: a gallery's export as it comes, and a zip of a folder."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from kindred.problems import KindredError

IN_MEMORY = 16 * 2**20  # bytes of a zip that are not yet worth a file
TAIL = 2**20  # bytes in which the last line lies


class Incomplete(KindredError):
    """An export ended before its last line, and is not kept."""


class Export:
    """An export that is written piece by piece, and lies at its place once it is whole."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._partial = target.with_name(target.name + ".partial")
        self._last = b""

    def __enter__(self) -> Self:
        self._file = self._partial.open("wb")
        return self

    def take(self, piece: bytes) -> None:
        """Write a piece."""
        self._file.write(piece)
        self._last = (self._last + piece)[-TAIL:]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        try:
            if kind is None:
                lines = self._last.rstrip(b"\n").rpartition(b"\n")
                if not self._last.endswith(b"\n") or not lines[2].startswith(b'{"end":'):
                    raise Incomplete(f"the export ended before its last line: no {self._target}")
                self._partial.replace(self._target)
        finally:
            self._partial.unlink(missing_ok=True)


@contextmanager
def zipped(source: Path) -> Iterator[BinaryIO]:
    """Yield a zip of the files under a folder, or the zip that the path already is.

    Raises FileNotFoundError if there is no file.
    """
    if source.is_file():
        with source.open("rb") as file:
            yield file
        return
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    if not files:
        raise FileNotFoundError(
            f"{source}: expected a folder of folders of samples, or a zip of one"
        )
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        with zipfile.ZipFile(spool, "w", strict_timestamps=False) as archive:
            for path in files:
                archive.write(path, path.relative_to(source).as_posix())
        spool.seek(0)
        yield cast(BinaryIO, spool)
