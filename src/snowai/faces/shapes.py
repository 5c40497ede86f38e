"""Distances to simple shapes: negative inside, so that half a pixel of soft edge is one clamp.

Source:
    The formulas are those of https://iquilezles.org/articles/distfunctions2d/
"""

import torch
from torch import Tensor

__all__ = ["box", "coverage", "disc", "segment"]


def disc(x: Tensor, y: Tensor, radius: Tensor | float) -> Tensor:
    """Return the distance to a disc about the origin."""
    return torch.hypot(x, y) - radius


def box(
    x: Tensor,
    y: Tensor,
    half_x: Tensor | float,
    half_y: Tensor | float,
    round_by: Tensor | float = 0.0,
) -> Tensor:
    """Return the distance to a box about the origin with round corners."""
    x, y = x.abs() - half_x + round_by, y.abs() - half_y + round_by
    outside = torch.hypot(x.clamp_min(0), y.clamp_min(0))
    return outside + torch.maximum(x, y).clamp_max(0) - round_by


def segment(places: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return the distance of places (B, P, 2) from segments between points (B, 2), (B, P)."""
    along = (end - start)[:, None]
    offset = places - start[:, None]
    share = (offset * along).sum(dim=-1) / along.square().sum(dim=-1).clamp_min(1e-6)
    distance: Tensor = (offset - share.clamp(0, 1)[..., None] * along).norm(dim=-1)
    return distance


def coverage(distance: Tensor, softness: Tensor | float = 1.0) -> Tensor:
    """Return how much of a pixel a shape covers, from its distance in pixels."""
    return (0.5 - distance / softness).clamp(0, 1)
