"""Any torch module → a bundle folder: ONNX, parity, calibration, cohort, card, manifest."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from evaluation.calibration import Calibrated
from index.gallery import Embeddings
from models_store.bundle import CARD, COHORT, TEST_VECTORS, open_bundle, pack_inputs
from models_store.comparator import Comparator
from models_store.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    BundleRefused,
    Distance,
    Encoder,
    Head,
    ImageInput,
    Input,
    Manifest,
    Metric,
    Provenance,
    Side,
    TextInput,
)
from models_store.preparation import Windows, together
from training.card import card
from training.networks import embed
from training.precision import Converted
from training.recipe import Card

OPSET = 18
HEAD = "head.onnx"
PARITY = 1e-5
"""How far ONNX Runtime's embeddings may lie from torch's."""


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """A module, what it is fed, and 2 to 8 prepared samples to prove it by.

    The module takes what `models_store.preparation.together` gives, in that order, and returns
    embeddings (n, d). A text encoder brings its `tokenizer`, the bytes of a `tokenizer.json`.
    """

    module: nn.Module
    input: Input
    examples: Sequence[Windows]
    tokenizer: bytes = b""


def export_bundle(
    folder: Path,
    a: TrainedEncoder,
    b: TrainedEncoder | None = None,
    *,
    name: str,
    version: str,
    licence: str,
    distance: Distance,
    normalised: bool,
    calibrated: Calibrated,
    cohort: Embeddings,
    cohort_b: Embeddings | None = None,
    cohort_groups: npt.NDArray[np.int64] | None = None,
    description: str = "",
    metrics: tuple[Metric, ...] = (),
    provenance: Provenance = Provenance(),  # noqa: B008 - frozen
    words: Card = Card(),  # noqa: B008 - frozen
) -> Comparator:
    """Write a bundle to a new folder and return it opened, as the service would open it.

    One encoder makes a siamese comparator; with `b`, side a of a pair goes through the one and
    side b through the other. `cohort` holds an embedding (m, d) of each of m strangers, and with
    `b` `cohort_b` holds one by that encoder. `cohort_groups` (m,) tell strangers apart who are
    unlike each other, as those of two data sets are; the calibration was then made by group, too.

    Raises FileExistsError if the folder is there, because a version that is out does not change,
    and BundleRefused if ONNX Runtime differs from torch or the bundle fails its own checks.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there, and a version that is out does not change")
    folder.parent.mkdir(parents=True, exist_ok=True)
    sides: dict[Side, TrainedEncoder] = {"a": a} if b is None else {"a": a, "b": b}
    with TemporaryDirectory(prefix=".", dir=folder.parent) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        vectors: dict[str, npt.NDArray[Any]] = {}
        embeddings: dict[Side, Embeddings] = {}
        encoders: dict[Side, Encoder] = {}
        for side, encoder in sides.items():
            file = "encoder.onnx" if b is None else f"encoder_{side}.onnx"
            labels = {
                "kindred.name": name,
                "kindred.version": version,
                "kindred.side": "ab" if b is None else side,
                "kindred.schema": str(SCHEMA_VERSION),
                "license": licence,
            }
            embeddings[side] = embed(
                encoder.module, encoder.examples, encoder.input, normalised=normalised
            )
            vectors |= pack_inputs(side, encoder.examples)
            vectors[f"embeddings_{side}"] = embeddings[side]
            graph = encoder_graph(encoder)
            helper.set_model_props(graph, labels)
            onnx.save(graph, draft / file)
            if isinstance(encoder.input, TextInput):
                (draft / encoder.input.tokenizer).write_bytes(encoder.tokenizer)
            encoders[side] = Encoder(modality=encoder.input.kind, file=file, input=encoder.input)
        onnx.save(_head_graph(calibrated.head), draft / HEAD)
        np.savez_compressed(draft / TEST_VECTORS, allow_pickle=False, **vectors)
        strangers: dict[str, Any] = {"embeddings": cohort.astype(np.float16)}
        if cohort_b is not None:
            strangers["embeddings_b"] = cohort_b.astype(np.float16)
        if cohort_groups is not None:
            strangers["groups"] = cohort_groups.astype(np.int64)
        identities = np.arange(len(cohort), dtype=np.int64)
        np.savez_compressed(draft / COHORT, identities=identities, **strangers)
        manifest = Manifest(
            name=name,
            version=version,
            description=description,
            licence=licence,
            encoders={"a": encoders["a"], "b": encoders["b" if b else "a"]},
            dimension=embeddings["a"].shape[1],
            normalised=normalised,
            distance=distance,
            head=calibrated.head,
            operating_points=calibrated.operating_points,
            calibration=calibrated.choices,
            calibration_b=calibrated.choices_b,
            metrics=metrics,
            provenance=provenance.model_copy(update={"created": datetime.now(UTC)}),
            files=_digests(draft),
        )
        (draft / CARD).write_text(card(manifest, len(cohort), words))
        manifest = manifest.model_copy(update={"files": _digests(draft)})
        (draft / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
        comparator = _opened(draft, sides, embeddings)
        draft.rename(folder)
    return comparator


def encoder_graph(encoder: TrainedEncoder) -> onnx.ModelProto:
    """Return the module as ONNX: its inputs by name → `embedding` (batch, d)."""
    if isinstance(encoder.module, Converted):
        return encoder.module.graph
    windows = [encoder.examples[i][0] for i in range(2)]
    inputs = together(encoder.input, windows)
    free = {name: {0: "batch"} for name in (*inputs, "embedding")}
    if not isinstance(encoder.input, ImageInput):
        free |= {
            name: {0: "batch", 1: "time"} for name, values in inputs.items() if values.ndim > 1
        }
    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        # The TorchScript exporter is deprecated, and the better one here: 1 s for 7, and its
        # nodes do not carry the paths of the machine that exported them.
        warnings.simplefilter("ignore", DeprecationWarning)
        # An LSTM checks sizes that do not change, and begins with zeros whatever the batch.
        warnings.filterwarnings("ignore", module=r"torch\.nn\.modules\.rnn")
        warnings.filterwarnings("ignore", "Exporting a model to ONNX with a batch_size other")
        torch.onnx.export(
            encoder.module.eval(),
            tuple(torch.from_numpy(values) for values in inputs.values()),
            path := Path(scratch) / "encoder.onnx",
            input_names=list(inputs),
            output_names=["embedding"],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
        graph = onnx.load(path)
    dimension = embed(encoder.module, encoder.examples[:1], encoder.input).shape[1]
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = dimension
    return graph


def _head_graph(head: Head) -> onnx.ModelProto:
    """Return `sigmoid(bias - weight · distance)` as ONNX: `distance` (n,) → `score` (n,)."""
    floats = TensorProto.FLOAT
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Mul", ["distance", "slope"], ["sloped"]),
                helper.make_node("Add", ["sloped", "bias"], ["logit"]),
                helper.make_node("Sigmoid", ["logit"], ["score"]),
            ],
            "head",
            [helper.make_tensor_value_info("distance", floats, ["n"])],
            [helper.make_tensor_value_info("score", floats, ["n"])],
            [
                helper.make_tensor("slope", floats, [], [-head.weight]),
                helper.make_tensor("bias", floats, [], [head.bias]),
            ],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
    )


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _opened(
    folder: Path, sides: dict[Side, TrainedEncoder], embeddings: dict[Side, Embeddings]
) -> Comparator:
    """Open the bundle and hold ONNX Runtime to torch's embeddings."""
    comparator = open_bundle(folder)
    for side, encoder in sides.items():
        apart = float(np.abs(comparator.embed(encoder.examples, side) - embeddings[side]).max())
        if apart > PARITY:
            raise BundleRefused(f"side {side}: ONNX Runtime is {apart:.1e} away from torch")
    return comparator
