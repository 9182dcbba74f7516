"""Vectors of words: what a sentence encoder makes of each token alone, small enough to ship."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from training.shapes import WordsNetwork
from training.text_checkpoint import (
    Checkpoint,
    open_checkpoint,
    weighted_mean,
)

TOKENIZER = "tokenizer.json"
VECTORS = "vectors.npz"
_SPECIAL = ("[PAD]", "[UNK]")
_AT_ONCE = 1024  # tokens embedded in one go


@dataclass(frozen=True, slots=True)
class WordVectors:
    """A tokenizer without marks around a text, and a vector for each of its tokens.

    Vectors are int8 (v, d), to be multiplied by `scales` float32 (v,). Frequent words, which tell
    least, are short.
    """

    tokenizer: bytes
    vectors: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `vectors.npz`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKENIZER).write_bytes(self.tokenizer)
        np.savez(folder / VECTORS, vectors=self.vectors, scales=self.scales)


def read_word_vectors(folder: Path) -> WordVectors:
    """Return what `WordVectors.save` wrote."""
    with np.load(folder / VECTORS, allow_pickle=False) as arrays:
        tokenizer = (folder / TOKENIZER).read_bytes()
        return WordVectors(tokenizer, arrays["vectors"], arrays["scales"])


class WordsEncoder(nn.Module):
    """Texts as means of fixed vectors of words: (n, tokens) ids and mask -> (n, d), norm 1.

    What is learnt is a linear map of the mean and a small net beside it. A word that no training
    text has still lies where a sentence encoder, which read a good part of the web, has it.
    """

    def __init__(self, network: WordsNetwork, words: WordVectors) -> None:
        super().__init__()
        # No buffers: the moving average of weights would round integers down, step by step.
        self.vectors = torch.from_numpy(words.vectors)
        self.scales = torch.from_numpy(words.scales)
        width = words.vectors.shape[1]
        self.straight = nn.Linear(width, network.dimension)
        self.bent = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, network.hidden),
            nn.GELU(),
            nn.Dropout(network.dropout),
            nn.Linear(network.hidden, network.dimension),
        )
        self.centre = nn.BatchNorm1d(network.dimension, affine=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings (n, d) of token ids (n, tokens), 1 in the mask where one is."""
        vectors, scales = self.vectors.to(input_ids.device), self.scales.to(input_ids.device)
        words = vectors[input_ids].float() * scales[input_ids].unsqueeze(2)  # (n, tokens, width)
        mean = weighted_mean(words, attention_mask.unsqueeze(2).float())
        mean = functional.normalize(mean, dim=1) * words.shape[2] ** 0.5
        return functional.normalize(self.centre(self.straight(mean) + self.bent(mean)), dim=1)


def distil(checkpoint: Path, texts: Sequence[str], width: int) -> WordVectors:
    """Return vectors of a local sentence encoder's tokens, made for texts like these.

    `checkpoint` is a folder as `training.text_checkpoint` reads it, of a BERT with WordPiece. Each
    token in ASCII is embedded by itself, and its vector weighed by the logarithm of its rank, for
    a vocabulary is sorted by frequency (Tulkens and van Dongen, Model2Vec, 2024). Kept are the
    `width` directions in which the given texts differ most.
    """
    read = open_checkpoint(checkpoint)
    document = json.loads(read.tokenizer)
    vocabulary: dict[str, int] = document["model"]["vocab"]
    kept = [
        (token, row)
        for token, row in sorted(vocabulary.items(), key=lambda each: each[1])
        if token in _SPECIAL or (token.isascii() and not token.startswith("["))
    ]
    document["model"]["vocab"] = {token: i for i, (token, _) in enumerate(kept)}
    document |= {"post_processor": None, "truncation": None, "padding": None}
    document["added_tokens"] = [
        each | {"id": document["model"]["vocab"][each["content"]]}
        for each in document["added_tokens"]
        if each["content"] in _SPECIAL
    ]
    content = json.dumps(document, ensure_ascii=False).encode()
    rows = np.array([row for _, row in kept])
    around = [vocabulary["[CLS]"], vocabulary["[SEP]"]]
    alone = _embed_alone(read, rows, around)  # (v, encoder's width)
    weighed = (alone - alone.mean(axis=0)) * np.log1p(rows)[:, None]
    tokenizer = Tokenizer.from_str(content.decode())
    said = np.stack(
        [weighed[each.ids].mean(axis=0) for each in tokenizer.encode_batch(list(texts))]
    )
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    _, _, directions = np.linalg.svd(said - said.mean(axis=0), full_matrices=False)
    turned = weighed @ directions[:width].T
    turned[document["model"]["vocab"][_SPECIAL[0]]] = 0
    scales = np.abs(turned).max(axis=1) / np.iinfo(np.int8).max
    vectors = np.round(turned / np.maximum(scales, 1e-12)[:, None]).astype(np.int8)
    return WordVectors(content, vectors, scales.astype(np.float32))


def _embed_alone(
    checkpoint: Checkpoint, rows: npt.NDArray[np.int64], around: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Return the embedding (v, width) of each token alone, between the marks around a text."""
    first, last = (torch.full((len(rows),), mark) for mark in around)
    ids = torch.stack([first, torch.from_numpy(rows), last], 1)  # (v, 3)
    with torch.inference_mode():
        embedded = [
            checkpoint.encoder(ids[i : i + _AT_ONCE], torch.ones_like(ids[i : i + _AT_ONCE]))
            for i in range(0, len(ids), _AT_ONCE)
        ]
    found: npt.NDArray[np.float64] = torch.cat(embedded).double().numpy()
    return found
