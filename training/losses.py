"""Losses by name, as a recipe asks for them; all come from pytorch-metric-learning."""

from collections.abc import Callable

import torch
from pytorch_metric_learning import losses as pml
from torch import Tensor, nn

from training.recipe import Loss

_PAIRWISE: dict[str, Callable[..., nn.Module]] = {
    "multi-similarity": pml.MultiSimilarityLoss,
    "supcon": pml.SupConLoss,
}
_PROXIES: dict[str, Callable[..., nn.Module]] = {  # these learn one or more vectors per label
    "cosface": pml.CosFaceLoss,
    "subcenter-arcface": pml.SubCenterArcFaceLoss,
    "proxy-anchor": pml.ProxyAnchorLoss,
}


class WeightedLosses(nn.Module):
    """The weighted sum of a recipe's losses over embeddings (n, d) and labels (n,)."""

    def __init__(self, wanted: tuple[Loss, ...], labels: int, dimension: int) -> None:
        super().__init__()
        self.weights = [loss.weight for loss in wanted]
        self.terms = nn.ModuleList(_build(loss, labels, dimension) for loss in wanted)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        terms = [
            w * term(embeddings, labels) for w, term in zip(self.weights, self.terms, strict=True)
        ]
        return torch.stack(terms).sum()


def _build(loss: Loss, labels: int, dimension: int) -> nn.Module:
    if loss.kind in _PAIRWISE:
        return _PAIRWISE[loss.kind](**loss.parameters)
    return _PROXIES[loss.kind](labels, dimension, **loss.parameters)
