"""What a fit works on: batches, what the encoder is given of them, and their loss."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models_store.manifest import AudioInput, ImageInput
from models_store.preparation import Windows, together
from training.audio_augmentation import sound_feed
from training.augmentation import augment
from training.composition import compose
from training.datasets import LabelledSamples
from training.losses import WeightedLosses
from training.networks import untrained
from training.recipe import Recipe
from training.sampling import BalancedBatches, Rows


class Batches(Protocol):
    """Which rows a fit sees together; the same epoch always gives the same."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Rows]:
        """Yield the rows of each batch."""


@dataclass(frozen=True, slots=True)
class Task:
    """An encoder to be fitted: `objective(*feed(rows))` is its loss on a batch, a scalar.

    The objective holds the encoder; what else it holds, such as proxies, is left behind, but for
    what is `folded` into the encoder. `active` tells what share of the last batch's triplets or
    pairs still cost anything.
    """

    encoder: nn.Module
    objective: nn.Module
    batches: Batches
    feed: Callable[[Rows], tuple[Tensor, ...]]
    active: Callable[[], float | None] = lambda: None
    folded: Callable[[nn.Module], nn.Module] = lambda encoder: encoder


class LabelLoss(nn.Module):
    """The loss of an encoder's embeddings of labelled samples."""

    def __init__(self, encoder: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.loss = loss

    def forward(self, label: Tensor, *inputs: Tensor) -> Tensor:
        """Return the loss () of labels (n,) and what the encoder takes of n samples."""
        loss: Tensor = self.loss(self.encoder(*inputs), label)
        return loss


def labelled_task(recipe: Recipe, samples: LabelledSamples, rank: int = 0) -> Task:
    """Return the task of telling identities apart; processes of other rank see other batches."""
    pictures = isinstance(recipe.input, ImageInput)
    turns = 4 if pictures and recipe.batches.quarter_turns else len(recipe.sound.speeds)
    identities = len(samples.identities)
    # Of n samples, the sampler's row r is sample r % n in its r // n-th quarter turn, and each
    # turn of an identity is a label of its own: a letter on its side is another character. Of
    # sounds it is the speed, and somebody who speaks faster and higher is somebody else.
    labels = np.concatenate([samples.labels + turn * identities for turn in range(turns)])
    groups = np.concatenate(
        [samples.groups + turn * len(samples.group_names) for turn in range(turns)]
    )
    batches = BalancedBatches(
        labels,
        groups,
        labels_per_batch=recipe.batches.labels,
        samples_per_label=recipe.batches.samples,
        kin=recipe.batches.kin,
        seed=recipe.seed + 1_000_003 * rank,
    )
    encoder = untrained(recipe)
    loss = WeightedLosses(recipe.losses, turns * identities, recipe.network.dimension)
    objective = LabelLoss(encoder, loss)
    if pictures:
        feed = _picture_feed(recipe, samples.inputs, labels)
    else:
        inputs = _inputs(recipe, samples.inputs, samples.labels)

        def feed(rows: Rows) -> tuple[Tensor, ...]:
            return torch.from_numpy(labels[rows]), *inputs(rows)

    return Task(encoder, objective, batches, feed, lambda: loss.active, loss.folded)


def _picture_feed(
    recipe: Recipe, samples: Sequence[Windows], labels: Rows
) -> Callable[[Rows], tuple[Tensor, ...]]:
    """Return what gives labels and pictures for rows of a batch, composed and moved at random."""
    pixels = torch.from_numpy(np.stack([image for (image,) in samples]))  # (n, c, h, w)
    n, each_label = len(pixels), recipe.batches.samples

    def feed(rows: Rows) -> tuple[Tensor, ...]:
        picked = torch.from_numpy(rows)
        images, turns, of = compose(
            pixels[picked % n],
            picked // n,
            torch.from_numpy(labels[rows]),
            each_label,
            recipe.composition,
        )
        moved = augment(images, turns, recipe.augmentation, recipe.label_augmentation, each_label)
        return of, moved.contiguous(memory_format=torch.channels_last)

    return feed


def _inputs(
    recipe: Recipe, samples: Sequence[Windows], labels: Rows
) -> Callable[[Rows], tuple[Tensor, ...]]:
    """Return what gives the encoder's inputs of sound or text for rows of a batch."""
    spec = recipe.input
    if isinstance(spec, AudioInput):
        return sound_feed(samples, labels, spec, recipe.sound)

    def windows(rows: Rows) -> tuple[Tensor, ...]:
        chosen = [samples[row][int(torch.randint(len(samples[row]), ()))] for row in rows]
        return tuple(torch.from_numpy(values) for values in together(spec, chosen).values())

    return windows
