import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.parameters import InvalidParameter
from service.requests.archives import unpack
from service.requests.upload import MalformedBody, TooLarge

LIMITS = {"entries": 20, "largest": 5_000_000, "unpacked": 10_000_000}


def packed(files, method=zipfile.ZIP_DEFLATED, **attributes):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(entry, attribute, value)
            archive.writestr(entry, content, method)
    return buffer.getvalue()


def refused(content, error, match=None, **limits):
    with pytest.raises(error, match=match):
        unpack(content, **(LIMITS | limits))


def test_files_come_out_as_they_went_in_and_folders_do_not():
    content = packed([("ada/", b""), ("ada/1.png", b"one"), ("bob/2.png", b"two")])

    assert unpack(content, **LIMITS) == {"ada/1.png": b"one", "bob/2.png": b"two"}


def test_what_desktops_add_is_left_out():
    files = [(".DS_Store", b"x"), ("__MACOSX/ada/._1.png", b"x"), ("ada/Thumbs.db", b"x")]

    assert list(unpack(packed([*files, ("ada/1.png", b"one")]), **LIMITS)) == ["ada/1.png"]


def test_names_that_windows_packed_have_folders_too():
    assert list(unpack(packed([("ada\\1.png", b"one")]), **LIMITS)) == ["ada/1.png"]


@pytest.mark.parametrize(
    "name", ["../1.png", "ada/../../1.png", "/etc/1.png", "C:/1.png", "..\\1.png"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(name):
    refused(packed([(name, b"x")]), InvalidParameter, "inside")


def test_a_link_is_refused():
    refused(packed([("ada/1", b"/etc/passwd")], external_attr=0o120777 << 16), InvalidParameter)


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = packed([(f"a/{i}", bytes(4_900_000)) for i in range(3)])

    refused(bomb, TooLarge, "bytes once unpacked")
    refused(bomb, TooLarge, "files of at most", largest=4_000_000)
    refused(bomb, TooLarge, "200 times", unpacked=10**9)


def test_a_small_archive_of_blank_bitmaps_is_no_bomb():
    assert len(unpack(packed([(f"a/{i}.bmp", bytes(50_000)) for i in range(9)]), **LIMITS)) == 9


def test_too_many_files_are_refused():
    refused(packed([(f"a/{i}", b"") for i in range(21)]), TooLarge, "at most 20")


def test_a_list_of_files_that_is_too_long_is_refused_unread():
    refused(packed([(f"a/{i}", b"") for i in range(1500)]), TooLarge, "at most 20")


def test_sizes_that_only_zip64_can_tell_are_refused():
    content = bytearray(packed([("a/1", b"x")]))
    end = content.rfind(b"PK\x05\x06")
    content[end + 8 : end + 12] = b"\xff" * 4

    refused(bytes(content), TooLarge, "zip64")


def test_an_archive_within_is_refused():
    refused(packed([("a/1.png", packed([("b", b"x")]))]), InvalidParameter, "within")


def test_an_encrypted_entry_is_refused():
    content = bytearray(packed([("a/1", b"secret")]))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + offset] |= 1

    refused(bytes(content), InvalidParameter, "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_whose_memory_cannot_be_bounded_is_refused(method):
    refused(packed([("a/1", b"x" * 1000)], method), InvalidParameter, "deflated")


def test_an_entry_that_understates_its_size_is_refused():
    content = bytearray(packed([("a/1", bytes(100_000))]))
    at = content.find(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)

    refused(bytes(content), MalformedBody)


@given(st.binary(max_size=300), st.integers(0, 400), st.binary(max_size=8))
def test_no_bytes_lead_to_anything_but_files_or_a_refusal(noise, place, change):
    whole = packed([("ada/1.png", b"one" * 30), ("bob/2.png", b"two")])
    spoilt = whole[:place] + change + whole[place + len(change) :]

    for content in (noise, spoilt, whole[:place]):
        try:
            files = unpack(content, **LIMITS)
        except (MalformedBody, InvalidParameter, TooLarge):
            continue
        assert all(isinstance(file, bytes) for file in files.values())
