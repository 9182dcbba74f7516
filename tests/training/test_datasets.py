import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models_store.image import prepare_image
from models_store.manifest import ImageInput
from models_store.preparation import preparation
from models_store.sample import SampleLimits
from tests.training.omniglot import omniglot
from training.datasets import open_collection, read_splits

SPEC = ImageInput(width=16, height=16, mode="L", mean=(1.0,))
PREPARE = preparation(SPEC, SampleLimits(), Path.read_bytes)


def test_an_identity_is_its_folder_and_a_drawer_the_end_of_the_name(glyphs):
    collection = open_collection(glyphs / "pictures")

    first = collection.files[0]
    assert (first.identity, first.group, first.drawer) == ("Arcs/character00", "Arcs", "00")
    assert len(collection.files) == 3 * 6 * 5


def test_a_zip_with_one_folder_around_everything_reads_as_the_folder_does(glyphs, tmp_path):
    folder = open_collection(glyphs / "pictures")
    with zipfile.ZipFile(tmp_path / "glyphs.zip", "w") as archive:
        for file in folder.files:
            archive.writestr(f"pictures/{file.path}", folder.read(file.path))

    zipped = open_collection(tmp_path / "glyphs.zip")

    assert [f.identity for f in zipped.files] == [f.identity for f in folder.files]
    assert np.array_equal(zipped.samples(PREPARE).inputs, folder.samples(PREPARE).inputs)


def test_a_broken_picture_is_reported_and_the_others_are_read(glyphs):
    broken = glyphs / "pictures" / "Arcs" / "character01" / "1_00.png"
    broken.write_bytes(b"not a picture")

    images = open_collection(glyphs / "pictures").samples(PREPARE)

    assert len(images) == 3 * 6 * 5 - 1
    assert [line.split(":")[0] for line in images.broken] == ["Arcs/character01/1_00.png"]


def test_an_image_is_read_as_it_is_when_served(glyphs):
    collection = open_collection(glyphs / "pictures")

    images = collection.samples(PREPARE)

    served = prepare_image(collection.read(collection.files[7].path), SPEC, SampleLimits())
    assert np.array_equal(images.inputs[7][0], served)


def test_labels_never_cross_the_split(glyphs):
    splits = read_splits(glyphs / "splits.tsv")
    collection = open_collection(glyphs / "pictures")

    train, val = (
        collection.chosen(lambda file, split=split: splits[file.group] == split).samples(PREPARE)
        for split in ("train", "val")
    )

    assert set(train.identities).isdisjoint(val.identities)
    assert (len(train.identities), len(val.identities)) == (12, 6)


def test_omniglot_has_768_characters_to_train_on_and_196_to_be_judged_on():
    root = omniglot()
    splits = read_splits(root / "alphabets.tsv")

    collection = open_collection(root / "images_background.zip")

    identities = {
        split: {file.identity for file in collection.files if splits[file.group] == split}
        for split in ("train", "val")
    }
    assert {split: len(found) for split, found in identities.items()} == {"train": 768, "val": 196}
    assert len(collection.files) == 20 * (768 + 196)
    assert {file.drawer for file in collection.files} == {f"{n:02}" for n in range(1, 21)}


def test_nothing_at_the_path_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_collection(tmp_path / "nothing.zip")


def test_idx_files_read_as_their_pictures_and_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    header = struct.pack(">4I", 2051, 5, 16, 16)
    (tmp_path / "some-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels.tobytes()))
    labels = struct.pack(">2I", 2049, 5) + bytes([3, 1, 3, 0, 1])
    (tmp_path / "some-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))

    found = open_collection(tmp_path / "some-images-idx3-ubyte.gz").samples(PREPARE)

    assert [found.identities[label] for label in found.labels] == ["3", "1", "3", "0", "1"]
    assert np.allclose(np.concatenate(found.inputs)[:, 0], pixels / 255 - 1)


def test_idx_files_of_other_sizes_than_they_say_are_refused(tmp_path):
    (tmp_path / "a-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, 2, 4, 4) + bytes(16))
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 2) + bytes(2))

    with pytest.raises(ValueError, match="idx format"):
        open_collection(tmp_path / "a-images-idx3-ubyte")


def test_splits_may_stand_in_the_recipe_itself():
    assert read_splits({"7": "val"}) == {"7": "val"}


def test_the_first_samples_of_each_identity_are_kept(glyphs):
    few = open_collection(glyphs / "pictures").first(2)

    assert len(few.files) == 3 * 6 * 2
    assert {file.drawer for file in few.files} == {"00", "01"}
