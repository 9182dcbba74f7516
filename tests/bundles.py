"""Tiny real bundles: a fixed random projection as the encoder, made without torch."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models_store.manifest import MANIFEST_NAME, Distance, ImageInput, Manifest

OPSET = [helper.make_opsetid("", 17)]


def make_bundle(
    root: Path,
    name: str = "tiny",
    version: str = "1",
    *,
    size: int = 12,
    dimension: int = 8,
    distance: Distance = "cosine",
    cohort: int = 60,
    seed: int = 0,
    sides: tuple[str, str] = ("encoder.onnx", "encoder.onnx"),
    card: str = "Random weights, for tests.",
) -> Path:
    """Write a bundle that the service accepts and return its folder."""
    rng = np.random.default_rng(seed)
    folder = root / name / version
    folder.mkdir(parents=True)
    spec = ImageInput(width=size, height=size, mode="L")
    normalised = distance == "cosine"
    weight, bias = (6.0, 3.0) if normalised else (1.0, 4.0)
    vectors, strangers = {}, {}
    for side, file in zip("ab", sides, strict=True):
        matrix = rng.normal(size=(size * size, dimension)).astype(np.float32)
        if side == "b" and file == sides[0]:
            continue
        matrix -= matrix.mean(axis=0)  # so that drawings with as much ink are not alike for that
        onnx.save(_projection(matrix, spec.shape, normalised=normalised), folder / file)
        inputs = rng.random((4, *spec.shape), np.float32)
        vectors |= {
            f"inputs_{side}": inputs,
            f"embeddings_{side}": _embed(inputs, matrix, normalised=normalised),
        }
        scribbles = (rng.random((cohort, *spec.shape)) < 0.5).astype(np.float32)
        strangers["embeddings_b" if side == "b" else "embeddings"] = _embed(
            scribbles, matrix, normalised=normalised
        ).astype(np.float16)
    onnx.save(_sigmoid_head(weight, bias), folder / "head.onnx")
    np.savez(folder / "test_vectors.npz", **vectors)
    np.savez(folder / "cohort.npz", identities=np.arange(cohort), **strangers)
    (folder / "card.md").write_text(f"# {name}\n\n{card}\n")
    write_manifest(
        folder,
        {
            "name": name,
            "version": version,
            "licence": "Apache-2.0",
            "encoders": {
                side: {"modality": "image", "file": file, "input": spec.model_dump()}
                for side, file in zip("ab", sides, strict=True)
            },
            "dimension": dimension,
            "normalised": normalised,
            "distance": distance,
            "head": {"weight": weight, "bias": bias},
            "operating_points": [
                {"fmr": 0.1, "threshold": 0.6, "fnmr": 0.05},
                {"fmr": 0.01, "threshold": 0.8, "fnmr": 0.1},
            ],
            "provenance": {"created": "2026-11-01T00:00:00Z"},
        },
    )
    return folder


def write_manifest(folder: Path, fields: dict) -> None:
    """Write `fields` as the manifest, with the digests of the files as they are now."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_NAME
    }
    manifest = Manifest.model_validate(fields | {"files": files})
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2))


def read_fields(folder: Path) -> dict:
    """Return the manifest as plain JSON, to be changed and written again."""
    return json.loads((folder / MANIFEST_NAME).read_text())


def _embed(inputs: np.ndarray, matrix: np.ndarray, *, normalised: bool) -> np.ndarray:
    embeddings = (1 - inputs.reshape(len(inputs), -1)) @ matrix
    if normalised:
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings


def _projection(
    matrix: np.ndarray, shape: tuple[int, int, int], *, normalised: bool
) -> onnx.ModelProto:
    """Return (batch, c, h, w) → (batch, d): dark pixels, projected and perhaps normalised."""
    constants = [
        numpy_helper.from_array(matrix, "matrix"),
        numpy_helper.from_array(np.float32(1), "white"),
    ]
    nodes = [
        helper.make_node("Sub", ["white", "image"], ["ink"]),
        helper.make_node("Flatten", ["ink"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["raw" if normalised else "embedding"]),
    ]
    if normalised:
        nodes.append(helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *shape])
    embedding = helper.make_tensor_value_info(
        "embedding", TensorProto.FLOAT, ["batch", matrix.shape[1]]
    )
    graph = helper.make_graph(nodes, "encoder", [image], [embedding], constants)
    return helper.make_model(graph, opset_imports=OPSET, ir_version=9)


def _sigmoid_head(weight: float, bias: float) -> onnx.ModelProto:
    constants = [
        numpy_helper.from_array(np.float32(-weight), "slope"),
        numpy_helper.from_array(np.float32(bias), "bias"),
    ]
    nodes = [
        helper.make_node("Mul", ["distance", "slope"], ["sloped"]),
        helper.make_node("Add", ["sloped", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    distance = helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["batch"])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])
    graph = helper.make_graph(nodes, "head", [distance], [score], constants)
    return helper.make_model(graph, opset_imports=OPSET, ir_version=9)
