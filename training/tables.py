"""Tables of files that are read side by side."""

from collections.abc import Sequence
from pathlib import Path

from training.datasets import Collection, LabelledFile, read_table
from training.recipe import Source


def read_tables(source: Source, root: Path) -> Collection:
    """Return the files of all tables of a source, each a group called as its folder is."""
    tables = [
        (table, read_table(root / table.file, table, table.file.parent.name))
        for table in source.tables
    ]
    return joined([(table.file.parent, collection) for table, collection in tables], root)


def joined(collections: Sequence[tuple[Path, Collection]], root: Path) -> Collection:
    """Return one collection of several, whose folders below `root` come before their paths."""
    files = [
        LabelledFile(
            (folder / file.path).as_posix(), file.identity, file.group, file.drawer, file.split
        )
        for folder, collection in collections
        for file in collection.files
    ]
    return Collection(tuple(files), lambda name: (root / name).read_bytes())
