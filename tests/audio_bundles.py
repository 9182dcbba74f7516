"""Tiny real bundles of audio: a fixed random projection as the encoder, made without torch."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models_store.bundle import pack_inputs
from models_store.manifest import AudioInput
from tests.bundles import OPSET, _sigmoid_head, write_manifest


def make_audio_bundle(
    root: Path, name: str = "sounds", version: str = "1", *, dimension: int = 16
) -> Path:
    """Write a bundle of audio that the service accepts and return its folder."""
    rng = np.random.default_rng(0)
    folder = root / name / version
    folder.mkdir(parents=True)
    spec = AudioInput(sample_rate=16_000, window=0.25, hop=0.125, short="pad")
    matrix = rng.normal(size=(spec.frames, dimension)).astype(np.float32)
    inputs = rng.uniform(-1, 1, (64, spec.frames)).astype(np.float32)
    embeddings = inputs @ matrix
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    onnx.save(_projection(matrix), folder / "encoder.onnx")
    onnx.save(_sigmoid_head(weight=6.0, bias=3.0), folder / "head.onnx")
    np.savez(
        folder / "test_vectors.npz",
        **pack_inputs("a", [(one,) for one in inputs[:4]]),
        embeddings_a=embeddings[:4],
    )
    np.savez(
        folder / "cohort.npz",
        identities=np.arange(60),
        embeddings=embeddings[4:].astype(np.float16),
    )
    (folder / "card.md").write_text(f"# {name}\n\nRandom weights, for tests.\n")
    encoder = {"modality": "audio", "file": "encoder.onnx", "input": spec.model_dump()}
    write_manifest(
        folder,
        {
            "name": name,
            "version": version,
            "licence": "Apache-2.0",
            "encoders": {"a": encoder, "b": encoder},
            "dimension": dimension,
            "normalised": True,
            "distance": "cosine",
            "head": {"weight": 6.0, "bias": 3.0},
            "operating_points": [{"fmr": 0.1, "threshold": 0.9, "fnmr": 0.05}],
        },
    )
    return folder


def _projection(matrix: np.ndarray) -> onnx.ModelProto:
    """Return waveform (batch, time) → (batch, d): projected, of norm 1."""
    nodes = [
        helper.make_node("MatMul", ["waveform", "matrix"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
    ]
    waveform = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "time"])
    embedding = helper.make_tensor_value_info(
        "embedding", TensorProto.FLOAT, ["batch", matrix.shape[1]]
    )
    graph = helper.make_graph(
        nodes, "encoder", [waveform], [embedding], [numpy_helper.from_array(matrix, "matrix")]
    )
    return helper.make_model(graph, opset_imports=OPSET, ir_version=9)
