"""What one drawing could also have looked like, and what other characters could be made of it."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.recipe import Augmentation

ELASTIC_CELLS = 4
"""The elastic field is drawn on a 4×4 grid and smoothed up: strokes bend, they do not fray."""


def augment(
    images: Tensor, turns: Tensor, each: Augmentation, label: Augmentation, samples: int
) -> Tensor:
    """Return every image (n, c, h, w) turned by `turns` (n,) quarters, then moved at random.

    `each` image is moved by itself. The `samples` side by side that share a `label` are moved
    alike besides, which makes another class of them: two labels of one origin differ as two
    characters do, by how they are drawn (class augmentation: Rajendran et al., Meta-Learning
    Requires Meta-Augmentation, 2020). Zero is the background: what comes in from outside the
    picture is zero. Draws from torch's global generator.
    """
    n, _, h, w = images.shape
    grid = functional.affine_grid(
        torch.eye(2, 3).expand(n, 2, 3), [n, 1, h, w], align_corners=False
    )
    labels = -(-n // samples)
    shared = _moves(labels, h, w, label)
    grid = _moved(grid, *(part.repeat_interleave(samples, 0)[:n] for part in shared))
    grid = _moved(grid, *_moves(n, h, w, each))
    grid = torch.einsum("nij,nhwj->nhwi", quarter_turns(turns), grid)
    moved = functional.grid_sample(images, grid, align_corners=False)
    return _thicken(moved, each.stroke) if each.stroke else moved


def quarter_turns(turns: Tensor) -> Tensor:
    """Return the rotations (n, 2, 2) by `turns` × 90°."""
    angle = turns * (math.pi / 2)
    cos, sin = angle.cos().round(), angle.sin().round()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def _moved(grid: Tensor, maps: Tensor, field: Tensor) -> Tensor:
    """Return where in [-1, 1] each place of a grid (n, h, w, 2) comes from."""
    linear, offset = maps[:, None, :, :2], maps[:, None, None, :, 2]
    return (grid.unsqueeze(-2) * linear.unsqueeze(1)).sum(-1) + offset + field


def _moves(n: int, h: int, w: int, how: Augmentation) -> tuple[Tensor, Tensor]:
    """Return n random affine maps (n, 2, 3) and displacement fields (n, h, w, 2)."""
    return _affine(n, how), how.elastic * _smooth_noise(n, h, w)


def _affine(n: int, how: Augmentation) -> Tensor:
    """Return n random maps (n, 2, 3) from output to input coordinates in [-1, 1]."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n) * 2 - 1) * limit

    angle, shear = uniform(math.radians(how.rotation)), uniform(math.radians(how.shear)).tan()
    x, y = uniform(how.scale).exp(), uniform(how.scale).exp()
    x = torch.where(torch.rand(n) < how.mirror, -x, x)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack(
        [
            torch.stack([x * cos, x * (shear * cos - sin), uniform(2 * how.translation)], 1),
            torch.stack([y * sin, y * (shear * sin + cos), uniform(2 * how.translation)], 1),
        ],
        1,
    )


def _smooth_noise(n: int, h: int, w: int) -> Tensor:
    """Return displacement fields (n, h, w, 2) with values in [-2, 2]·share, smooth in space."""
    coarse = torch.rand(n, 2, ELASTIC_CELLS, ELASTIC_CELLS) * 4 - 2
    field = functional.interpolate(coarse, (h, w), mode="bicubic", align_corners=False)
    return field.permute(0, 2, 3, 1)  # (n, 2, h, w) -> (n, h, w, 2)


def _thicken(images: Tensor, limit: float) -> Tensor:
    """Blend each image with its 3×3 maximum or minimum, by at most `limit`."""
    amount = (torch.rand(len(images), 1, 1, 1) * 2 - 1) * limit
    highest = functional.max_pool2d(images, 3, stride=1, padding=1)
    lowest = -functional.max_pool2d(-images, 3, stride=1, padding=1)
    return (
        images + amount.clamp(min=0) * (highest - images) + amount.clamp(max=0) * (images - lowest)
    )
