"""Labelled files in a folder of folders, in a zip of one, in a table, or in idx files."""

import csv
import gzip
import io
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from models_store.preparation import Windows
from models_store.sample import Unusable
from training.recipe import Columns

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".pgm", ".ppm")
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
TEXTS = (".txt",)
TABLES = (".tsv", ".csv")

IDENTITIES = ("identity", "label", "speaker")
"""What the column of identities is called where nobody says so."""


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One file: `identity` is its folder's path, `group` the first part of that path.

    A table says both, and may say which `split` the file is of.

    `drawer` is what follows the last underscore of the file's name ("0709_01.png" → "01"): who
    made the sample. It is empty where the name has no underscore.
    """

    path: str
    identity: str
    group: str
    drawer: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Samples ready for an encoder, and whose they are; row i of every field is sample i.

    `labels` are positions in `identities`, `groups` positions in `group_names`. `broken` lists
    the files that could not be decoded and are left out.
    """

    inputs: tuple[Windows, ...]  # n
    labels: npt.NDArray[np.int64]  # (n,)
    groups: npt.NDArray[np.int64]  # (n,)
    drawers: npt.NDArray[np.str_]  # (n,)
    identities: tuple[str, ...]
    group_names: tuple[str, ...]
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.labels)

    def only(self, rows: npt.NDArray[np.bool_]) -> "LabelledSamples":
        """Return the chosen samples, labels renumbered so that each stands for someone."""
        kept, labels = np.unique(self.labels[rows], return_inverse=True)
        kept_groups, groups = np.unique(self.groups[rows], return_inverse=True)
        return LabelledSamples(
            tuple(compress(self.inputs, rows)),
            labels.astype(np.int64),
            groups.astype(np.int64),
            self.drawers[rows],
            tuple(self.identities[i] for i in kept),
            tuple(self.group_names[i] for i in kept_groups),
        )


Progress = Callable[[Sequence[LabelledFile]], Iterable[LabelledFile]]


@dataclass(frozen=True, slots=True)
class Collection:
    """Labelled files and how to read one; `chosen` keeps those of some groups or identities."""

    files: tuple[LabelledFile, ...]
    read: Callable[[str], bytes]

    def chosen(self, keep: Callable[[LabelledFile], bool]) -> "Collection":
        """Return the collection of the files for which `keep` is true."""
        return Collection(tuple(file for file in self.files if keep(file)), self.read)

    def first(self, samples: int) -> "Collection":
        """Return the collection of the first so many files of each identity."""
        seen = Counter[str]()
        kept = []
        for file in self.files:
            seen[file.identity] += 1
            if seen[file.identity] <= samples:
                kept.append(file)
        return Collection(tuple(kept), self.read)

    def samples(
        self, prepare: Callable[[bytes], Windows], progress: Progress = iter
    ) -> LabelledSamples:
        """Return all samples as the encoder gets them when served; broken ones are reported.

        `prepare` is `models_store.preparation` for the encoder.
        """
        inputs, kept, broken = [], [], []
        for file in progress(self.files):
            try:
                inputs.append(prepare(self.read(file.path)))
                kept.append(file)
            except Unusable as error:
                broken.append(f"{file.path}: {error}")
        identities = sorted({file.identity for file in kept})
        group_names = sorted({file.group for file in kept})
        return LabelledSamples(
            tuple(inputs),
            np.searchsorted(identities, [file.identity for file in kept]).astype(np.int64),
            np.searchsorted(group_names, [file.group for file in kept]).astype(np.int64),
            np.array([file.drawer for file in kept], np.str_),
            tuple(identities),
            tuple(group_names),
            tuple(broken),
        )


def open_collection(path: Path, endings: tuple[str, ...] = (*PICTURES, *SOUNDS)) -> Collection:
    """Return the pictures and sounds below a folder, or in a zip, in the order of their paths.

    Or rather the files of these `endings`.

    Of a `.tsv` or `.csv`, the files that it lists, as `read_table` has it.

    A single folder around everything ("images_background/") is no part of an identity. Of MNIST's
    kind of file, `…-images-idx3-ubyte` with or without `.gz`, an identity is the number in the
    `…-labels-idx1-ubyte` beside it. Raises FileNotFoundError where nothing lies at `path`.
    """
    if "-images-idx3-ubyte" in path.name:
        return _idx_collection(path)
    if path.suffix in TABLES:
        return read_table(path)
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        return Collection(_labelled(names, endings), lambda name: (path / name).read_bytes())
    archive = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    return Collection(_labelled(archive.namelist(), endings), archive.read)


def read_table(path: Path, columns: Columns = Columns(), group: str = "") -> Collection:  # noqa: B008 - frozen
    """Return the files that a table lists: tab-separated, or by commas where it ends in `.csv`.

    Its first line names the columns; paths are relative to its folder. Without a column for it
    every row is of `group`, and where there is a group the identity begins with it, so that
    tables can be read side by side. Rows whose split is none of `columns.splits` are left out.
    Raises ValueError, which names the line, where a column or a value is missing.
    """
    comma = path.suffix == ".csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(
            file,
            delimiter="," if comma else "\t",
            quoting=csv.QUOTE_MINIMAL if comma else csv.QUOTE_NONE,
        )
        present = rows.fieldnames or ()
        identity = columns.identity or next((c for c in IDENTITIES if c in present), IDENTITIES[0])
        files = []
        for row in rows:

            def value(column: str, row: dict[str, str] = row) -> str:
                if not row.get(column):
                    raise ValueError(f"{path}: line {rows.line_num}: no {column}")
                return row[column]

            split = row.get(columns.split) or ""
            if split and columns.splits and split not in columns.splits:
                continue
            of = value(columns.group) if columns.group else group
            files.append(
                LabelledFile(
                    path=value(columns.path),
                    identity="/".join(part for part in (of, value(identity)) if part),
                    group=of,
                    drawer=value(columns.drawer) if columns.drawer else "",
                    split=split,
                )
            )
    return Collection(tuple(files), lambda name: (path.parent / name).read_bytes())


def read_splits(table: Path | dict[str, str], root: Path = Path()) -> dict[str, str]:
    """Return group → split, from a tab-separated table whose first column names the group."""
    if isinstance(table, dict):
        return table
    with (root / table).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {next(iter(row.values())): row["split"] for row in rows}


def _idx_collection(path: Path) -> Collection:
    """Read the format of yann.lecun.com/exdb/mnist: big-endian counts, then bytes."""
    labels = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    magic, count, height, width = struct.unpack(">4I", (content := _unzipped(path))[:16])
    names, pixels = _unzipped(labels)[8:], memoryview(content)[16:]
    if magic != 2051 or len(names) != count or len(pixels) != count * height * width:
        raise ValueError(f"{path} and {labels} hold no images and labels in idx format")
    header, size = f"P5 {width} {height} 255\n".encode(), height * width
    files = [LabelledFile(str(i), str(label), str(label), "") for i, label in enumerate(names)]

    def read(name: str) -> bytes:  # as PGM, which is the same bytes behind a header
        return header + pixels[int(name) * size :][:size]

    return Collection(tuple(files), read)


def _unzipped(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _labelled(names: list[str], endings: tuple[str, ...]) -> tuple[LabelledFile, ...]:
    paths = sorted(PurePosixPath(name) for name in names if name.lower().endswith(endings))
    tops = {path.parts[0] for path in paths}
    wrapped = len(tops) == 1 and all(len(path.parts) > 2 for path in paths)
    files = []
    for path in paths:
        folder = path.parent.relative_to(next(iter(tops))) if wrapped else path.parent
        _, _, drawer = path.stem.rpartition("_")
        drawer = drawer if "_" in path.stem else ""
        files.append(LabelledFile(str(path), str(folder), folder.parts[0], drawer))
    return tuple(files)
