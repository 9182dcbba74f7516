"""`python -m evaluation` as a child: bounded in number, memory and life, with a private folder."""

import asyncio
import contextlib
import errno
import fcntl
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog

from service.children.starting import end, out_of_memory, start_confined
from service.requests.upload import TooLarge

CANNOT_BE_EVALUATED = 2  # exit status
PREFIX = "kindred-evaluation-"
_LOCK = "in-use"
_TAIL = 16 * 1024  # bytes of what the child said last
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

log = structlog.get_logger("kindred.evaluation")


class EvaluationsBusy(Exception):
    """There is no room for another evaluation; trying again later may help."""


class NotEvaluable(Exception):
    """The samples do not make an evaluation; the message says what was expected."""


class EvaluationFailed(Exception):
    """The evaluation ended without a report: a defect."""


class EvaluationRuns:
    """Runs evaluations in processes of their own.

    `at_once` of them run, `waiting` more requests wait for their turn, all others are refused.
    Each has at most `memory` bytes of address space.
    """

    def __init__(self, *, at_once: int, waiting: int, memory: int) -> None:
        self._most = at_once + waiting
        self._memory = memory
        self._admitted = 0
        self._turns = asyncio.Semaphore(at_once)
        remove_forsaken()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Take a place for as long as the context lasts, or raise EvaluationsBusy."""
        if self._admitted >= self._most:
            raise EvaluationsBusy(f"expected at most {self._most} evaluations at a time")
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Path]:
        """Wait for a turn, and yield a private folder that is gone afterwards.

        It is held by a lock for as long as this process lives, so that another knows which
        folders nobody uses any more. Raises EvaluationsBusy where files cannot be written.
        """
        async with self._turns:
            with _room():
                folder = Path(tempfile.mkdtemp(prefix=PREFIX))
                try:
                    with (folder / _LOCK).open("wb") as lock:
                        fcntl.flock(lock, fcntl.LOCK_EX)
                        yield folder
                finally:
                    await asyncio.shield(
                        asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                    )

    async def run(self, folder: Path) -> None:
        """Evaluate what the folder holds; cancelled, it leaves no process behind.

        Raises NotEvaluable, TooLarge or EvaluationFailed.
        """
        said = folder / "stderr"
        with said.open("wb") as stderr:
            child = await start_confined(
                self._memory,
                *("evaluation", str(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                HOME=str(folder),
                TMPDIR=str(folder),
                MPLCONFIGDIR=str(folder),
            )
        try:
            status = await child.wait()
        finally:
            await end(child)
        if status:
            raise self._reason(status, _tail(said))

    def _reason(self, status: int, said: str) -> Exception:
        last = said.rpartition("\n")[2]
        if status == CANNOT_BE_EVALUATED:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return NotEvaluable(str(json.loads(last)["detail"]))
        if out_of_memory(status, said):
            return TooLarge(f"expected samples that {self._memory} bytes suffice to evaluate")
        log.error("evaluation failed", status=status, error=last.partition(":")[0][:80])
        return EvaluationFailed(f"the evaluation ended with status {status}")


def remove_forsaken() -> None:
    """Remove the folders of evaluations whose service was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its service lives
            shutil.rmtree(folder)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise EvaluationsBusy("expected room for the files of an evaluation") from error


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().decode("utf-8", "replace").strip()
