"""A tiny real bundle of two encoders: names of drawn signs on side a, the drawings on side b."""

import io
from pathlib import Path

import numpy as np
import onnx
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from models_store.bundle import pack_inputs
from models_store.manifest import ImageInput, TextInput
from models_store.preparation import preparation
from models_store.sample import SampleLimits
from tests.bundles import _embed as project
from tests.bundles import _projection, _sigmoid_head, write_manifest
from tests.drawings import draw
from tests.text_bundles import _bag

SIGNS = 300
STRANGERS = range(200, SIGNS)  # in the cohort


def name_of(sign: int) -> str:
    """Return the one word for the scribble that `tests.drawings.draw` makes of a number."""
    return f"sign{sign}"


def make_two_sided_bundle(
    root: Path, name: str = "signs", version: str = "1", *, dimension: int = 32
) -> Path:
    """Write a bundle in which a sign's name and its first drawing have one embedding."""
    rng = np.random.default_rng(0)
    folder = root / name / version
    folder.mkdir(parents=True)
    image, text = ImageInput(width=12, height=12, mode="L"), TextInput(max_tokens=8)
    matrix = rng.normal(size=(144, dimension)).astype(np.float32)
    matrix -= matrix.mean(axis=0)

    def drawn(take: int) -> np.ndarray:
        return np.stack([_pixels(draw(sign, take)) for sign in range(SIGNS)])

    first, other = (project(drawn(take), matrix, normalised=True) for take in (0, 5))
    words = {"[UNK]": 0} | {name_of(sign): sign + 1 for sign in range(SIGNS)}
    tokenizer = Tokenizer(models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (folder / text.tokenizer).write_text(tokenizer.to_str())
    rows = np.vstack([np.zeros(dimension), first]).astype(np.float32)
    onnx.save(_bag(rows), folder / "encoder_a.onnx")
    onnx.save(_projection(matrix, image.shape, normalised=True), folder / "encoder_b.onnx")
    onnx.save(_sigmoid_head(12.0, 6.0), folder / "head.onnx")
    prepare = preparation(text, SampleLimits(), lambda _: tokenizer.to_str().encode())
    names = [prepare(said.encode()) for said in ("sign1", "sign2", "sign3 sign4")]
    both = first[3] + first[4]
    np.savez(
        folder / "test_vectors.npz",
        **pack_inputs("a", names),
        embeddings_a=np.stack([first[1], first[2], both / np.linalg.norm(both)]),
        inputs_b=drawn(0)[:4],
        embeddings_b=first[:4],
    )
    np.savez(
        folder / "cohort.npz",
        identities=np.arange(len(STRANGERS)),
        embeddings=first[list(STRANGERS)].astype(np.float16),
        embeddings_b=other[list(STRANGERS)].astype(np.float16),
    )
    (folder / "card.md").write_text(f"# {name}\n\nRandom weights, for tests.\n")
    genuine = {"rule": "max", "by_samples": {"1": [0.5, 0.99], "3": [0.6, 0.99]}}
    write_manifest(
        folder,
        {
            "name": name,
            "version": version,
            "licence": "Apache-2.0",
            "encoders": {
                "a": {"modality": "text", "file": "encoder_a.onnx", "input": text.model_dump()},
                "b": {"modality": "image", "file": "encoder_b.onnx", "input": image.model_dump()},
            },
            "dimension": dimension,
            "normalised": True,
            "distance": "cosine",
            "head": {"weight": 12.0, "bias": 6.0},
            "operating_points": [{"fmr": 0.01, "threshold": 0.9, "fnmr": 0.05}],
            "calibration": {"cluster_threshold": 0.99, "genuine": genuine},
            "calibration_b": {"cluster_threshold": 0.6},
        },
    )
    return folder


def _pixels(png: bytes) -> np.ndarray:
    """Return a drawing as its encoder is given it, (1, h, w)."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image, np.float32)[None] / 255
