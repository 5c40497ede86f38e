"""Masks drawn from landmarks, in torch: soft edges, batched, exportable."""

import torch
from torch import Tensor

from snowai._checks import check_points
from snowai.faces.landmarks import region_points
from snowai.faces.schemes import scheme_named

__all__ = ["eye_mask", "face_contour", "face_mask", "polygon_mask", "round_contour"]

# How far the brows of ibug68 are moved up, in brow-to-chin distances, to stand for the hairline.
_FOREHEAD = 0.28


def eye_mask(
    points: Tensor, size: tuple[int, int], *, scheme: str, softness: float = 0.01, grow: float = 0.0
) -> Tensor:
    """Draw where the eyes are open: 1 between the lids, 0 elsewhere, soft in between.

    A closed eye leaves a thin faint line; a face that was not found (points that are not finite)
    leaves nothing.

    Args:
        points: Landmarks :math:`(B, N, 2)` in pixels.
        size: (height, width) of the mask.
        scheme: Of the points, "mediapipe478" or "ibug68".
        softness: Half width of the soft edge, as a share of the height.
        grow: Widen the eyes by this share of the height, e.g. 0.02 to weight a loss around them.

    Returns:
        :math:`(B, 1, H, W)` in [0, 1].

    Example:
        >>> points = torch.rand(2, 68, 2) * 64
        >>> eye_mask(points, (64, 64), scheme="ibug68").shape
        torch.Size([2, 1, 64, 64])
    """
    check_points(points, "points", count=scheme_named(scheme).size)
    eyes = [
        polygon_mask(
            round_contour(region_points(points, region, scheme=scheme)),
            size,
            softness=softness,
            grow=grow,
        )
        for region in ("left_eye", "right_eye")
    ]
    return torch.maximum(eyes[0], eyes[1])


def face_mask(
    points: Tensor, size: tuple[int, int], *, scheme: str, softness: float = 0.03
) -> Tensor:
    """Draw the face from chin to hairline: 1 inside, 0 outside, soft in between.

    The 68 points end at the brows; the forehead is then estimated from brows and chin.

    Args:
        points: Landmarks :math:`(B, N, 2)` in pixels.
        size: (height, width) of the mask.
        scheme: Of the points, "mediapipe478" or "ibug68".
        softness: Half width of the soft edge, as a share of the height.

    Returns:
        :math:`(B, 1, H, W)` in [0, 1].
    """
    check_points(points, "points", count=scheme_named(scheme).size)
    return polygon_mask(face_contour(points, scheme=scheme), size, softness=softness)


def polygon_mask(
    polygon: Tensor, size: tuple[int, int], *, softness: float = 0.01, grow: float = 0.0
) -> Tensor:
    r"""Fill closed polygons by their signed distance, with a linear soft edge.

    .. math:: m(p) = \text{clip}\left(\frac12 - \frac{d(p) - g}{2 s}, 0, 1\right)

    Args:
        polygon: Corners :math:`(B, P, 2)` in pixels, in drawing order.
        size: (height, width) of the mask.
        softness: :math:`s`, half width of the edge, as a share of the height.
        grow: :math:`g`, outward shift of the edge, as a share of the height.

    Returns:
        :math:`(B, 1, H, W)` in [0, 1]; zero for polygons with corners that are not finite.

    Example:
        >>> square = torch.tensor([[[2.0, 2.0], [6.0, 2.0], [6.0, 6.0], [2.0, 6.0]]])
        >>> polygon_mask(square, (8, 8), softness=1e-3).sum()
        tensor(16.)
    """
    height, width = size
    known = polygon.isfinite().all(dim=2).all(dim=1)
    polygon = polygon.nan_to_num()
    y = torch.arange(height, dtype=polygon.dtype, device=polygon.device) + 0.5
    x = torch.arange(width, dtype=polygon.dtype, device=polygon.device) + 0.5
    y, x = y.view(1, height, 1), x.view(1, 1, width)
    squared = torch.full_like(y + x, float("inf")).expand(len(polygon), -1, -1)
    inside = torch.zeros_like(squared, dtype=torch.bool)
    for start, end in zip(polygon.unbind(1), polygon.roll(-1, dims=1).unbind(1), strict=True):
        x0, y0 = start[:, 0, None, None], start[:, 1, None, None]
        dx, dy = (end - start)[:, 0, None, None], (end - start)[:, 1, None, None]
        along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy).clamp_min(1e-12)
        along = along.clamp(0, 1)
        squared = torch.minimum(
            squared, (x - x0 - along * dx).square() + (y - y0 - along * dy).square()
        )
        # Crossing number: an edge flips the side of the pixels on its left.
        crosses = (y0 > y) != (y0 + dy > y)
        left_of = (x - x0) * dy.abs() < dx * (y - y0) * dy.sign()
        inside = inside ^ (crosses & left_of)
    distance = squared.clamp_min(1e-12).sqrt() * torch.where(inside, -1.0, 1.0)
    mask = (0.5 - (distance / height - grow) / (2 * softness)).clamp(0, 1)
    return (mask * known.view(-1, 1, 1)).unsqueeze(1)


def round_contour(polygon: Tensor) -> Tensor:
    """Put points between the corners of a coarse contour, on a closed Catmull-Rom spline.

    Six points cut the corners of an eye; the spline brings both schemes to one shape.
    """
    if polygon.shape[1] > 8:
        return polygon
    before, after = polygon.roll(1, dims=1), polygon.roll(-1, dims=1)
    after_next = polygon.roll(-2, dims=1)
    straight, bend = after - before, 2 * before - 5 * polygon + 4 * after - after_next
    twist = 3 * polygon - before - 3 * after + after_next
    points = [
        polygon + 0.5 * (straight * t + bend * t**2 + twist * t**3) for t in (0.0, 0.25, 0.5, 0.75)
    ]
    return torch.stack(points, dim=2).flatten(1, 2)


def face_contour(points: Tensor, *, scheme: str) -> Tensor:
    """Return the face's outline (B, K, 2) from chin to hairline."""
    regions = scheme_named(scheme).regions
    if "face_oval" in regions:
        return region_points(points, "face_oval", scheme=scheme)
    jaw = region_points(points, "jaw", scheme=scheme)
    brows = torch.cat(
        [region_points(points, side, scheme=scheme) for side in ("right_brow", "left_brow")], dim=1
    )
    up = brows.mean(dim=1, keepdim=True) - jaw[:, jaw.shape[1] // 2, None]
    # The hairline is rounder than the brows: full height in the middle, less at the temples.
    arch = 1 - torch.linspace(-1, 1, brows.shape[1], device=points.device).square() * 0.35
    hairline = brows + up * _FOREHEAD * arch.to(points.dtype)[None, :, None]
    return torch.cat([jaw, hairline.flip(1)], dim=1)
