"""A sentence-embedding checkpoint that is an ONNX graph already → the graph of a bundle."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models_store.manifest import BundleRefused

FILES = ("onnx/model.onnx", "model.onnx")
READY = "sentence_embedding"
STATES = ("last_hidden_state", "token_embeddings")


def graph_file(folder: Path) -> Path | None:
    """Return the file of a folder's ONNX graph, if it has one."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def sentence_graph(path: Path, pooling: Literal["mean", "cls"]) -> onnx.ModelProto:
    """Return a graph `input_ids`, `attention_mask` (batch, tokens) → `embedding` (batch, d).

    The given one ends with `sentence_embedding`, or with the states of tokens, which are pooled;
    the rows get norm 1. Kinds of tokens that it may ask for are all 0. Raises BundleRefused if it
    has other ports.
    """
    model = onnx.load(path)
    graph = model.graph
    inputs = {port.name: port for port in graph.input}
    if set(inputs) - {"token_type_ids"} != {"input_ids", "attention_mask"}:
        raise BundleRefused(
            f"{path}: expected input_ids and attention_mask, got {', '.join(sorted(inputs))}"
        )
    outputs = {port.name for port in graph.output}
    before, after = [], []
    if "token_type_ids" in inputs:
        before.append(helper.make_node("Sub", ["input_ids", "input_ids"], ["token_type_ids"]))
    states = next((name for name in STATES if name in outputs), None)
    if READY in outputs:
        pooled = READY
    elif states is not None:
        pooled, after = "pooled", _pooling(states, pooling)
        graph.initializer.extend(
            numpy_helper.from_array(np.array(shape), name)
            for name, shape in (("kindred.as_row", [0, 1, -1]), ("kindred.as_vector", [0, -1]))
        )
        graph.initializer.append(numpy_helper.from_array(np.array(0), "kindred.first"))
    else:
        raise BundleRefused(f"{path}: expected {READY} or {STATES[0]}, got {', '.join(outputs)}")
    after.append(helper.make_node("LpNormalization", [pooled], ["embedding"], axis=1, p=2))
    nodes = [*before, *graph.node, *after]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", None])
    for field, values in ((graph.node, nodes), (graph.input, ports), (graph.output, [embedding])):
        del field[:]
        field.extend(values)
    return model


def _pooling(states: str, pooling: Literal["mean", "cls"]) -> list[onnx.NodeProto]:
    """Return the nodes that make states (n, tokens, width) `pooled` (n, width).

    The sum stands for the mean: they are one once the norm is 1.
    """
    if pooling == "cls":
        return [helper.make_node("Gather", [states, "kindred.first"], ["pooled"], axis=1)]
    return [
        helper.make_node("Cast", ["attention_mask"], ["kindred.mask"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["kindred.mask", "kindred.as_row"], ["kindred.row"]),
        helper.make_node("MatMul", ["kindred.row", states], ["kindred.sum"]),
        helper.make_node("Reshape", ["kindred.sum", "kindred.as_vector"], ["pooled"]),
    ]
