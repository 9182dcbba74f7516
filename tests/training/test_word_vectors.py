"""Vectors of words from a sentence encoder: a tiny BERT made on the spot."""

import json
import struct

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tests.training.emoji import word_vectors
from training.shapes import WordsNetwork
from training.text_checkpoint import open_checkpoint
from training.word_vectors import WordsEncoder, distil, read_word_vectors

WORDS = ("the", "cat", "dog", "sun", "moon", "##s", "猫")
SPECIAL = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WIDTH = 16


@pytest.fixture
def checkpoint(tmp_path):
    """A BERT of one layer and random weights, as sentence-transformers writes it."""
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary), WIDTH),
        "embeddings.position_embeddings.weight": (8, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    layer = "encoder.layer.0"
    for part, outs, ins in (
        (f"{layer}.attention.self.query", WIDTH, WIDTH),
        (f"{layer}.attention.self.key", WIDTH, WIDTH),
        (f"{layer}.attention.self.value", WIDTH, WIDTH),
        (f"{layer}.attention.output.dense", WIDTH, WIDTH),
        (f"{layer}.intermediate.dense", 32, WIDTH),
        (f"{layer}.output.dense", WIDTH, 32),
    ):
        shapes |= {f"{part}.weight": (outs, ins), f"{part}.bias": (outs,)}
    for norm in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{norm}.LayerNorm.{part}": (WIDTH,) for part in ("weight", "bias")}
    arrays = {name: rng.normal(size=shape).astype("<f4") for name, shape in shapes.items()}
    header, body = {}, b""
    for name, values in arrays.items():
        ends = [len(body), len(body) + values.nbytes]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": ends}
        body += values.tobytes()
    told = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(told)) + told + body)
    config = {
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "intermediate_size": 32,
        "max_position_embeddings": 8,
        "vocab_size": len(vocabulary),
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [
            {
                "id": vocabulary[word],
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocabulary["[SEP]"]],
            "cls": ["[CLS]", vocabulary["[CLS]"]],
        },
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return tmp_path


TEXTS = ["the cat", "dogs", "moon", "the sun", "cats", "suns"]


def test_a_text_has_no_marks_and_no_tokens_of_other_scripts(checkpoint):
    words = distil(checkpoint, TEXTS, 4)
    tokenizer = Tokenizer.from_str(words.tokenizer.decode())

    assert tokenizer.encode("The cats").tokens == ["the", "cat", "##s"]
    assert sorted(tokenizer.get_vocab()) == sorted(["[PAD]", "[UNK]", *WORDS[:-1]])
    assert words.vectors.shape == (8, 4)


def test_whole_vectors_are_as_far_apart_as_the_encoder_has_its_tokens(checkpoint):
    """Turned and rounded to 127 steps, products stay; the rank weighs."""
    words = distil(checkpoint, [*TEXTS, "the moon", "dog"], 7)
    read = open_checkpoint(checkpoint)
    encoder = read.encoder
    rows = torch.tensor([0, 2, *range(6, 12)])
    ids = torch.stack([torch.full((8,), 3), rows, torch.full((8,), 4)], 1)
    with torch.inference_mode():
        alone = encoder(ids, torch.ones_like(ids)).double().numpy()
    wanted = (alone - alone.mean(axis=0)) * np.log1p(rows.numpy())[:, None]

    found = words.vectors.astype(float) * words.scales[:, None]

    named = slice(2, None)
    scale = np.abs(wanted @ wanted.T).max()
    assert np.allclose(
        found[named] @ found[named].T, (wanted @ wanted.T)[named, named], atol=0.02 * scale
    )
    assert (found[0] == 0).all()


def test_what_was_saved_is_read_again(tmp_path):
    words = word_vectors()

    words.save(tmp_path / "words")
    again = read_word_vectors(tmp_path / "words")

    assert again.tokenizer == words.tokenizer
    assert (again.vectors == words.vectors).all()


def test_padding_changes_no_embedding():
    network = WordsNetwork(vectors=".", hidden=8, dimension=8, dropout=0.5)
    encoder = WordsEncoder(network, word_vectors()).eval()
    ids = torch.tensor([[2, 3, 4]])

    alone = encoder(ids, torch.ones_like(ids))
    padded = encoder(torch.tensor([[2, 3, 4, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]]))

    assert torch.allclose(alone, padded, atol=1e-6)
    assert torch.allclose(alone.norm(dim=1), torch.ones(1), atol=1e-6)
