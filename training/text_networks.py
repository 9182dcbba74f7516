"""Encoders of text, and the tokenizer that one begins with."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

from training.shapes import BertLstmNetwork, TextNetwork
from training.text_checkpoint import checkpoint_folder, read_states, weighted_mean

PADDING = "[PAD]"

SHARPNESS = 1.5
"""Of the first weights of tokens; chosen on STS-B dev, where 1 and 2 do worse."""


def train_tokenizer(texts: Iterable[str], vocabulary: int, *, lowercase: bool = True) -> bytes:
    """Return a `tokenizer.json` of at most `vocabulary` tokens: BPE over the bytes of texts.

    Every text encodes, because every byte is a token (so `vocabulary` is at least 257); token 0
    is padding. Compatible forms of a character (NFKC), and case if `lowercase`, are one. The same
    texts give the same bytes. Sennrich et al. 2016; over bytes: Radford et al. 2019.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary <= len(alphabet):
        raise ValueError(f"a vocabulary has more than {len(alphabet)} tokens, got {vocabulary}")
    tokenizer = Tokenizer(models.BPE())
    forms = [normalizers.NFKC(), *([normalizers.Lowercase()] if lowercase else [])]
    tokenizer.normalizer = normalizers.Sequence(forms)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    content: str = tokenizer.to_str()
    return content.encode()


class TextEncoder(nn.Module):
    """A small net of text: (n, tokens) ids and mask -> (n, d), rows of norm 1.

    It begins as a random projection of the bag of tokens, which already tells texts apart by the
    words they share; what a fit adds is what each token weighs, which mean the same, and their
    neighbours. What the mask leaves out changes nothing.
    """

    def __init__(self, network: TextNetwork) -> None:
        super().__init__()
        self.tokens = nn.Embedding(network.vocabulary, network.width)
        self.weights = nn.Embedding(network.vocabulary, 1)
        nn.init.zeros_(self.weights.weight)
        self.layers = nn.ModuleList(_Neighbours(network.width) for _ in range(network.layers))
        self.dropout = nn.Dropout(network.dropout)
        self.project = nn.Linear(network.width, network.dimension, bias=False)
        nn.init.orthogonal_(self.project.weight)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings (n, d) of token ids (n, tokens), 1 in the mask where one is."""
        mask = attention_mask.unsqueeze(2).to(self.tokens.weight.dtype)  # (n, tokens, 1)
        states = self.dropout(self.tokens(input_ids)) * mask
        for layer in self.layers:
            states = layer(states, mask)
        pooled = weighted_mean(states, self.weights(input_ids).exp() * mask)
        return functional.normalize(self.project(pooled), dim=1)

    def weigh(self, texts: Sequence[npt.NDArray[np.int64]]) -> None:
        """Let each token begin to weigh by how rare it is in texts, their ids (tokens,) each.

        That is its inverse document frequency (Spärck Jones 1972), a little sharper.
        """
        found = [np.zeros(0, np.int64), *(np.unique(ids) for ids in texts)]
        counts = np.bincount(np.concatenate(found), minlength=self.tokens.num_embeddings)
        rarity = 1 + np.log((1 + len(texts)) / (1 + counts))
        self.weights.weight.data[:, 0] = torch.from_numpy(SHARPNESS * np.log(rarity)).float()


class _Neighbours(nn.Module):
    """Adds to each token what its neighbours make of it; to begin with, nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, 3, padding=1)
        self.back = nn.Linear(width, width)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        # Padding has a state of 0, as a convolution takes it that what is beyond a text's end has.
        mixed = self.mix((self.norm(states) * mask).transpose(1, 2)).transpose(1, 2)
        added: Tensor = self.back(torch.relu(mixed)) * mask
        return states + added


class BertLstmEncoder(nn.Module):
    """Token states of a checkpoint and a Bi-LSTM on them: ids and mask -> (n, d), rows of norm 1.

    The mean of the LSTM's outputs, projected (after Conneau et al. 2017, who take the maximum).
    Unless `tuned`, the checkpoint's weights stay as they are.
    """

    def __init__(self, network: BertLstmNetwork) -> None:
        super().__init__()
        self.states = read_states(checkpoint_folder(network.checkpoint))
        self.states.requires_grad_(network.tuned)
        width = self.states.width
        self.forwards = nn.LSTM(width, network.hidden, batch_first=True)
        self.backwards = nn.LSTM(width, network.hidden, batch_first=True)
        self.project = nn.Linear(2 * network.hidden, network.dimension)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings (n, d) of token ids (n, tokens), 1 in the mask where one is."""
        states = self.states(input_ids, attention_mask)
        # Turned round within its own length, a text's padding stays behind it both ways.
        there, _ = self.forwards(states)
        back, _ = self.backwards(_turned(states, attention_mask))
        outputs = torch.cat([there, _turned(back, attention_mask)], dim=2)
        pooled = weighted_mean(outputs, attention_mask.unsqueeze(2).to(outputs.dtype))
        return functional.normalize(self.project(pooled), dim=1)


def _turned(states: Tensor, mask: Tensor) -> Tensor:
    """Return states (n, tokens, width) with those of each text in reverse, by its mask."""
    place = torch.arange(states.shape[1], device=states.device)
    turned = torch.where(mask == 1, mask.sum(1, keepdim=True) - 1 - place, place)  # (n, tokens)
    return states.gather(1, turned.unsqueeze(2).expand_as(states))
