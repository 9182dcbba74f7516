"""Captioned pictures: a table of things that have texts and pictures, a line each."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models_store.preparation import Windows
from models_store.sample import Unusable
from training.recipe import Captions

KEYWORDS = "|"  # what separates keywords

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Captioned:
    """Things with what is said of them and how they are drawn; all fields but the last have n.

    `texts[i]` are in the order of the recipe's, the first in place of one that is empty,
    `keywords[i]` the words of which each could be said alone, and `pictures[i]` in the order of
    the recipe's. `broken` lists what was left out.
    """

    identities: tuple[str, ...]
    groups: npt.NDArray[np.str_]  # (n,)
    texts: tuple[tuple[str, ...], ...]
    keywords: tuple[tuple[str, ...], ...]
    pictures: tuple[tuple[Windows, ...], ...]
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of things."""
        return len(self.identities)

    def only(self, rows: npt.NDArray[np.bool_]) -> "Captioned":
        """Return the chosen things."""
        return Captioned(
            tuple(compress(self.identities, rows)),
            self.groups[rows],
            tuple(compress(self.texts, rows)),
            tuple(compress(self.keywords, rows)),
            tuple(compress(self.pictures, rows)),
        )

    def joined(self, other: "Captioned") -> "Captioned":
        """Return these things and then the others."""
        return Captioned(
            self.identities + other.identities,
            np.concatenate([self.groups, other.groups]),
            self.texts + other.texts,
            self.keywords + other.keywords,
            self.pictures + other.pictures,
        )


def read_captions(
    file: Path,
    asked: Captions,
    prepare: Callable[[bytes], Windows],
    split: str,
    progress: Callable[[Sequence[Row]], Iterable[Row]] = iter,
) -> Captioned:
    """Return the things in a tab-separated table whose column `split` says so.

    `prepare` is `models_store.preparation` for the encoder of pictures, which lie beside the
    table. Things with a picture that cannot be decoded are left out. Raises KeyError for a column
    that is not there, FileNotFoundError for a picture.
    """
    with file.open(newline="", encoding="utf-8") as table:
        rows = [
            row
            for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["split"] == split
        ]
    kept: list[Row] = []
    pictures: list[tuple[Windows, ...]] = []
    broken = []
    for row in progress(rows):
        paths = [path.format_map(row) for path in asked.pictures]
        try:
            pictures.append(tuple(prepare(_read(file.parent, path)) for path in paths))
            kept.append(row)
        except Unusable as error:
            broken.append(f"{row[asked.identity]}: {error}")
    return Captioned(
        tuple(row[asked.identity] for row in kept),
        np.array([row[asked.group] for row in kept], np.str_),
        tuple(
            tuple(_as_text(row[name] or row[asked.texts[0]]) for name in asked.texts)
            for row in kept
        ),
        tuple(_keywords(row, asked) for row in kept),
        tuple(pictures),
        tuple(broken),
    )


def _as_text(cell: str) -> str:
    return cell.replace(KEYWORDS, " ")


def _keywords(row: Row, asked: Captions) -> tuple[str, ...]:
    words = {word for name in asked.keywords for word in row[name].split(KEYWORDS) if word}
    return tuple(sorted(words))


def _read(folder: Path, path: str) -> bytes:
    archive, found, member = path.partition(".zip/")
    if not found:
        return (folder / path).read_bytes()
    try:
        return _open(folder / f"{archive}.zip").read(member)
    except KeyError as error:
        raise FileNotFoundError(f"{folder / archive}.zip holds no {member}") from error


@lru_cache(maxsize=4)
def _open(archive: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(archive.read_bytes()))
