"""Eyes and mouth close up: square boxes around them, cut out at one size."""

import torch
from torch import Tensor

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.schemes import scheme_named

__all__ = ["close_ups", "eye_crops", "region_boxes"]

_SIDES = {"left_eye": 1.8, "right_eye": 1.8, "mouth": 1.4}
"""Side of a region's box, in widths of the region: lids, lashes and a little skin."""


def region_boxes(points: Tensor, region: str, *, scheme: str) -> Tensor:
    """Return the square box around a region.

    Args:
        points: Landmarks :math:`(B, N, 2)` in pixels.
        region: "left_eye", "right_eye" or "mouth".
        scheme: Of the points.

    Returns:
        :math:`(B, 4)`: left, top, right, bottom in pixels; not finite where the points are not.

    Raises:
        ValueError: Another region.

    Example:
        >>> region_boxes(torch.rand(2, 68, 2), "mouth", scheme="ibug68").shape
        torch.Size([2, 4])
    """
    check_points(points, "points", count=scheme_named(scheme).size)
    if region not in _SIDES:
        raise ValueError(f"region must be one of {', '.join(_SIDES)}; got {region!r}.")
    part = region_points(points, region, scheme=scheme)
    low, high = part.amin(dim=1), part.amax(dim=1)
    centre, half = (low + high) / 2, (high - low)[:, :1] * _SIDES[region] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def close_ups(
    image: Tensor,
    points: Tensor,
    *,
    scheme: str,
    regions: tuple[str, ...] = ("left_eye", "right_eye", "mouth"),
    size: int = 64,
) -> Tensor:
    """Cut eyes and mouth out and bring them to one size.

    Args:
        image: :math:`(B, C, H, W)`.
        points: Landmarks :math:`(B, N, 2)` in pixels; of a face that was not found they are not
            finite, and its close-ups are black.
        scheme: Of the points.
        regions: Which, of "left_eye", "right_eye" and "mouth".
        size: Side of the close-ups, in pixels.

    Returns:
        :math:`(B, R, C, S, S)`, differentiable in the image.

    Example:
        >>> close_ups(torch.rand(2, 3, 64, 64), torch.rand(2, 68, 2) * 64, scheme="ibug68").shape
        torch.Size([2, 3, 3, 64, 64])
    """
    from torchvision.ops import roi_align

    check_image(image, "image")
    known = points.isfinite().all(dim=2).all(dim=1)
    numbers = torch.arange(len(points), device=image.device, dtype=image.dtype)[:, None]
    cut = []
    for region in regions:
        boxes = region_boxes(points, region, scheme=scheme).nan_to_num().to(image)
        crops: Tensor = roi_align(
            image, torch.cat([numbers, boxes], dim=1), (size, size), aligned=True
        )
        cut.append(crops * known.view(-1, 1, 1, 1).to(image))
    return torch.stack(cut, dim=1)


def eye_crops(image: Tensor, points: Tensor, *, scheme: str, size: int = 64) -> Tensor:
    """Cut a square box around each eye; see :func:`close_ups`.

    Returns:
        :math:`(2 B, C, S, S)`: all left eyes, then all right eyes.

    Example:
        >>> eye_crops(torch.rand(2, 3, 64, 64), torch.rand(2, 68, 2) * 64, scheme="ibug68").shape
        torch.Size([4, 3, 64, 64])
    """
    eyes = close_ups(image, points, scheme=scheme, regions=("left_eye", "right_eye"), size=size)
    return eyes.transpose(0, 1).flatten(0, 1)
