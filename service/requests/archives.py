"""A zip archive of files, unpacked in memory and within limits."""

import io
import stat
import struct
import zipfile
import zlib
from pathlib import PurePosixPath

from service.parameters import InvalidParameter
from service.requests.upload import MalformedBody, TooLarge

LARGEST_RATIO = 200
"""Bytes that one byte of an archive may become: blank bitmaps stay below, bombs do not."""

_END = b"PK\x05\x06"  # of the central directory: the archive's last record
_END_LENGTH = 22
_LONGEST_COMMENT = 2**16
_ENTRY = 512  # bytes of one entry in the central directory, a long name included
_BESIDE_THE_FILES = ("__MACOSX", "Thumbs.db", "desktop.ini")


def unpack(content: bytes, *, entries: int, largest: int, unpacked: int) -> dict[str, bytes]:
    """Return the files of a zip archive by their path in it, in its order; folders are left out.

    At most `entries` files of at most `largest` bytes, and `unpacked` bytes of them all. What a
    desktop adds by itself (names that begin with a dot, `__MACOSX`) is left out too. Raises
    MalformedBody, InvalidParameter or TooLarge, and no entry is unpacked before all of them are
    known to keep the limits.
    """
    _bound_directory(content, entries)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [each for each in archive.infolist() if not each.is_dir()]
            if len(files) > entries:
                raise TooLarge(f"archive: expected at most {entries} files")
            for entry in files:
                _check(entry)
                if entry.file_size > largest:
                    raise TooLarge(f"archive: expected files of at most {largest} bytes")
            total = sum(entry.file_size for entry in files)
            if total > unpacked:
                raise TooLarge(f"archive: expected at most {unpacked} bytes once unpacked")
            if total > LARGEST_RATIO * max(len(content), 2**16):
                raise TooLarge(f"archive: expected to unpack to at most {LARGEST_RATIO} times it")
            return {
                entry.filename.replace("\\", "/"): _read(archive, entry)
                for entry in files
                if not _is_the_desktops(entry)
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise MalformedBody("archive: expected a zip archive that is whole") from error


def _bound_directory(content: bytes, entries: int) -> None:
    """Refuse a list of entries that is too long to be read, from the record that tells of it."""
    at = len(content) - _END_LENGTH
    if content[at : at + 4] != _END or content[-2:] != b"\0\0":
        at = content.rfind(_END, max(0, at - _LONGEST_COMMENT))
    if at < 0 or len(content) < at + _END_LENGTH:
        raise MalformedBody("archive: expected a zip archive that is whole")
    _, count, size, start = struct.unpack("<HHII", content[at + 8 : at + 20])
    if max(count, size, start) >= 2**16 - 1 and (count == 2**16 - 1 or 2**32 - 1 in (size, start)):
        raise TooLarge("archive: expected a zip archive without zip64 records")
    if size > _ENTRY * max(entries, 1) + _LONGEST_COMMENT:
        raise TooLarge(f"archive: expected at most {entries} files")


def _check(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InvalidParameter("archive", "expected names inside the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidParameter("archive", "expected files, got a link")
    if entry.flag_bits & 0x1:
        raise InvalidParameter("archive", "expected entries that are not encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidParameter("archive", "expected entries that are stored or deflated")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)  # never more than was declared and bounded
    if len(content) != entry.file_size:
        raise MalformedBody("archive: an entry is not as long as it says")
    if content.startswith((b"PK\x03\x04", _END)):
        raise InvalidParameter("archive", "expected no archive within the archive")
    return content


def _is_the_desktops(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    return any(part.startswith(".") or part in _BESIDE_THE_FILES for part in parts)
