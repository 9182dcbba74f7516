"""Captioned pictures are read from a table, a folder and a zip."""

import numpy as np
import pytest

from models_store.preparation import preparation
from models_store.sample import SampleLimits
from tests.training.emoji import write_shapes
from training.captions import read_captions
from training.recipe import read_recipe
from training.retrieval import read_things


@pytest.fixture
def shapes(tmp_path):
    return read_recipe(write_shapes(tmp_path)), tmp_path


def test_a_line_is_a_thing_with_texts_keywords_and_pictures(shapes):
    recipe, root = shapes

    things = read_things(recipe, root, "val")

    assert things.identities[:3] == ("0", "3", "6")
    assert things.texts[0] == ("red disc", "red disc small thing")
    assert things.keywords[0] == ("disc", "red", "small thing")
    assert [picture[0].shape for picture in things.pictures[0]] == [(3, 16, 16)] * 2
    assert len(np.unique(things.groups)) == 6


def test_an_empty_text_is_taken_for_the_first(shapes):
    recipe, root = shapes

    things = read_things(recipe, root, "train")

    assert things.identities[0] == "1"
    assert things.texts[0] == ("green disc", "green disc")
    assert things.keywords[0] == ()


def test_strangers_are_learnt_from_by_nobody_and_calibrated_on(shapes):
    recipe, root = shapes

    learnt, judged, calibrated = (
        set(read_things(recipe, root, split).identities)
        for split in ("train", "val", "calibration")
    )

    assert not learnt & calibrated
    assert judged < calibrated
    assert len(calibrated - judged) == 4
    assert len(learnt | calibrated) == 48


def test_a_picture_that_does_not_decode_leaves_its_thing_out(shapes):
    recipe, root = shapes
    (root / "lined" / "3.png").write_bytes(b"no picture")

    things = read_things(recipe, root, "val")

    assert "3" not in things.identities
    assert things.broken[0].startswith("3: expected an image")


def test_a_picture_that_is_not_there_is_told(shapes):
    recipe, root = shapes
    asked = recipe.captions.model_copy(update={"pictures": ("flat.zip/other/{id}.png",)})
    prepare = preparation(recipe.b.input, SampleLimits(), lambda _: b"")

    with pytest.raises(FileNotFoundError, match=r"flat\.zip holds no other/0\.png"):
        read_captions(root / "captions.tsv", asked, prepare, "val")
