"""`kindred enroll`: a folder of folders, taken up again where a run before was ended."""

import hashlib
import json
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kindred.answers import EnrolledLine, GalleryAnswer
from kindred.cli import ERROR, SAME, Misused
from kindred.commands.files import files_in
from kindred.commands.terminal import client_of, progress, say, say_json, warn
from kindred.many import Item
from kindred.reading import write

PATIENCE = 120.0  # seconds: a service that starts again is waited for


@dataclass(frozen=True, slots=True)
class Found:
    """A file to enroll, and whose it is."""

    path: Path
    identity: str
    mark: str  # tells it from every other file, and from what it was before

    @classmethod
    def at(cls, path: Path, identity: str) -> Self:
        """Return the file as it is now."""
        seen = path.stat()
        told = [str(path.resolve()), identity, seen.st_size, seen.st_mtime_ns]
        return cls(path, identity, json.dumps(told))


class Ledger:
    """Which files of a run are kept already: a line each, written once the service said so.

    It lies with what programs remember of their user, under a name made of the service, the
    gallery as it was created, and the folder; it is removed when a run comes to its end. What it
    lacks is sent again, which the service tells is a duplicate.
    """

    def __init__(self, url: str, gallery: GalleryAnswer, folder: Path) -> None:
        told = json.dumps([url, gallery.name, gallery.created.isoformat(), str(folder.resolve())])
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        name = hashlib.sha256(told.encode()).hexdigest()[:32] + ".enrolled"
        self._path = Path(state) / "kindred" / name
        self._lost = False

    def read(self) -> set[str]:
        """Return the marks of what is done."""
        try:
            return set(self._path.read_text("utf-8").splitlines())
        except OSError:
            return set()

    def add(self, mark: str) -> None:
        """Note that a file is kept."""
        if self._lost:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(mark + "\n")
        except OSError as error:
            self._lost = True
            warn(f"kindred: {self._path}: {error.strerror}: if this ends, all is sent once more")

    def remove(self) -> None:
        """Forget all of it."""
        with suppress(OSError):
            self._path.unlink()


def enroll(asked: Namespace) -> int:
    """Enroll the files of a folder; those that a run before has done are not sent again."""
    found = list(_found(asked.folder, asked.identity))
    if not found:
        raise Misused(
            f"{asked.folder}: expected a folder for each identity in it, or files and --identity"
        )
    with client_of(asked) as client:
        gallery = client.get_gallery(asked.gallery)
        ledger = Ledger(client.url, gallery, asked.folder)
    if asked.afresh:
        ledger.remove()
    done = ledger.read()
    left = [file for file in found if file.mark not in done]
    if done:
        warn(f"kindred: {len(found) - len(left)} of {len(found)} files are done already")
    counts = _send(asked, left, ledger)
    ledger.remove()
    if not asked.json:
        told = ", ".join(f"{counts[name]} {name}" for name in ("added", "duplicate", "failed"))
        say(f"{asked.gallery}: {told}")
    return ERROR if counts["failed"] else SAME


def _send(asked: Namespace, left: list[Found], ledger: Ledger) -> Counter[str]:
    """Enroll files, and return how many had which outcome."""
    counts: Counter[str] = Counter()
    sent: list[Found] = []

    def items() -> Iterator[Item]:
        for file in left:
            try:
                content = file.path.read_bytes()
            except OSError as error:
                warn(f"kindred: {file.path}: {error.strerror}")
                counts["failed"] += 1
            else:
                sent.append(file)
                yield file.identity, content

    with (
        client_of(asked, patience=PATIENCE) as client,
        progress("enroll", len(left), unit="files") as advance,
    ):
        for line in client.enroll_many(items(), gallery=asked.gallery):
            file = sent[line.index]
            counts[line.outcome] += 1
            if line.outcome != "failed":
                ledger.add(file.mark)
            _tell(file, line, json=asked.json)
            advance(1)
    return counts


def _found(folder: Path, identity: str | None) -> Iterator[Found]:
    """Yield the files of a folder: its folders are identities, unless all are one's."""
    if not folder.is_dir():
        raise Misused(f"{folder}: expected a folder")
    for path in files_in(folder):
        names = path.relative_to(folder).parts
        if identity is not None:
            yield Found.at(path, identity)
        elif len(names) > 1:
            yield Found.at(path, names[0])
        else:
            warn(f"kindred: {path} lies beside the identities' folders, and is left out")


def _tell(file: Found, line: EnrolledLine, *, json: bool) -> None:
    if json:
        kept = {name: value for name, value in write(line).items() if value not in (None, [])}
        kept.pop("index")
        say_json({"file": str(file.path)} | kept)
    if line.problem is not None:
        warn(f"kindred: {file.path}: {line.problem.slug}: {line.problem.detail}")
    for warning in line.warnings:
        warn(f"kindred: {file.path}: {warning.replace('sample 0', 'it', 1)}")  # sent by itself
