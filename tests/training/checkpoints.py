"""A tiny sentence-embedding checkpoint as sentence-transformers lays it out, of chance weights."""

import json
from pathlib import Path

import torch

from training.text_networks import train_tokenizer

TEXTS = [
    f"The {who} {does} the {what}."
    for who in ("man", "woman", "dog", "bird")
    for does in ("plays", "cuts", "paints", "finds")
    for what in ("flute", "onion", "boat", "letter")
]
CONFIG = {
    "model_type": "bert",
    "vocab_size": 300,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 48,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-7,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}
POOLING = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True}


def write_checkpoint(folder: Path, prefix: str = "", **config: object) -> dict[str, torch.Tensor]:
    """Write a checkpoint to a new folder and return its weights, by their names."""
    folder.mkdir(parents=True)
    weights = chance_weights(CONFIG | config)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "model.safetensors").write_bytes(
        safetensors({prefix + name: values for name, values in weights.items()})
    )
    (folder / "tokenizer.json").write_bytes(train_tokenizer(TEXTS, 300))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    steps = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": p} for kind, p in steps]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(POOLING))
    return weights


def chance_weights(config: dict) -> dict[str, torch.Tensor]:
    """Return weights of the sizes that a config says, named as BERT's are."""
    torch.manual_seed(0)
    width, inner = config["hidden_size"], config["intermediate_size"]
    sizes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "pooler.dense.weight": (width, width),
    }
    squares = {"attention.self.query": (width, width), "attention.self.key": (width, width)}
    squares |= {"attention.self.value": (width, width), "attention.output.dense": (width, width)}
    squares |= {"intermediate.dense": (inner, width), "output.dense": (width, inner)}
    for number in range(config["num_hidden_layers"]):
        for name, size in squares.items():
            sizes[f"encoder.layer.{number}.{name}.weight"] = size
            sizes[f"encoder.layer.{number}.{name}.bias"] = size[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            sizes |= {
                f"encoder.layer.{number}.{name}.{part}": (width,) for part in ("weight", "bias")
            }
    sizes |= {f"embeddings.LayerNorm.{part}": (width,) for part in ("weight", "bias")}
    return {name: 0.3 * torch.randn(size) for name, size in sizes.items()}


def safetensors(weights: dict[str, torch.Tensor]) -> bytes:
    """Return tensors as a file of float32: https://github.com/huggingface/safetensors."""
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, values in weights.items():
        raw = values.numpy().astype("<f4").tobytes()
        ends = [len(numbers), len(numbers) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": ends}
        numbers += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers
