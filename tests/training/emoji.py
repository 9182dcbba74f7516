"""Two encoders' tiny data: coloured shapes in two styles, what they are called, word vectors."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from training.word_vectors import WordVectors

COLOURS = ("red", "green", "blue", "black", "orange", "purple", "brown", "pink")
SHAPES = ("disc", "square", "cross", "stripe", "corner", "frame")
HELD_OUT = 3  # one of so many is of validation

RECIPE = """
name = "shapes"
version = "1"
description = "Coloured shapes and what they are called"
licence = "Apache-2.0"
seed = 3

[data]
name = "Shapes"
licence = "CC0-1.0"
url = "https://example.org/shapes"
root = "."
files = "captions.tsv"

[captions]
identity = "id"
group = "shape"
texts = ["caption", "tags"]
keywords = ["tags"]
pictures = ["flat.zip/flat/{id}.png", "lined/{id}.png"]
strangers = 4

[wording]
keywords = 0.3
more = 0.2
dropped = 0.2

[input]
kind = "text"
max_tokens = 16

[network]
kind = "words"
vectors = "VECTORS"
hidden = 16
dimension = 16

[b.input]
width = 16
height = 16
mode = "RGB"
mean = [1.0]

[b.network]
stem = 8
widths = [8, 16]
dimension = 16

[batches]
labels = 16
samples = 1
quarter_turns = false

[augmentation]
rotation = 5
translation = 0.05

[[losses]]
kind = "info-nce"

[optimisation]
epochs = 24
learning_rate = 5e-3
proxy_learning_rate = 1e-2
average_decay = 0.5
validate_every = 12
"""


def write_shapes(root: Path) -> Path:
    """Write a table of 48 shapes with their pictures, a recipe beside it, and return that."""
    (root / "lined").mkdir(parents=True)
    lines = ["id\tcaption\ttags\tshape\tsplit"]
    with zipfile.ZipFile(root / "flat.zip", "w") as archive:
        for i, (colour, shape) in enumerate((c, s) for s in SHAPES for c in COLOURS):
            archive.writestr(f"flat/{i}.png", draw(colour, shape, lined=False))
            (root / "lined" / f"{i}.png").write_bytes(draw(colour, shape, lined=True))
            split = "train" if i % HELD_OUT else "val"
            tags = "" if i == 1 else f"{colour}|{shape}|small thing"
            lines.append(f"{i}\t{colour} {shape}\t{tags}\t{shape}\t{split}")
    (root / "captions.tsv").write_text("\n".join(lines) + "\n")
    word_vectors().save(root / "vectors")
    recipe = root / "shapes.toml"
    recipe.write_text(RECIPE.replace("VECTORS", str(root / "vectors")))
    return recipe


def word_vectors(width: int = 16) -> WordVectors:
    """Return a random vector for each word that shapes are called by."""
    words = ("[PAD]", "[UNK]", *COLOURS, *SHAPES, "small", "thing")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).integers(-127, 128, (len(words), width)).astype(np.int8)
    return WordVectors(tokenizer.to_str().encode(), vectors, np.full(len(words), 0.01, np.float32))


def draw(colour: str, shape: str, *, lined: bool) -> bytes:
    """Return a PNG of a shape, filled or as lines, on a transparent ground."""
    image = Image.new("RGBA", (24, 24))
    pen = ImageDraw.Draw(image)
    fill, line = (None, colour) if lined else (colour, colour)
    box = (4, 4, 20, 20)
    match shape:
        case "disc":
            pen.ellipse(box, fill, line, 2)
        case "square":
            pen.rectangle(box, fill, line, 2)
        case "cross":
            pen.line((12, 3, 12, 21), colour, 3 + 2 * (not lined))
            pen.line((3, 12, 21, 12), colour, 3 + 2 * (not lined))
        case "stripe":
            pen.rectangle((3, 10, 21, 14), fill, line, 1)
        case "corner":
            pen.polygon([(4, 4), (4, 20), (20, 20)], fill, line)
        case _:
            pen.rectangle(box, None, line, 3 + 2 * (not lined))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
