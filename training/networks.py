"""Encoders: samples in, embeddings of norm 1 out."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from index.gallery import Embeddings
from models_store.manifest import AudioInput, ImageInput, Input, TextInput
from models_store.preparation import Windows, embed_windows, together
from training.audio_networks import CnnLstmEncoder, RawWaveEncoder, TdnnEncoder
from training.recipe import Recipe
from training.shapes import (
    BertLstmNetwork,
    CnnLstmNetwork,
    Network,
    RawWaveNetwork,
    ResidualNetwork,
    TdnnNetwork,
    TextNetwork,
    WordsNetwork,
)
from training.text_networks import BertLstmEncoder, TextEncoder
from training.word_vectors import WordsEncoder, read_word_vectors


class ResidualEncoder(nn.Module):
    """A small residual net: (n, c, h, w) -> (n, d), rows of norm 1 where they are normalised.

    The last feature map is flattened, not pooled: where a stroke lies tells characters apart.
    """

    def __init__(self, shape: tuple[int, int, int], network: ResidualNetwork) -> None:
        super().__init__()
        channels, height, width = shape
        self.stem = nn.Sequential(
            nn.Conv2d(channels, network.stem, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(network.stem),
            nn.ReLU(inplace=True),
        )
        ins = (network.stem, *network.widths)
        self.blocks = nn.Sequential(
            *(_Block(a, b) for a, b in zip(ins, network.widths, strict=False))
        )
        for _ in range(1 + len(network.widths)):
            height, width = -(-height // 2), -(-width // 2)
        self.dropout = nn.Dropout(network.dropout)
        self.project = nn.Linear(network.widths[-1] * height * width, network.dimension)
        # Centred before they are normalised: else all first embeddings point the same way, and
        # a fit spends its first epochs on nothing else.
        self.centre = nn.BatchNorm1d(network.dimension, affine=False)
        self.normalised = network.normalised

    def forward(self, image: Tensor) -> Tensor:
        """Return the embeddings (n, d) of inputs (n, c, h, w)."""
        maps = self.blocks(self.stem(image))  # (n, c, h, w) -> (n, width, h', w')
        embedding: Tensor = self.project(self.dropout(maps.flatten(1)))  # -> (n, d)
        if not self.normalised:
            return embedding
        return functional.normalize(self.centre(embedding), dim=1)


class AveragedViews(nn.Module):
    """The mean of an encoder's embeddings of a picture shown at several sizes.

    How large somebody writes is chance; what several sizes agree on is the character. It is part
    of the exported graph, and costs one run of the encoder for each view. Sizes are shares of
    the picture that a view shows: beyond 1 the drawing shrinks into a margin.
    """

    def __init__(
        self, encoder: nn.Module, shape: tuple[int, int, int], sizes: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.encoder = encoder
        moves = torch.tensor([[[size, 0, 0], [0, size, 0]] for size in sizes])
        grids = functional.affine_grid(moves, [len(sizes), *shape], align_corners=False)
        self.register_buffer("grids", grids)  # (views, h, w, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Return the embeddings (n, d) of inputs (n, c, h, w)."""
        views = [
            self.encoder(
                functional.grid_sample(
                    image, grid.expand(image.shape[0], -1, -1, -1), align_corners=False
                )
            )
            for grid in torch.split(self.get_buffer("grids"), 1)
        ]
        return functional.normalize(torch.stack(views).mean(0), dim=1)


class _Block(nn.Module):
    """Two 3×3 convolutions that halve the picture, around an averaging shortcut."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(ins, outs, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outs)
        self.second = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outs)
        self.shortcut = nn.Conv2d(ins, outs, 1, stride=2, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(outs)

    def forward(self, maps: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(maps)))
        inner = self.second_norm(self.second(inner))
        return torch.relu(inner + self.shortcut_norm(self.shortcut(maps)))


class Towers(nn.Module):
    """Two encoders of one comparator: side a of a pair goes through the one, b through the other.

    A siamese comparator has the same on both sides, which is to say one.
    """

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.a = a
        self.b = b


def untrained(recipe: Recipe) -> nn.Module:
    """Return the recipe's encoder, or its two, with first weights, which its seed decides."""
    torch.manual_seed(recipe.seed)
    encoder = build(recipe.network, recipe.input)
    if recipe.b is not None:
        encoder = Towers(encoder, build(recipe.b.network, recipe.b.input))
    for weight in encoder.parameters():
        if weight.ndim == 4:  # 1.3 to 1.5 × faster on a CPU
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return encoder


def build(network: Network, spec: Input) -> nn.Module:
    """Return a network for inputs as `spec` describes; raise ValueError if they do not fit."""
    match network, spec:
        case ResidualNetwork(), ImageInput():
            return ResidualEncoder(spec.shape, network)
        case TextNetwork(), TextInput():
            return TextEncoder(network)
        case BertLstmNetwork(), TextInput():
            return BertLstmEncoder(network)
        case WordsNetwork(), TextInput():
            return WordsEncoder(network, read_word_vectors(network.vectors))
        case TdnnNetwork(), AudioInput():
            return TdnnEncoder(spec.sample_rate, network)
        case CnnLstmNetwork(), AudioInput():
            return CnnLstmEncoder(spec.sample_rate, network)
        case RawWaveNetwork(), AudioInput():
            return RawWaveEncoder(network)
    raise ValueError(f"a network of kind {network.kind} takes no {spec.kind}")


def embed(
    encoder: nn.Module,
    inputs: Sequence[Windows],
    spec: Input,
    at_once: int = 256,
    *,
    normalised: bool = True,
) -> Embeddings:
    """Return the embeddings (n, d) of n prepared samples, in inference mode.

    Those of several windows are means, of norm 1 again where the encoder is `normalised`.
    """

    def run(windows: list[npt.NDArray[Any]]) -> Embeddings:
        given = (torch.from_numpy(values) for values in together(spec, windows).values())
        embeddings: Embeddings = encoder(*given).float().numpy()
        return embeddings

    encoder.eval()
    with torch.inference_mode():
        return embed_windows(
            inputs, run, most=at_once, lengths_may_differ=True, normalised=normalised
        )
