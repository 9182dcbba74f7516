"""Learning from pairs of texts that people judged, by degrees or as same and different."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models_store.preparation import Windows, preparation, together
from models_store.sample import SampleLimits
from training.networks import embed, untrained
from training.recipe import JudgedPairs, Recipe
from training.sampling import Rows
from training.shapes import BertLstmNetwork, TextNetwork
from training.tasks import Task
from training.text_checkpoint import checkpoint_folder
from training.text_networks import TextEncoder, train_tokenizer
from training.text_pairs import TextPairs, read_text_pairs, spearman
from training.text_pairs import together as joined

SPEARMAN = "spearman"


class CoSent(nn.Module):
    """`log(1 + Σ exp(scale · (cos_i - cos_j)))` over all pairs i that people scored below pair j.

    Su, CoSENT, 2022 (https://kexue.fm/archives/8847): it asks for an order, as Spearman's
    correlation does, not for a cosine.
    """

    def __init__(self, scale: float = 20.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, cosines: Tensor, scores: Tensor) -> Tensor:
        """Return the loss () of the cosines (n,) and people's scores (n,) of n pairs."""
        apart = self.scale * (cosines[:, None] - cosines)  # (n, n)
        wrong = apart.masked_fill(scores[:, None] >= scores, -torch.inf).flatten()
        loss: Tensor = torch.cat([wrong, wrong.new_zeros(1)]).logsumexp(0)
        return loss


class PairLoss(nn.Module):
    """The loss of the cosines of an encoder's embeddings of both sides of judged pairs."""

    def __init__(self, encoder: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.loss = loss

    def forward(self, scores: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the loss () of scores (n,); rows 0 to n are sides a, rows n to 2n sides b."""
        a, b = self.encoder(input_ids, attention_mask).chunk(2)
        loss: Tensor = self.loss((a * b).sum(1), scores)
        return loss


@dataclass(frozen=True, slots=True)
class ShuffledRows:
    """Batches of `size` of n rows: in an epoch each once, short of a batch, in a new order."""

    rows: int
    size: int
    seed: int

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.rows // self.size

    def epoch(self, number: int) -> Iterator[Rows]:
        """Yield the rows (size,) of each batch; the same seed and epoch give the same."""
        order = np.random.default_rng((self.seed, number)).permutation(self.rows)
        yield from order[: len(self) * self.size].reshape(-1, self.size)


def judged_pairs(recipe: Recipe) -> JudgedPairs:
    """Return where a recipe's judged pairs lie; raise ValueError if it has none."""
    if recipe.data.pairs is None:
        raise ValueError(f"{recipe.name} learns from no judged pairs")
    return recipe.data.pairs


def read_split(recipe: Recipe, root: Path, split: str) -> TextPairs:
    """Return the judged pairs of a split, those left out that are in `val` too.

    Scores of each table are brought to 0 (its lowest) to 1 (its highest).
    """
    given = judged_pairs(recipe)
    tables = [read_text_pairs(root / table) for table in getattr(given, split)]
    pairs = joined([table.scaled() for table in tables])
    return pairs if split == "val" else pairs.without(read_split(recipe, root, "val"))


def tokenizer_of(recipe: Recipe, root: Path) -> bytes:
    """Return the recipe's `tokenizer.json`: trained on its training texts, or its checkpoint's."""
    match recipe.network:
        case TextNetwork(vocabulary=vocabulary):
            return train_tokenizer(read_split(recipe, root, "train").texts, vocabulary)
        case BertLstmNetwork(checkpoint=checkpoint):
            return (checkpoint_folder(checkpoint) / "tokenizer.json").read_bytes()
    raise ValueError(f"a network of kind {recipe.network.kind} takes no text")


def prepared(recipe: Recipe, root: Path, texts: Sequence[str]) -> list[Windows]:
    """Return texts as the recipe's encoder is given them."""
    tokenizer = tokenizer_of(recipe, root)
    prepare = preparation(recipe.input, SampleLimits(), lambda _: tokenizer)
    return [prepare(text.encode()) for text in texts]


def judged_task(recipe: Recipe, root: Path, rank: int = 0) -> Task:
    """Return the task of ordering pairs of texts as people do."""
    pairs = read_split(recipe, root, "train")
    inputs = prepared(recipe, root, pairs.texts)
    scores = torch.from_numpy(pairs.scores).float()
    size = recipe.batches.labels * recipe.batches.samples
    batches = ShuffledRows(len(pairs), size, recipe.seed + 1_000_003 * rank)
    encoder = untrained(recipe)
    if isinstance(encoder, TextEncoder):
        encoder.weigh([windows[0] for windows in inputs])

    def feed(rows: Rows) -> tuple[Tensor, ...]:
        texts = np.concatenate([pairs.a[rows], pairs.b[rows]])
        windows = [inputs[text][0] for text in texts]
        given = (torch.from_numpy(values) for values in together(recipe.input, windows).values())
        return scores[rows], *given

    (loss,) = recipe.losses
    return Task(encoder, PairLoss(encoder, CoSent(**loss.parameters)), batches, feed)


class PairWatch:
    """Measures an encoder on judged pairs held out."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self._pairs = read_split(recipe, root, "val")
        self._inputs = prepared(recipe, root, self._pairs.texts)
        self._spec = recipe.input

    def validate(self, encoder: nn.Module) -> dict[str, float]:
        """Return Spearman's correlation of cosines with people's scores."""
        found = embed(encoder, self._inputs, self._spec)
        cosines = (found[self._pairs.a] * found[self._pairs.b]).sum(axis=1)
        return {SPEARMAN: float(spearman(cosines, self._pairs.scores))}

    def draw(self, history: Sequence[dict[str, float]]) -> None:
        """Draw nothing: the history says it all."""
