"""Losses by name, as a recipe asks for them."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning import reducers as pml_reducers
from torch import Tensor, nn

from models_store.manifest import Distance
from training.ge2e import GE2E
from training.heads import ElementwiseHead, Folded, SigmoidHead
from training.info_nce import InfoNCE
from training.mining import PAIRS, TRIPLETS, candidates
from training.recipe import Loss


class WeightedLosses(nn.Module):
    """The weighted sum of a recipe's losses over embeddings (n, d) and labels (n,)."""

    def __init__(self, wanted: tuple[Loss, ...], labels: int, dimension: int) -> None:
        super().__init__()
        self.weights = [loss.weight for loss in wanted]
        self.terms = nn.ModuleList(_build(loss, labels, dimension) for loss in wanted)

    def forward(self, embeddings: Tensor, labels: Tensor, others: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        `others` (n, d) are the same rows as the other of two encoders embeds them. InfoNCE
        compares the two sides; to any other loss they are further samples of their labels.
        """
        terms = [
            weight * _lost(term, embeddings, labels, others)
            for weight, term in zip(self.weights, self.terms, strict=True)
        ]
        return torch.stack(terms).sum()

    @property
    def active(self) -> float | None:
        """The share of the last batch's triplets, or impostor pairs, that still cost anything.

        Of the first loss that has a margin; None where none has.
        """
        terms = (term for term in self.terms if isinstance(term, Triplet | Contrastive))
        return next((float(term.get_buffer("active")) for term in terms), None)

    def folded(self, encoder: nn.Module) -> nn.Module:
        """Return the encoder with a learnt element-wise head folded in, or itself without one."""
        heads = [term for term in self.terms if isinstance(term, ElementwiseHead)]
        return Folded(encoder, heads[0]) if heads else encoder


class Triplet(nn.Module):
    """relu(d(anchor, positive) - d(anchor, negative) + margin) over the triplets selected.

    The mean of those that cost something, so that what is learnt already does not drown them.
    `active` is the share of *all* triplets of the last batch that cost something, whichever were
    selected: it falls as the fit goes on, and compares selections.
    """

    def __init__(self, select: str, distance: Distance = "l2", margin: float = 0.3) -> None:
        super().__init__()
        self.select = TRIPLETS[select]
        self.distance = distance
        self.loss = pml.TripletMarginLoss(margin=margin, distance=_distance(distance))
        self.register_buffer("active", torch.ones(()))  # a checkpoint has it

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of embeddings (n, d) and labels (n,)."""
        with torch.no_grad():
            found = candidates(self.loss.distance(embeddings), labels, self.loss.margin)
            selected = self.select(found)
        self.get_buffer("active").copy_(found.active)
        loss: Tensor = self.loss(embeddings, labels, selected)
        return loss


class Contrastive(nn.Module):
    """½ d² of genuine pairs, ½ relu(margin - d)² of impostor pairs: the sum of the two means.

    Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, 2006. `contrastive`
    takes every pair of a batch; the others select impostors. `active` is the share of *all*
    impostor pairs of the last batch that are nearer than the margin.
    """

    def __init__(self, select: str, distance: Distance = "l2", margin: float = 1.0) -> None:
        super().__init__()
        self.select = PAIRS.get(select)
        self.distance = distance
        self.loss = _SquaredContrastive(
            neg_margin=margin, distance=_distance(distance), reducer=pml_reducers.MeanReducer()
        )
        self.register_buffer("active", torch.ones(()))  # a checkpoint has it

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of embeddings (n, d) and labels (n,)."""
        with torch.no_grad():
            far = self.loss.distance(embeddings)
            selected = self.select(far, labels) if self.select else None
            impostors = far[labels[:, None] != labels]
            near = (impostors < self.loss.neg_margin).sum()
        self.get_buffer("active").copy_(near / max(1, len(impostors)))
        loss: Tensor = self.loss(embeddings, labels, selected)
        return loss


class _SquaredContrastive(pml.ContrastiveLoss):  # type: ignore[misc]
    def get_per_pair_loss(self, pair_dists: Tensor, pos_or_neg: str) -> Tensor:
        linear: Tensor = super().get_per_pair_loss(pair_dists, pos_or_neg)
        return linear.square() / 2


class _CosineDistance(pml_distances.BaseDistance):  # type: ignore[misc]
    """1 - cosine: as the index has it, and a distance like the others to what has a margin."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return 1 - query_emb @ ref_emb.T


def _distance(name: Distance) -> nn.Module:
    if name == "cosine":
        return _CosineDistance()
    return pml_distances.LpDistance(normalize_embeddings=False, p={"l1": 1, "l2": 2}[name])  # type: ignore[no-any-return]


def _cosine_embedding(margin: float = 0.0) -> nn.Module:
    """Return 1 - cosine of genuine pairs, relu(cosine - margin) of impostor pairs, two means."""
    return pml.ContrastiveLoss(  # type: ignore[no-any-return]
        pos_margin=1,
        neg_margin=margin,
        distance=pml_distances.CosineSimilarity(),
        reducer=pml_reducers.MeanReducer(),
    )


_OF_PAIRS: dict[str, Callable[..., nn.Module]] = {
    "cosine-embedding": _cosine_embedding,
    "multi-similarity": pml.MultiSimilarityLoss,
    "supcon": pml.SupConLoss,
    "ge2e-softmax": lambda **parameters: GE2E("softmax", **parameters),
    "ge2e-contrast": lambda **parameters: GE2E("contrast", **parameters),
    "info-nce": InfoNCE,
}
_PROXIES: dict[str, Callable[..., nn.Module]] = {  # these learn one or more vectors per label
    "softmax-classifier": pml.NormalizedSoftmaxLoss,
    "cosface": pml.CosFaceLoss,
    "subcenter-arcface": pml.SubCenterArcFaceLoss,
    "proxy-anchor": pml.ProxyAnchorLoss,
}
_HEADS: dict[str, Callable[..., nn.Module]] = {
    "bce": SigmoidHead,
    "bce-elementwise": ElementwiseHead,
}


def _build(loss: Loss, labels: int, dimension: int) -> nn.Module:
    given: dict[str, Any] = dict(loss.parameters)
    if loss.works_on:
        given["distance"] = loss.works_on
    if loss.kind in TRIPLETS:
        return Triplet(loss.kind, **given)
    if loss.kind in ("contrastive", *PAIRS):
        return Contrastive(loss.kind, **given)
    if loss.kind in _HEADS:
        return _HEADS[loss.kind](dimension, **given)
    if loss.kind in _PROXIES:
        return _PROXIES[loss.kind](num_classes=labels, embedding_size=dimension, **given)
    if loss.kind not in _OF_PAIRS:
        raise ValueError(f"{loss.kind} is no loss of labels")
    return _OF_PAIRS[loss.kind](**given)


def _lost(term: nn.Module, embeddings: Tensor, labels: Tensor, others: Tensor | None) -> Tensor:
    if isinstance(term, InfoNCE):
        if others is None:
            raise ValueError("info-nce compares two encoders' embeddings, and there is one")
        loss: Tensor = term(embeddings, others, labels)
    elif others is None:
        loss = term(embeddings, labels)
    else:
        loss = term(torch.cat([embeddings, others]), torch.cat([labels, labels]))
    return loss
