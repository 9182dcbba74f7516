"""What a command shows: answers on stdout, progress on stderr, colours where they are liked."""

import json
import os
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kindred.cli import Misused
from kindred.client import Client
from kindred.reading import write

EVERY = 10.0  # seconds between two lines of progress
REDRAWN = 0.1  # seconds between two states of the bar
BAR = 30  # columns
COLUMNS = 80  # of a terminal that does not tell
COLOURS = {"red": 31, "green": 32, "yellow": 33}
QUICK = 2.0  # seconds of patience of a command that somebody waits for


def client_of(asked: Namespace, *, patience: float = QUICK) -> Client:
    """Return a client of the service that was asked for."""
    try:
        return Client(asked.url, asked.api_key, patience=patience)
    except ValueError as error:
        raise Misused(str(error)) from error


def say(text: str = "") -> None:
    """Print a line; raise BrokenPipeError at once if nobody reads it.

    Raises Misused if there is nowhere to print it.
    """
    _Bar.wipe()
    if sys.stdout is None:
        raise Misused("expected an open standard output")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(document: Any) -> None:
    """Print an answer, or what it was made into, as one line of JSON in UTF-8.

    What UTF-8 has not, such as bytes in the name of a file, is escaped.
    """
    in_utf8 = sys.stdout is not None and sys.stdout.encoding.lower() in ("utf-8", "utf8")
    say(json.dumps(write(document), ensure_ascii=not in_utf8))


def warn(text: str) -> None:
    """Print a line beside what was asked for."""
    _Bar.wipe()
    sys.stderr.write(text + "\n")


def coloured(text: str, colour: str) -> str:
    """Return text in a colour, where stdout is a terminal and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or sys.stdout is None or not sys.stdout.isatty():
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def say_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings; numbers stand right."""
    texts = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(headings))]
    for text in texts:
        cells = (
            cell.rjust(width) if number and rows else cell.ljust(width)
            for cell, width, number in zip(text, widths, right, strict=True)
        )
        say("  ".join(cells).rstrip())


def say_fields(document: Any) -> None:
    """Print the fields of an answer, one a line; what is a list or object in JSON.

    A list of objects takes a line for each.
    """
    fields = write(document)
    width = max(map(len, fields))
    for name, value in fields.items():
        many = isinstance(value, list) and any(isinstance(each, dict) for each in value)
        for row, each in enumerate(value if many else [value]):
            shown = each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
            say(f"{'' if row else name:{width}}  {shown}")


@contextmanager
def progress(
    what: str, total: int | None = None, *, unit: str = "", every: float = EVERY
) -> Iterator[Callable[[int], None]]:
    """Yield what to tell of each step done: a bar on a terminal, else a line now and then.

    `total` is None where the end is not known. It goes to stderr, and tells the time even while
    nothing is done.
    """
    shown = _Bar if sys.stderr.isatty() else _Lines
    state = shown(what, total, unit)
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(REDRAWN if shown is _Bar else every):
            state.tell()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield state.add
    finally:
        ended.set()
        teller.join()
        state.end()


class _Lines:
    """Progress as lines."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self._what = what
        self._total = total
        self._unit = f" {unit}" if unit else ""
        self._done = 0
        self._begun = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count

    def tell(self) -> None:
        sys.stderr.write(f"{self._state()}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave nothing open."""

    def _state(self) -> str:
        seconds = time.monotonic() - self._begun
        of = "" if self._total is None else f" of {self._total}"
        counted = f" {self._done}{of}{self._unit}," if self._done or of else ""
        return f"{self._what}:{counted} {seconds:.0f} s"


class _Bar(_Lines):
    """Progress as a bar that is drawn anew in its line, which other lines take from it.

    It is drawn over by spaces, and never wider than the terminal: any terminal can do that.
    """

    drawn = 0  # characters

    @classmethod
    def wipe(cls) -> None:
        if cls.drawn:
            sys.stderr.write("\r" + " " * cls.drawn + "\r")
            sys.stderr.flush()
            cls.drawn = 0

    def tell(self) -> None:
        share = min(self._done / self._total, 1) if self._total else 0
        filled = "█" * round(BAR * share)
        bar = f"[{filled.ljust(BAR)}] " if self._total else ""
        line = f"{bar}{self._state()}"[: _columns() - 1]
        sys.stderr.write("\r" + line.ljust(_Bar.drawn))
        sys.stderr.flush()
        _Bar.drawn = max(_Bar.drawn, len(line))

    def end(self) -> None:
        self.wipe()


def _columns() -> int:
    """Return how wide the terminal is; some do not tell."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS
