"""Light on a face: the catch light that makes drawn eyes alive."""

import torch
from torch import Tensor

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.masks import eye_mask

__all__ = ["iris_light"]


def iris_light(
    image: Tensor,
    points: Tensor,
    *,
    strength: float = 0.9,
    size: float = 0.32,
    direction: tuple[float, float] = (-0.35, -0.4),
) -> Tensor:
    """Paint the reflection of one lamp into both irises, cut off by the lids.

    Both eyes get the light at the same side, as a lamp far away gives it.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: MediaPipe landmarks :math:`(B, 478, 2)` in pixels: only they have irises.
        strength: 0 none, 1 white.
        size: Radius of the spot, in iris radii.
        direction: Of the spot from the iris's centre, in iris radii; x to the right, y down.

    Returns:
        New images :math:`(B, 3, H, W)`.
    """
    check_image(image, "image", channels=3)
    check_points(points, "points", count=478)
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=points.dtype).view(1, -1, 1) + 0.5
    x = torch.arange(width, device=image.device, dtype=points.dtype).view(1, 1, -1) + 0.5
    light = torch.zeros_like(image[:, 0])
    for region in ("left_iris", "right_iris"):
        iris = region_points(points, region, scheme="mediapipe478")
        centre, radius = iris[:, 0], (iris[:, 1:] - iris[:, :1]).norm(dim=-1).mean(dim=1)
        spot = centre + radius[:, None] * centre.new_tensor(direction)
        distance = torch.hypot(x - spot[:, 0, None, None], y - spot[:, 1, None, None])
        # One pixel of soft edge, whatever the size of the eye.
        light = torch.maximum(light, (radius[:, None, None] * size - distance + 0.5).clamp(0, 1))
    lids = eye_mask(points, (height, width), scheme="mediapipe478")
    alpha = light.nan_to_num()[:, None] * lids * strength
    return image + (1 - image) * alpha
