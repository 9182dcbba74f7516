"""Tiny real bundles of text: a bag of words as the encoder, made without torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from models_store.bundle import pack_inputs
from models_store.manifest import TextInput
from models_store.preparation import Windows, preparation, together
from models_store.sample import SampleLimits
from tests.bundles import OPSET, _sigmoid_head, write_manifest

VOCABULARY = 350
SUBJECTS = ("man", "woman", "dog", "bird", "child", "teacher", "sailor", "cook")
DOINGS = ("plays", "cuts", "paints", "finds", "carries", "drops", "watches", "cleans")
THINGS = ("flute", "onion", "boat", "letter", "ladder", "melon", "window", "guitar")
TEXTS = [f"The {who} {does} the {what}." for who in SUBJECTS for does in DOINGS for what in THINGS]


def make_tokenizer() -> Tokenizer:
    """Return a tokenizer that knows the words of TEXTS, and of everything else the bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["[PAD]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def make_text_bundle(
    root: Path,
    name: str = "words",
    version: str = "1",
    *,
    dimension: int = 64,
    max_tokens: int = 16,
    overlap: int = 4,
    tokenizer: str | None = None,
    examples: Sequence[str] = ("A man.", *TEXTS[:3], " ".join(TEXTS[:4])),
) -> Path:
    """Write a bundle of text that the service accepts, or not with another `tokenizer.json`."""
    rng = np.random.default_rng(0)
    folder = root / name / version
    folder.mkdir(parents=True)
    matrix = rng.normal(size=(VOCABULARY, dimension)).astype(np.float32)
    spec = TextInput(max_tokens=max_tokens, overlap=overlap)
    ours = make_tokenizer().to_str()
    (folder / spec.tokenizer).write_text(ours if tokenizer is None else tokenizer)
    prepare = preparation(spec, SampleLimits(), lambda _: ours.encode())
    inputs = [prepare(text.encode()) for text in examples]
    onnx.save(_bag(matrix), folder / "encoder.onnx")
    onnx.save(_sigmoid_head(weight=12.0, bias=6.0), folder / "head.onnx")
    np.savez(
        folder / "test_vectors.npz",
        **pack_inputs("a", inputs),
        embeddings_a=_embed(inputs, spec, matrix),
    )
    strangers = [prepare(text.encode()) for text in TEXTS[100:160]]
    np.savez(
        folder / "cohort.npz",
        identities=np.arange(len(strangers)),
        embeddings=_embed(strangers, spec, matrix).astype(np.float16),
    )
    (folder / "card.md").write_text(f"# {name}\n\nRandom weights, for tests.\n")
    encoder = {"modality": "text", "file": "encoder.onnx", "input": spec.model_dump()}
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
            "head": {"weight": 12.0, "bias": 6.0},
            "operating_points": [{"fmr": 0.1, "threshold": 0.9, "fnmr": 0.05}],
            "calibration": {"cluster_threshold": 0.95},
        },
    )
    return folder


def _embed(inputs: Sequence[Windows], spec: TextInput, matrix: np.ndarray) -> np.ndarray:
    """Return what the graph and the mean over windows give, by NumPy alone."""
    found = []
    for windows in inputs:
        each = []
        for window in windows:
            mean = matrix[together(spec, [window])["input_ids"][0]].mean(axis=0)
            each.append(mean / np.linalg.norm(mean))
        mean = np.mean(each, axis=0)
        found.append(mean / np.linalg.norm(mean))
    return np.array(found, np.float32)


def _bag(matrix: np.ndarray) -> onnx.ModelProto:
    """Return input_ids, attention_mask (batch, tokens) → the mean of the rows named, norm 1."""
    constants = [
        numpy_helper.from_array(matrix, "matrix"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "tokens_axis"),
    ]
    nodes = [
        helper.make_node("Gather", ["matrix", "input_ids"], ["rows"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["rows", "weights"], ["present"]),
        helper.make_node("ReduceSum", ["present", "tokens_axis"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    embedding = helper.make_tensor_value_info(
        "embedding", TensorProto.FLOAT, ["batch", matrix.shape[1]]
    )
    graph = helper.make_graph(nodes, "encoder", ports, [embedding], constants)
    return helper.make_model(graph, opset_imports=OPSET, ir_version=9)
