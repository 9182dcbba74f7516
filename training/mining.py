"""Which pairs and triplets of a batch a loss looks at, found without a loop."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Triplets = tuple[Tensor, Tensor, Tensor]
"""Rows of anchors, positives and negatives, (t,) each."""

PairsOfBatch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Rows of genuine pairs, (g,) and (g,), then of impostor pairs, (i,) and (i,)."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every genuine pair of a batch in both directions, and how far each anchor's negatives are.

    A triplet costs distance to the positive - distance to the negative + margin, or nothing below
    zero: a negative costs a pair something where it is nearer than the positive and the margin.
    """

    pairs: tuple[Tensor, Tensor]  # rows of anchors and of positives, (m,) each
    distances: Tensor  # (n, n)
    far: Tensor  # (n, n): the same, infinite within a label
    margin: float

    @property
    def active(self) -> Tensor:
        """The share of all triplets that cost anything, (); 0 where there is no triplet."""
        negatives = self.far[self.pairs[0]]  # (m, n)
        costly = negatives < self.distances[self.pairs][:, None] + self.margin
        return costly.sum() / (negatives < torch.inf).sum().clamp(min=1)


def candidates(distances: Tensor, labels: Tensor, margin: float) -> Candidates:
    """Return the triplets to choose from, of distances (n, n) and labels (n,)."""
    same = labels[:, None] == labels
    far = distances.masked_fill(same, torch.inf)
    anchors, positives = same.fill_diagonal_(fill_value=False).nonzero(as_tuple=True)
    return Candidates((anchors, positives), distances, far, margin)


def every(found: Candidates) -> Triplets:
    """Return every triplet there is."""
    anchors, positives = found.pairs
    pairs, negatives = (found.far[anchors] < torch.inf).nonzero(as_tuple=True)
    return anchors[pairs], positives[pairs], negatives


def any_negative(found: Candidates) -> Triplets:
    """Return a triplet for each genuine pair, its negative drawn among all: no mining."""
    near, negatives = found.far.sort(1)
    others = (near < torch.inf).sum(1)[found.pairs[0]]
    return _drawn(found, negatives, torch.zeros_like(others), others)


def hardest(found: Candidates) -> Triplets:
    """Return the costliest triplet of each genuine pair that has one at all."""
    anchors, positives = found.pairs
    nearest, negatives = found.far.min(1)  # whichever the positive is
    some = nearest[anchors] < found.distances[found.pairs] + found.margin
    anchors = anchors[some]
    return anchors, positives[some], negatives[anchors]


def random_hard(found: Candidates) -> Triplets:
    """Return any triplet that costs something, one for each genuine pair that has one."""
    near, negatives = found.far.sort(1)
    hard = torch.searchsorted(near, found.distances + found.margin)[found.pairs]
    return _drawn(found, negatives, torch.zeros_like(hard), hard)


def semi_hard(found: Candidates) -> Triplets:
    """Return any triplet whose negative is further than the positive, by less than the margin.

    One for each genuine pair that has one (Schroff et al., FaceNet, 2015).
    """
    near, negatives = found.far.sort(1)
    closer = torch.searchsorted(near, found.distances, right=True)[found.pairs]
    hard = torch.searchsorted(near, found.distances + found.margin)[found.pairs]
    return _drawn(found, negatives, closer, hard)


def balanced(distances: Tensor, labels: Tensor) -> PairsOfBatch:
    """Return all genuine pairs and as many impostor pairs, drawn at random."""
    return _beside_genuine(labels, torch.rand_like(distances))


def hard_negatives(distances: Tensor, labels: Tensor) -> PairsOfBatch:
    """Return all genuine pairs and as many impostor pairs, the nearest of the batch."""
    return _beside_genuine(labels, distances)


TRIPLETS: dict[str, Callable[[Candidates], Triplets]] = {
    "triplet": any_negative,
    "triplet-all": every,
    "triplet-hardest": hardest,
    "triplet-random-hard": random_hard,
    "triplet-semi-hard": semi_hard,
}
PAIRS: dict[str, Callable[[Tensor, Tensor], PairsOfBatch]] = {
    "contrastive-balanced": balanced,
    "contrastive-hard": hard_negatives,
}


def _beside_genuine(labels: Tensor, order: Tensor) -> PairsOfBatch:
    """Return the genuine pairs and as many impostor pairs, the lowest in `order` (n, n)."""
    a, b = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same = labels[a] == labels[b]
    impostors = (~same).nonzero()[:, 0]
    count = min(int(same.sum()), len(impostors))
    lowest = order[a, b][impostors].topk(count, largest=False).indices
    chosen = impostors[lowest]
    return a[same], b[same], a[chosen], b[chosen]


def _drawn(found: Candidates, negatives: Tensor, start: Tensor, end: Tensor) -> Triplets:
    """Return for each pair one of its anchor's negatives, all as likely.

    `negatives` (n, n) is in the order of distance; a pair may have those from `start` (m,) to
    before `end` (m,), and is left out where these are none. Draws from torch's own generator.
    """
    some = end > start
    start, end = start[some], end[some]
    anchors, positives = (side[some] for side in found.pairs)
    lots = torch.rand(len(start), device=start.device) * (end - start)
    place = torch.minimum(start + lots.long(), end - 1)  # a lot just below 1 may be rounded up
    return anchors, positives, negatives[anchors, place]
