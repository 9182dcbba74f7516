"""InfoNCE: two towers, each finding among all of the other's what belongs to it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST_SCALE = 100.0


class InfoNCE(nn.Module):
    """Symmetric cross-entropy over the cosines of two towers' embeddings, with a learnt scale.

    van den Oord et al., Contrastive Predictive Coding, 2018; symmetric, and with the scale kept
    to at most 100, as Radford et al. (CLIP, 2021) have it. Samples that share a label belong
    together too, each by an equal part: two drawings of one thing are not told to differ.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by, at most 100."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def forward(self, a: Tensor, b: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar: row i of a (n, d) belongs to row i of b (n, d)."""
        cosine = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
        logits = self.scale * cosine  # (n, n)
        if labels is None:
            labels = torch.arange(len(a), device=a.device)
        together = (labels[:, None] == labels).to(logits.dtype)
        target = together / together.sum(1, keepdim=True)  # symmetric in what is together
        return (
            functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
        ) / 2
