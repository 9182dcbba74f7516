import numpy as np
import onnx
import pytest
import torch
from torch import nn

from evaluation.calibration import Calibrated
from models_store.bundle import open_bundle
from models_store.manifest import (
    BundleRefused,
    Calibration,
    Head,
    ImageInput,
    Metric,
    OperatingPoint,
    Provenance,
    TrainingSource,
)
from training.export import OPSET, TrainedEncoder, export_bundle
from training.networks import embed
from training.recipe import Card

CALIBRATED = Calibrated(
    Head(weight=2, bias=3), (OperatingPoint(fmr=0.1, threshold=0.6, fnmr=0.2),), Calibration()
)


def encoder(size=20, dimension=6, channels=3, seed=0):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.LazyLinear(dimension)
    )
    spec = ImageInput(width=size, height=size, mode="RGB" if channels == 3 else "L")
    examples = images(4, spec, seed)
    module(torch.from_numpy(np.concatenate(examples)))  # the lazy layer learns its size
    return TrainedEncoder(module, spec, examples)


def images(count, spec, seed=0):
    return [(one,) for one in np.random.default_rng(seed).random((count, *spec.shape), np.float32)]


def export(folder, *sides, **changes):
    given = {
        "name": "random",
        "version": "1",
        "licence": "Apache-2.0",
        "distance": "l2",
        "normalised": False,
        "calibrated": CALIBRATED,
        "cohort": np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32),
    }
    return export_bundle(folder, *sides, **(given | changes))


def test_any_module_becomes_a_bundle_that_embeds_as_torch_does(tmp_path):
    side = encoder(size=20)

    export(tmp_path / "bundle", side)

    comparator = open_bundle(tmp_path / "bundle")
    inputs = images(7, side.input, seed=1)
    expected = embed(side.module, inputs, side.input)
    assert np.abs(comparator.embed(inputs) - expected).max() <= 1e-5
    assert comparator.manifest.distance == "l2"
    assert comparator.manifest.tied


def test_two_encoders_keep_to_their_sides(tmp_path):
    a, b = encoder(size=20, seed=1), encoder(size=12, channels=1, seed=2)

    strangers = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)

    comparator = export(tmp_path / "bundle", a, b, cohort_b=strangers)

    assert not comparator.manifest.tied
    for name, side in (("a", a), ("b", b)):
        expected = embed(side.module, side.examples, side.input)
        assert np.abs(comparator.embed(side.examples, name) - expected).max() <= 1e-5


def test_the_graph_says_whose_it_is_and_nothing_of_the_machine(tmp_path):
    export(tmp_path / "bundle", encoder())

    content = (tmp_path / "bundle" / "encoder.onnx").read_bytes()
    model = onnx.load_from_string(content)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "kindred.name": "random",
        "kindred.version": "1",
        "kindred.side": "ab",
        "kindred.schema": "1",
        "license": "Apache-2.0",
    }
    assert [(port.name) for port in (*model.graph.input, *model.graph.output)] == [
        "image",
        "embedding",
    ]
    assert [entry.version for entry in model.opset_import] == [OPSET]
    assert b"site-packages" not in content
    assert b".py" not in content


def test_a_version_that_is_out_is_never_written_over(tmp_path):
    export(tmp_path / "bundle", encoder())

    with pytest.raises(FileExistsError):
        export(tmp_path / "bundle", encoder(seed=5))


def test_a_module_said_to_be_normalised_that_is_not_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(BundleRefused, match="normalised"):
        export(tmp_path / "bundle", encoder(), distance="cosine", normalised=True)

    assert not (tmp_path / "bundle").exists()


def test_the_card_tells_figures_limits_and_licences(tmp_path):
    metric = Metric(name="eer", value=0.0312, interval=(0.02, 0.04), protocol="all pairs of 9")
    source = TrainingSource(name="Scribbles", licence="MIT", source="https://example.org")

    export(
        tmp_path / "bundle",
        encoder(),
        metrics=(metric,),
        provenance=Provenance(sources=(source,)),
        words=Card(limits="Not for signatures.", notice="Copyright 2015 Somebody"),
    )

    card = (tmp_path / "bundle" / "card.md").read_text()
    assert card.startswith('---\nlicense: "apache-2.0"\nlibrary_name: "kindred"\n')
    for said in (
        "| eer | 0.0312 | 0.0200–0.0400 | all pairs of 9 |",
        "Not for signatures.",
        "Trained on Scribbles (MIT)",
        "Copyright 2015 Somebody",
        "50 strangers",
    ):
        assert said in card
