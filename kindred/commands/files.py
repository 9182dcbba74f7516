"""Which samples a command was given: paths, folders, what is piped in, or words."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from kindred.samples import Sample, Text

T = TypeVar("T")

WORDS = "text:"
AT_ONCE = 32  # samples of one request
MOST_BYTES = 8 * 2**20


def sample_of(word: str) -> Sample:
    """Return the sample that a word of the command line means."""
    if word.startswith(WORDS):
        return Text(word.removeprefix(WORDS))
    return sys.stdin.buffer.read() if word == "-" else Path(word).read_bytes()


def expand(words: Iterable[str]) -> list[str]:
    """Return the words with each folder replaced by the files in it, if there are any."""
    found: list[str] = []
    for word in words:
        path = Path(word)
        folder = not word.startswith(WORDS) and path.is_dir()
        inside = files_in(path) if folder else []
        found += [str(file) for file in inside] or [word]
    return found


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder and those in it, sorted; none that are hidden."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def portions(
    words: Sequence[str], unread: Callable[[str, OSError], None]
) -> Iterator[tuple[list[str], list[Sample]]]:
    """Yield words and their samples, as many at a time as fit a request.

    `unread` is told of each that cannot be read.
    """
    names: list[str] = []
    samples: list[Sample] = []
    size = 0
    for word in words:
        try:
            sample = sample_of(word)
        except OSError as error:
            unread(word, error)
            continue
        length = len(sample) if isinstance(sample, str | bytes) else 0
        if names and (len(names) == AT_ONCE or size + length > MOST_BYTES):
            yield names, samples
            names, samples, size = [], [], 0
        names.append(word)
        samples.append(sample)
        size += length
    if names:
        yield names, samples
