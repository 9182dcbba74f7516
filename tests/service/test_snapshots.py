"""A snapshot is what was written, or it is not served."""

import json
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from index import FaissGallery, Identifier, Reference
from service.replicas.contents import FORMAT, CorruptSnapshot, read_ahead
from service.replicas.snapshots import (
    Snapshot,
    Snapshots,
    decoded,
    encoded,
)
from service.store.kept import Position, StoredCohort

LINEAGE = "1f" * 16


def snapshot(identities: int = 12, *, cohort: bool = True, seed: int = 0) -> Snapshot:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(5 * identities + 30, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    identifier = Identifier(
        lambda: FaissGallery(8, "cosine"),
        lambda far: expit(3 - 6 * np.asarray(far, np.float64)),
        rows[:30],
        choosing=True,
    )
    references = [Reference(3 * i + 1, f"ïd-{i % identities}") for i in range(5 * identities)]
    if references:
        identifier.enroll(references, rows[30:])
    identifier.prepare()
    own = StoredCohort(rows[:30], np.arange(30) // 2, '{"a": 1}', 12.5) if cohort else None
    numbers = np.arange(identities, dtype=np.int64) + 7
    position = Position(LINEAGE, 60, "hash")
    return Snapshot("staff", "digest", position, numbers, own, identifier.freeze())


WHOLE = encoded(snapshot())


@pytest.mark.parametrize("identities", [0, 1, 12, 50])
@pytest.mark.parametrize("cohort", [True, False])
def test_what_is_read_is_what_was_written(identities: int, *, cohort: bool) -> None:
    written = snapshot(identities, cohort=cohort)

    read = decoded(encoded(written))

    assert encoded(read) == encoded(written)
    assert read.searched
    assert list(read.frozen.identities) == list(written.frozen.identities)
    assert read.frozen.embeddings.tobytes() == written.frozen.embeddings.tobytes()
    assert read.frozen.searches.keys() == written.frozen.searches.keys()
    assert (read.cohort is None) != cohort
    assert read.cohort is None or read.cohort.put == 12.5


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_no_mutation_is_served(data: st.DataObject) -> None:
    mutated = bytearray(WHOLE)
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "grow", "drop", "swap", "zero"])):
        case "flip":
            mutated[at] ^= data.draw(st.integers(1, 255))
        case "cut":
            del mutated[at:]
        case "grow":
            mutated[at:at] = data.draw(st.binary(min_size=1, max_size=64))
        case "drop":
            del mutated[at : at + data.draw(st.integers(1, 64))]
        case "swap":
            other = data.draw(st.integers(0, len(WHOLE) - 1))
            mutated[at], mutated[other] = mutated[other], mutated[at]
        case "zero":
            mutated[at : at + 4096] = bytes(len(mutated[at : at + 4096]))
    if mutated == WHOLE:
        return

    with pytest.raises(CorruptSnapshot):
        decoded(bytes(mutated))


def test_no_single_byte_of_ten_thousand_flipped_is_served() -> None:
    rng = np.random.default_rng(1)

    for at, bits in zip(
        rng.integers(len(WHOLE), size=10_000), rng.integers(1, 256, 10_000), strict=True
    ):
        mutated = bytearray(WHOLE)
        mutated[at] ^= bits
        with pytest.raises(CorruptSnapshot):
            decoded(bytes(mutated))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_file_of_some_other_writer_is_read_or_told_corrupt_and_nothing_else(
    data: st.DataObject,
) -> None:
    start = len(FORMAT) + 8
    length = int.from_bytes(WHOLE[len(FORMAT) : start], "little")
    header = json.loads(WHOLE[start : start + length])
    name = data.draw(st.sampled_from(sorted(header)))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=6,
    )
    if name == "arrays" and data.draw(st.booleans()):
        row = data.draw(st.integers(0, len(header[name]) - 1))
        header[name][row][data.draw(st.integers(0, 2))] = data.draw(anything)
    else:
        header[name] = data.draw(anything)
    text = json.dumps(header).encode()
    begun = FORMAT + len(text).to_bytes(8, "little") + text
    body = begun + bytes(-len(begun) % 64) + WHOLE[(start + length + 63) // 64 * 64 : -32]

    with suppress(CorruptSnapshot):
        decoded(body + sha256(body).digest())


def test_each_reading_is_told_and_only_a_fitting_one_given(tmp_path: Path) -> None:
    told: list[str] = []
    snapshots = Snapshots(tmp_path / "snapshots", told.append)
    snapshots.sweep()

    assert snapshots.read("staff", "digest", LINEAGE) is None
    snapshots.write(snapshot())
    assert snapshots.read("staff", "digest", LINEAGE) is not None  # whoever uses it tells so
    assert snapshots.read("staff", "other", LINEAGE) is None
    assert snapshots.read("staff", "digest", "2e" * 16) is None
    path = tmp_path / "snapshots" / "staff.snapshot"
    path.rename(path.with_name("guests.snapshot"))
    assert snapshots.read("guests", "digest", LINEAGE) is None
    path.with_name("guests.snapshot").write_bytes(b"")
    assert snapshots.read("guests", "digest", LINEAGE) is None

    assert told == ["absent", "foreign", "stale", "foreign", "corrupt"]


def test_a_snapshot_is_for_this_user_alone_and_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    snapshots.write(snapshot())
    (tmp_path / "snapshots" / "staff.1.partial").write_bytes(WHOLE[:100])

    snapshots.sweep()

    assert snapshots.galleries() == ["staff"]
    [file] = (tmp_path / "snapshots").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    snapshots.remove("staff")
    snapshots.remove("staff")
    assert snapshots.galleries() == []


def test_a_file_read_ahead_is_the_one_that_is_there_when_it_is_asked_for(tmp_path: Path) -> None:
    told: list[str] = []
    snapshots = Snapshots(tmp_path, told.append)
    for gallery in ("staff", "guests", "gone"):
        snapshots.write(replace(snapshot(), gallery=gallery))
    (tmp_path / "guests.snapshot").write_bytes(WHOLE[:-1])

    starting = Snapshots(tmp_path, told.append, ahead=read_ahead(tmp_path))
    starting.remove("gone")
    ahead = starting.read("staff", "digest", LINEAGE)

    assert ahead is not None
    assert encoded(ahead) == WHOLE
    assert starting.read("guests", "digest", LINEAGE) is None
    assert starting.read("gone", "digest", LINEAGE) is None
    assert told == ["corrupt", "absent"]
    again = Snapshots(tmp_path, told.append, ahead=read_ahead(tmp_path))
    again.write(snapshot(5))
    written = again.read("staff", "digest", LINEAGE)
    assert written is not None
    assert len(written.numbers) == 5


def test_what_a_file_holds_is_not_copied_to_be_searched(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.write(snapshot())
    read = snapshots.read("staff", "digest", LINEAGE)
    assert read is not None
    gallery = FaissGallery(8, "cosine")

    gallery.fill(read.frozen.keys, read.frozen.embeddings)

    assert np.shares_memory(gallery._embeddings, read.frozen.embeddings)
