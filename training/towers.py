"""Two encoders that learn to agree: texts and pictures of one thing get one place."""

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.two_sided import TwoSided
from index.gallery import Embeddings
from index.roster import Score
from models_store.preparation import Windows, preparation, together
from models_store.sample import Degenerate, SampleLimits
from training.augmentation import augment
from training.captions import Captioned
from training.losses import WeightedLosses
from training.networks import Towers, embed, untrained
from training.recipe import Captions, Other, Recipe, Wording
from training.sampling import BalancedBatches, Rows
from training.shapes import WordsNetwork
from training.tasks import Task
from training.word_vectors import read_word_vectors


class TwoSidedLoss(nn.Module):
    """The loss of the embeddings that two encoders make of the same things."""

    def __init__(self, towers: Towers, loss: nn.Module, of_a: int) -> None:
        super().__init__()
        self.towers = towers
        self.loss = loss
        self._of_a = of_a

    def forward(self, label: Tensor, *inputs: Tensor) -> Tensor:
        """Return the loss () of labels (n,), and what a takes and then b takes of n samples."""
        a = self.towers.a(*inputs[: self._of_a])
        b = self.towers.b(*inputs[self._of_a :])
        loss: Tensor = self.loss(a, label, b)
        return loss


def two_sided(recipe: Recipe) -> tuple[Other, Captions]:
    """Return the parts of a recipe that only one of two encoders has; raise ValueError."""
    if recipe.b is None or recipe.captions is None:
        raise ValueError(f"{recipe.name} has one encoder: expected `b` and `captions`")
    return recipe.b, recipe.captions


def captioned_task(recipe: Recipe, things: Captioned, rank: int = 0) -> Task:
    """Return the task of finding a thing's picture by what is said of it, and the other way.

    The sampler's row r is thing r % n as it is drawn in its r // n-th picture.
    """
    other, _ = two_sided(recipe)
    n, drawn = len(things), len(things.pictures[0])
    labels = np.tile(np.arange(n), drawn)
    batches = BalancedBatches(
        labels,
        np.tile(np.unique(things.groups, return_inverse=True)[1], drawn),
        labels_per_batch=recipe.batches.labels,
        samples_per_label=recipe.batches.samples,
        kin=recipe.batches.kin,
        seed=recipe.seed + 1_000_003 * rank,
    )
    towers = as_towers(untrained(recipe))
    prepare = text_preparation(recipe)
    pictures = torch.from_numpy(
        np.stack([one[style][0] for style in range(drawn) for one in things.pictures])
    )  # (drawn * n, c, h, w)

    def said(texts: tuple[str, ...], keywords: tuple[str, ...], chance: random.Random) -> Windows:
        try:
            return prepare(worded(texts, keywords, recipe.wording, chance).encode())
        except Degenerate:  # a sign that the tokenizer does not know, and nothing else
            return prepare(texts[0].encode())

    def feed(rows: Rows) -> tuple[Tensor, ...]:
        chance = random.Random(int(torch.randint(2**62, ())))  # noqa: S311 - no secret
        windows = [
            chance.choice(said(things.texts[i], things.keywords[i], chance))
            for i in labels[rows].tolist()
        ]
        upright = torch.zeros(len(rows), dtype=torch.long)
        moved = augment(
            pictures[torch.from_numpy(rows)],
            upright,
            recipe.augmentation,
            recipe.label_augmentation,
            recipe.batches.samples,
        )
        return (
            torch.from_numpy(labels[rows]),
            *(torch.from_numpy(each) for each in together(recipe.input, windows).values()),
            moved.contiguous(memory_format=torch.channels_last),
        )

    of_a = len(together(recipe.input, prepare(things.texts[0][0].encode())))
    loss = WeightedLosses(recipe.losses, n, other.network.dimension)
    return Task(towers, TwoSidedLoss(towers, loss, of_a), batches, feed)


def worded(
    texts: tuple[str, ...], keywords: tuple[str, ...], how: Wording, chance: random.Random
) -> str:
    """Return something that could be said of a thing."""
    text, kind = chance.choice(texts), chance.random()
    if keywords and kind < how.keywords + how.more:
        only = kind < how.keywords
        some = chance.sample(keywords, min(len(keywords), chance.randint(1, 6 if only else 3)))
        text = " ".join(some if only else [text, *some])
    words = text.split()
    if len(words) > 1 and chance.random() < how.dropped:
        words.pop(chance.randrange(len(words)))
    return " ".join(words)


def text_preparation(recipe: Recipe) -> Callable[[bytes], Windows]:
    """Return what turns a text's bytes into the input of side a."""
    return preparation(recipe.input, SampleLimits(), lambda _: tokenizer_of(recipe))


def tokenizer_of(recipe: Recipe) -> bytes:
    """Return the `tokenizer.json` of side a; raise ValueError if its network has none."""
    if not isinstance(recipe.network, WordsNetwork):
        raise ValueError(f"a network of kind {recipe.network.kind} brings no tokenizer")  # noqa: TRY004 - of the recipe
    return read_word_vectors(recipe.network.vectors).tokenizer


def embed_both(
    recipe: Recipe,
    things: Captioned,
    a: Callable[[list[str]], Embeddings],
    b: Callable[[list[Windows]], Embeddings],
    score: Score = np.negative,
) -> TwoSided:
    """Return what a makes of all texts, and b of all pictures, of these things."""
    _, asked = two_sided(recipe)
    return TwoSided.of(
        a([text for texts in things.texts for text in texts]),
        b([picture for pictures in things.pictures for picture in pictures]),
        asked.texts,
        asked.styles,
        score,
    )


def embed_by(towers: nn.Module, recipe: Recipe, things: Captioned) -> TwoSided:
    """Return what the two encoders of a fit make of these things."""
    other, _ = two_sided(recipe)
    both, prepare = as_towers(towers), text_preparation(recipe)
    return embed_both(
        recipe,
        things,
        lambda texts: embed(both.a, [prepare(text.encode()) for text in texts], recipe.input),
        lambda pictures: embed(both.b, pictures, other.input),
    )


def as_towers(encoder: nn.Module) -> Towers:
    """Return the two encoders that this is, or raise ValueError where it is one."""
    if not isinstance(encoder, Towers):
        raise ValueError("expected two encoders, got one")  # noqa: TRY004 - the recipe's value
    return encoder
