"""Further characters: two that share a picture make a third."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.augmentation import quarter_turns
from training.recipe import Composition


def compose(
    images: Tensor, turns: Tensor, labels: Tensor, samples: int, how: Composition
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a batch of which a share of the labels is made of two others each.

    Images (n, c, h, w), their quarter turns (n,) and labels (n,), `samples` of a label side by
    side. Four labels a, b, c, d give up their places to ab, ad, cb and cd, laid out alike: each
    has kin that differ from it by one part, as characters of one alphabet do. Where the two parts
    lie and how large they are is the label's; who drew them is each sample's.

    A composed label is -1 - its place in the batch, so it is nobody else's; its picture is turned
    already. Zero is the background. Draws from torch's global generator.
    """
    own = torch.arange(len(labels)).view(-1, samples)  # the rows of each label
    families = int(len(own) * how.share) // 4
    if not families:
        return images, turns, labels
    a, b, c, d = torch.randperm(len(own))[: 4 * families].view(4, families)
    one, other = (
        _placed(images[rows], turns[rows], layout.repeat_interleave(samples, 0))
        for rows, layout in zip(
            (_by_any_drawer(own[torch.cat(parts)]) for parts in ((a, a, c, c), (b, d, b, d))),
            _layouts(families, how).repeat(1, 4, 1, 1),
            strict=True,
        )
    )
    places = torch.cat([a, b, c, d])
    rows = own[places].flatten()
    images, turns, labels = images.clone(), turns.clone(), labels.clone()
    images[rows] = torch.where(one.abs() > other.abs(), one, other)
    turns[rows] = 0
    labels[rows] = -1 - places.repeat_interleave(samples)
    return images, turns, labels


def _by_any_drawer(rows: Tensor) -> Tensor:
    """Return rows (labels, samples) as one row, those of a label in random order."""
    return rows.gather(1, torch.rand(rows.shape).argsort(1)).flatten()


def _layouts(n: int, how: Composition) -> Tensor:
    """Return where the two parts of n layouts lie, (2, n, 2, 3), from output to input.

    Each part is so large as it is; they are moved apart as far as the picture goes, in a direction
    of its own for each layout.
    """
    sizes = how.smallest + (how.largest - how.smallest) * torch.rand(2, n, 1)
    aspect = ((torch.rand(2, n, 1) * 2 - 1) * how.aspect).exp()
    sizes = torch.cat([sizes * aspect, sizes / aspect], 2).clamp(max=1)  # (2, n, xy)
    angle = torch.rand(n, 1) * 2 * math.pi
    apart = torch.cat([angle.cos(), angle.sin()], 1)
    apart = apart / apart.abs().amax(1, keepdim=True)  # to the edge of the square
    centres = torch.stack([apart, -apart]) * (1 - sizes)
    return torch.cat([torch.diag_embed(1 / sizes), (-centres / sizes).unsqueeze(3)], 3)


def _placed(images: Tensor, turns: Tensor, layout: Tensor) -> Tensor:
    """Return images (n, c, h, w), turned, in the part of the picture that (n, 2, 3) says."""
    grid = functional.affine_grid(
        quarter_turns(turns) @ layout, list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)
