"""Encoders in half precision or in 8-bit integers: fewer bytes, for some of the accuracy."""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn

from models_store.manifest import ImageInput, Input
from models_store.preparation import Windows, together

Weights = Literal["float32", "float16", "int8"]

LARGE = 256
"""Weights of fewer numbers than this stay as they are."""

CALIBRATION_SAMPLES = 128
"""How many samples tell the range of each activation, where these are integers too."""


class Converted(nn.Module):
    """An encoder that runs a graph in ONNX Runtime; what it embeds, its bundle will embed."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        super().__init__()
        self.graph = graph
        self._session = InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the embeddings (n, d) of an encoder's inputs."""
        names = [port.name for port in self._session.get_inputs()]
        feeds = dict(zip(names, (values.numpy() for values in inputs), strict=True))
        (embeddings,) = self._session.run(None, feeds)
        return torch.from_numpy(embeddings)


def converted(
    graph: onnx.ModelProto, weights: Weights, samples: Sequence[Windows], spec: Input
) -> onnx.ModelProto:
    """Return a graph with other weights: its inputs and outputs stay float32.

    int8 turns convolutions of images, activations too, into integers, by the ranges that some
    samples show. Of audio and text only the weights become integers, and are floats again once
    the graph is loaded: ranges of activations found while it runs would be those of a batch, and
    an embedding would depend on what it is batched with.
    """
    if weights == "float32":
        return graph
    if weights == "float16":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that numbers near zero are cut: it is measured
            half: onnx.ModelProto = convert_float_to_float16(graph, keep_io_types=True)
        return half
    if not isinstance(spec, ImageInput):
        return _weights_in_integers(graph)
    with tempfile.TemporaryDirectory() as scratch:
        given, prepared, done = (Path(scratch) / name for name in ("given", "prepared", "done"))
        onnx.save(graph, given)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        reader = _Calibration(samples[:CALIBRATION_SAMPLES], spec, graph)
        quantize_static(prepared, done, reader, quant_format=QuantFormat.QDQ, per_channel=True)
        return onnx.load(done)


def _weights_in_integers(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose large weights are 8-bit integers, with a scale for each output."""
    small = onnx.ModelProto()
    small.CopyFrom(graph)
    users = {name: node.op_type for node in small.graph.node for name in node.input}
    axes = {"MatMul": -1, "LSTM": 1, "GRU": 1}  # of what each counts as an output; else the first
    kept, nodes = [], []
    for weight in small.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < LARGE:
            kept.append(weight)
            continue
        axis = axes.get(users.get(weight.name, ""), 0) % values.ndim
        others = tuple(i for i in range(values.ndim) if i != axis)
        peaks = np.abs(values).max(axis=others, keepdims=True)
        scale = np.where(peaks > 0, peaks / 127, 1).astype(np.float32)
        whole = np.rint(values / scale).astype(np.int8)
        integers, scales = f"{weight.name}.int8", f"{weight.name}.scale"
        kept += [numpy_helper.from_array(whole, integers)]
        kept += [numpy_helper.from_array(scale.ravel(), scales)]
        nodes.append(
            helper.make_node("DequantizeLinear", [integers, scales], [weight.name], axis=axis)
        )
    del small.graph.initializer[:]
    small.graph.initializer.extend(kept)
    nodes += small.graph.node
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    return small


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Samples one by one, as ONNX Runtime's quantiser asks for them."""

    def __init__(self, samples: Sequence[Windows], spec: Input, graph: onnx.ModelProto) -> None:
        names = [port.name for port in graph.graph.input]
        self._feeds: Iterator[dict[str, npt.NDArray[Any]]] = (
            dict(zip(names, together(spec, [sample[0]]).values(), strict=True))
            for sample in samples
        )

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._feeds, None)
