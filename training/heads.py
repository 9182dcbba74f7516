"""Sigmoid heads, trained with the encoder: how far two embeddings are, told as a score."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models_store.manifest import Distance

UNDECIDED = 5.0
"""The bias that a head begins with: the logit of two equal embeddings."""


class Positive(nn.Module):
    """A parameter that stays above zero however it is moved: the softplus of a free one."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.free = nn.Parameter(start + torch.log(-torch.expm1(-start)))  # softplus, inverted

    def forward(self) -> Tensor:
        """Return the parameter, in the shape of its start."""
        return functional.softplus(self.free)


class SigmoidHead(nn.Module):
    """Cross-entropy of `sigmoid(bias - weight · distance)` over all pairs of a batch.

    All genuine pairs together weigh as much as all impostor pairs together, so that a score of
    .5 is undecided at even odds, whatever the batch. The order of scores is the order of
    distances, because the weight stays positive.
    """

    def __init__(self, dimension: int, distance: Distance = "l2") -> None:
        super().__init__()
        self.distance: Distance = distance
        self.weight = Positive(torch.tensor(UNDECIDED / _at_sixty_degrees(distance, dimension)))
        self.bias = nn.Parameter(torch.tensor(UNDECIDED))

    def logits(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the log-odds (n, m) that each of a (n, d) is the same as each of b (m, d)."""
        logits: Tensor = self.bias - self.weight() * _distances(a, b, self.distance)
        return logits

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of embeddings (n, d) and labels (n,)."""
        return _cross_entropy(self.logits(embeddings, embeddings), labels)


class ElementwiseHead(nn.Module):
    """As SigmoidHead, with a weight for each dimension: `sigmoid(bias - Σ w |x - y|)`.

    With `l2` it is `sigmoid(bias - Σ w (x - y)²)`. The weights stay positive, so they can be
    folded into stored vectors: the distance of two folded vectors, l1 or squared l2, is the
    head's sum, and an index that knows nothing of the head ranks as it does.
    """

    def __init__(self, dimension: int, distance: Literal["l1", "l2"] = "l1") -> None:
        super().__init__()
        self.distance: Literal["l1", "l2"] = distance
        start = UNDECIDED / _at_sixty_degrees(distance, dimension)
        self.weights = Positive(torch.full((dimension,), start))
        self.bias = nn.Parameter(torch.tensor(UNDECIDED))

    def fold(self, embeddings: Tensor) -> Tensor:
        """Return w·x for l1 and √w·x for squared l2: what is stored and searched, (n, d)."""
        weights: Tensor = self.weights()
        return embeddings * (weights if self.distance == "l1" else weights.sqrt())

    def logits(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the log-odds (n, m) that each of a (n, d) is the same as each of b (m, d)."""
        far = _distances(self.fold(a), self.fold(b), self.distance)
        return self.bias - (far if self.distance == "l1" else far.square())

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of embeddings (n, d) and labels (n,)."""
        return _cross_entropy(self.logits(embeddings, embeddings), labels)


class Folded(nn.Module):
    """An encoder whose embeddings an element-wise head has been folded into: no longer of norm 1.

    What is exported of it has the head's distance, and is not normalised.
    """

    def __init__(self, encoder: nn.Module, head: ElementwiseHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("scale", head.fold(torch.ones_like(head.weights.free)).detach())

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the folded embeddings (n, d)."""
        embeddings: Tensor = self.encoder(*inputs)
        return embeddings * self.get_buffer("scale")


def _distances(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    """Return all distances (n, m), exact where two vectors are equal; the slope there is zero."""
    if distance == "cosine":
        return 1 - functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    p = 1.0 if distance == "l1" else 2.0
    return torch.cdist(a, b, p, compute_mode="donot_use_mm_for_euclid_dist")


def _at_sixty_degrees(distance: Distance, dimension: int) -> float:
    """Return how far unit vectors 60° apart are: halfway from equal to unrelated, by cosine."""
    l1 = math.sqrt(2 * dimension / math.pi)  # on the average: |x| of a normal x is √(2/π)
    return {"cosine": 0.5, "l2": 1.0, "l1": l1}[distance]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over genuine pairs and the mean over impostor pairs, averaged."""
    same = labels[:, None] == labels
    once = torch.ones_like(same).triu(1)
    each = functional.softplus(torch.where(same, -logits, logits))
    kinds = (once & same, once & ~same)
    return torch.stack([each[kind].sum() / kind.sum().clamp(min=1) for kind in kinds]).mean()
