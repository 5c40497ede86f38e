"""Move features of a face by smooth warps; the rest of the picture stays where it is."""

import torch
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points

__all__ = ["enlarge_eyes"]

_REACH = 1.2  # Radius of the warp, in eye widths: it fades out before the middle of the nose.


def enlarge_eyes(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> Tensor:
    r"""Magnify both eyes about their centres, fading out smoothly around them.

    A pixel at distance :math:`r < R` from the eye's centre shows what was at
    :math:`r (1 - k (1 - (r/R)^2)^2)`, with :math:`k` chosen so that the centre grows by ``amount``.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: Growth at the centre: 0 changes nothing, 0.3 makes eyes 30 % larger; up to 1.
        scheme: Of the points.

    Returns:
        The warped images, differentiable in image and points.

    Example:
        >>> image, points = torch.rand(1, 3, 32, 32), torch.rand(1, 68, 2) * 32
        >>> torch.allclose(enlarge_eyes(image, points, 0.0, scheme="ibug68"), image, atol=1e-5)
        True
    """
    check_image(image, "image")
    check_points(points, "points")
    if not 0 <= amount <= 1:
        raise ValueError(f"amount must be in [0, 1]; got {amount}.")
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=points.dtype) + 0.5
    x = torch.arange(width, device=image.device, dtype=points.dtype) + 0.5
    pixel = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
    place = pixel.expand(len(image), -1, -1, -1)
    for region in ("left_eye", "right_eye"):
        eye = region_points(points, region, scheme=scheme)
        centre = eye.mean(dim=1)[:, None, None]
        eye_width = (eye.amax(dim=1) - eye.amin(dim=1)).norm(dim=-1)
        radius = (eye_width * _REACH)[:, None, None, None]
        offset = pixel - centre
        near = (1 - (offset / radius).square().sum(dim=-1, keepdim=True)).clamp_min(0).square()
        place = place - offset * near * (amount / (1 + amount))
    grid = place * 2 / place.new_tensor([width, height]) - 1
    return F.grid_sample(
        image, grid.to(image.dtype), mode="bicubic", padding_mode="reflection", align_corners=False
    )
