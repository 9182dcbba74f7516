"""Generalised end-to-end loss: each sample against the centroids of its batch's labels."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.heads import Positive


class GE2E(nn.Module):
    """Wan et al., Generalized End-to-End Loss for Speaker Verification, ICASSP 2018.

    `softmax` is their equation 6, `contrast` their equation 7; both are means over the samples,
    where they sum. Similarity is w · cosine + b (equation 5), and w stays above zero. A sample is
    left out of the centroid of its own label (equation 9), so one that is alone has none to be
    near to, and is only a centroid to the others.
    """

    def __init__(
        self, kind: Literal["softmax", "contrast"], weight: float = 10.0, bias: float = -5.0
    ) -> None:
        super().__init__()
        self.kind = kind
        self.weight = Positive(torch.tensor(weight))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of embeddings (n, d) and labels (n,)."""
        names, own = torch.unique(labels, return_inverse=True)
        similar = self.weight() * _to_centroids(embeddings, own, len(names)) + self.bias  # (n, P)
        accompanied = torch.bincount(own)[own] > 1
        similar, own = similar[accompanied], own[accompanied]
        if self.kind == "softmax":
            each = functional.cross_entropy(similar, own, reduction="none")
        else:
            each = _contrast(similar.sigmoid(), own)
        return each.sum() / max(1, len(each))


def _to_centroids(embeddings: Tensor, own: Tensor, labels: int) -> Tensor:
    """Return the cosine (n, P) of every sample and every centroid, its own without itself."""
    member = functional.one_hot(own, labels).to(embeddings.dtype)  # (n, P)
    sums, counts = member.T @ embeddings, member.sum(0)  # (P, d), (P,)
    unit = functional.normalize(embeddings, dim=1)
    cosine = unit @ functional.normalize(sums / counts[:, None], dim=1).T
    others = (sums[own] - embeddings) / (counts[own] - 1).clamp(min=1)[:, None]  # (n, d)
    exclusive = (unit * functional.normalize(others, dim=1)).sum(1, keepdim=True)
    return torch.where(member.bool(), exclusive, cosine)


def _contrast(score: Tensor, own: Tensor) -> Tensor:
    """Return 1 - the score of the own centroid + the best score of another, (n,)."""
    mine = functional.one_hot(own, score.shape[1]).bool()
    others = score.masked_fill(mine, 0)  # a score is above 0, and there may be no other
    return 1 - score[mine] + others.amax(1)
