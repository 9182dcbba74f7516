"""Two encoders that exist as ONNX files only become one bundle."""

import io

import numpy as np
import onnx
import pytest
from PIL import Image

from evaluation.two_sided import TwoSided, calibrate_two_sided, strangers
from models_store import open_bundle
from models_store.manifest import ImageInput, TextInput
from models_store.preparation import preparation
from models_store.sample import SampleLimits
from tests.drawings import draw
from tests.two_sided_bundles import make_two_sided_bundle, name_of
from training.export import TrainedEncoder, export_bundle
from training.networks import embed
from training.precision import Converted

SIGNS = range(200)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with encoder_a.onnx, encoder_b.onnx and tokenizer.json."""
    return make_two_sided_bundle(tmp_path_factory.mktemp("files"))


def test_two_onnx_files_become_a_bundle(files, tmp_path):
    tokenizer = (files / "tokenizer.json").read_bytes()
    text, image = TextInput(max_tokens=8), ImageInput(width=12, height=12, mode="L")
    read = preparation(text, SampleLimits(), lambda _: tokenizer)
    names = [read(name_of(sign).encode()) for sign in SIGNS]
    drawings = [pixels(draw(sign, 5)) for sign in SIGNS]
    examples = [*names[:2], read(b"sign3 sign4")]
    encoder_a, encoder_b = (Converted(onnx.load(files / f"encoder_{side}.onnx")) for side in "ab")

    samples = TwoSided.of(
        embed(encoder_a, names, text), embed(encoder_b, drawings, image), ("name",), ("drawn",)
    )
    made = export_bundle(
        tmp_path / "mine" / "1",
        TrainedEncoder(encoder_a, text, examples, tokenizer),
        TrainedEncoder(encoder_b, image, drawings[:4]),
        name="mine",
        version="1",
        licence="Apache-2.0",
        distance="cosine",
        normalised=True,
        calibrated=calibrate_two_sided(samples, 0),
        cohort=strangers(samples.a),
        cohort_b=strangers(samples.b),
    )

    theirs = open_bundle(files)
    assert np.allclose(made.embed(names[:3], "a"), theirs.embed(names[:3], "a"), atol=1e-6)
    assert np.allclose(made.embed(drawings[:3], "b"), theirs.embed(drawings[:3], "b"), atol=1e-6)
    assert made.manifest.calibration_b.genuine is not None


def pixels(png: bytes) -> tuple[np.ndarray, ...]:
    with Image.open(io.BytesIO(png)) as image:
        return (np.asarray(image, np.float32)[None] / 255,)
