"""Drawn glyphs: a tiny data set with two alphabets to train on and one to be judged on."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from training.__main__ import app

SIZE = 24
ALPHABETS = {"Dots": "train", "Lines": "train", "Arcs": "val"}
CHARACTERS, DRAWERS = 6, 5


def _glyph(alphabet, character, drawer):
    shape = np.random.default_rng((len(alphabet), character)).integers(3, SIZE - 3, (4, 2))
    wobble = np.random.default_rng((len(alphabet), character, drawer)).integers(-1, 2, (4, 2))
    image = Image.new("1", (SIZE, SIZE), 1)
    ImageDraw.Draw(image).line([tuple(map(int, p)) for p in shape + wobble], fill=0, width=2)
    return image


@pytest.fixture
def glyphs(tmp_path):
    """A folder as a recipe's `--data` has it: pictures/<alphabet>/<character>/<n>_<drawer>.png."""
    root = tmp_path / "glyphs"
    for alphabet in ALPHABETS:
        for character in range(CHARACTERS):
            folder = root / "pictures" / alphabet / f"character{character:02}"
            folder.mkdir(parents=True)
            for drawer in range(DRAWERS):
                _glyph(alphabet, character, drawer).save(folder / f"{character}_{drawer:02}.png")
    rows = "".join(f"{alphabet}\t{split}\n" for alphabet, split in ALPHABETS.items())
    (root / "splits.tsv").write_text(f"alphabet\tsplit\n{rows}")
    return root


RECIPE = """
name = "glyphs"
version = "1"
description = "Drawn by a test"
licence = "Apache-2.0"
seed = 7

[data]
name = "Glyphs"
licence = "CC0-1.0"
url = "https://example.org/glyphs"
root = "."
files = "pictures"
splits = "splits.tsv"
held_back = ["Arcs/character00"]

[input]
width = 16
height = 16
mode = "L"
mean = [1.0]

[network]
stem = 4
widths = [8, 8]
dimension = 8

[batches]
labels = 6
samples = 3
kin = 2

[augmentation]
rotation = 5

[[losses]]
kind = "supcon"
parameters = { temperature = 0.1 }

[optimisation]
epochs = 3
learning_rate = 1e-3
weight_decay = 0.01
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "glyphs.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def run():
    """Run `python -m training` in this process: arguments in, what it printed out."""

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    return run
