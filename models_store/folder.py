"""A bundle's files: read once, each from where it is open, and nothing but what is listed."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models_store.manifest import MANIFEST_NAME, BundleRefused, Manifest, parse_manifest

MOST_BYTES = 2**31
MOST_FILES = 64
MOST_MANIFEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """What lies in a bundle's folder, as it was once: later changes of the folder change nothing.

    `contents` has the bytes of each file that the manifest lists, each of the digest it gives.
    `digest` is that of the manifest itself. `warnings` tell who else may change the folder.
    """

    manifest: Manifest
    digest: str
    contents: Mapping[str, bytes]
    warnings: tuple[str, ...] = ()


def read_bundle(folder: Path, most: int = MOST_BYTES) -> BundleFiles:
    """Return the files in a bundle's folder, of at most so many bytes together.

    Only plain files of one name are opened: no link, pipe, device or folder. Raises BundleRefused.
    """
    with _open_folder(folder) as place:
        content = _read(place, MANIFEST_NAME, min(most, MOST_MANIFEST))
        manifest = parse_manifest(content)
        _check_names(place, manifest)
        left = most - len(content)
        contents = {}
        for name, expected in manifest.files.items():
            contents[name] = _read(place, name, left)
            left -= len(contents[name])
            if hashlib.sha256(contents[name]).hexdigest() != expected:
                raise BundleRefused(
                    f"{name} is not the file that the manifest gives the digest of"
                )
        warnings = tuple(_warnings(os.fstat(place)))
    return BundleFiles(manifest, hashlib.sha256(content).hexdigest(), contents, warnings)


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BundleRefused(f"the folder cannot be read: {error.strerror}") from error
    try:
        yield place
    finally:
        os.close(place)


def _check_names(place: int, manifest: Manifest) -> None:
    """Refuse a folder that holds anything that the manifest does not list."""
    listed = {MANIFEST_NAME, *manifest.files}
    if len(listed) > MOST_FILES:
        raise BundleRefused(f"expected at most {MOST_FILES} files")
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name not in listed:
                raise BundleRefused(f"a file that the manifest does not list: {shown(entry.name)}")


def _read(place: int, name: str, most: int) -> bytes:
    """Return the bytes of a plain file in a folder, if they are no more than so many."""
    try:
        # Looked at before it is opened, since opening a device may do something, and again after.
        _check_plain(name, os.stat(name, dir_fd=place, follow_symlinks=False))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened = os.open(name, flags, dir_fd=place)
        with os.fdopen(opened, "rb") as file:
            found = os.fstat(opened)
            _check_plain(name, found)
            if found.st_size > most:
                raise BundleRefused(f"{name}: the bundle has more bytes than it may have")
            content = file.read(found.st_size + 1)
    except OSError as error:
        raise BundleRefused(f"{name} cannot be read: {error.strerror}") from error
    if len(content) != found.st_size:
        raise BundleRefused(f"{name} changed while it was read")
    return content


def _check_plain(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BundleRefused(f"{name}: expected a regular file")
    if found.st_nlink != 1:
        raise BundleRefused(
            f"{name}: expected a file of one name, got one of {found.st_nlink} (hard links): "
            "put a copy in its place"
        )


def _warnings(found: os.stat_result) -> Iterator[str]:
    if found.st_mode & stat.S_IWOTH:
        yield "everybody on this machine may change what is in its folder"
    if found.st_uid not in (0, os.geteuid()):
        yield f"its folder belongs to another user ({found.st_uid})"


def shown(told: str, most: int = 500) -> str:
    """Return words that a bundle chose, fit to be shown: one line of plain characters."""
    kept = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in told)
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"
