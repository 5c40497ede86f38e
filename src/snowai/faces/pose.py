"""Where a head is turned: yaw, pitch and roll from its landmarks."""

import math

import torch
from torch import Tensor

from snowai._checks import check_points
from snowai.faces.landmarks import region_points
from snowai.faces.schemes import scheme_named

__all__ = ["head_pose"]

_MEAN_FACE = (
    (-4.446, 2.664, 3.173),
    (-1.856, 2.585, 3.758),
    (1.856, 2.585, 3.758),
    (4.446, 2.664, 3.173),
    (0.0, 3.271, 5.236),
    (0.0, -0.463, 7.587),
    (0.0, -2.089, 6.058),
)
"""The region "rigid" of MediaPipe's canonical face, in cm: x to the person's left, y up, z out."""

_LEVEL = -9.6  # Pitch of the mean face's axes in people who look into a camera: 300 portraits.


def head_pose(points: Tensor, *, scheme: str) -> Tensor:
    """Measure how heads are turned.

    The mean face, turned, scaled and shifted (without perspective), is fitted to the points that
    expressions hardly move. Noses and brows differ, so expect some 5 degrees of error. Pitch is
    counted from a face that looks into a camera at its own height.

    Args:
        points: Landmarks :math:`(B, N, 2)` in pixels.
        scheme: Of the points.

    Returns:
        (B, 3) in degrees: yaw (positive when the person looks to their left), pitch (positive
        upwards) and roll (positive when the head leans to its left shoulder); nan for a face that
        was not found.

    Example:
        >>> head_pose(torch.rand(2, 68, 2), scheme="ibug68").shape
        torch.Size([2, 3])
    """
    check_points(points, "points", count=scheme_named(scheme).size)
    seen = region_points(points, "rigid", scheme=scheme)
    known = seen.isfinite().flatten(1).all(dim=1)
    seen = seen.nan_to_num() * seen.new_tensor([1.0, -1.0])  # y up, as the model has it.
    model = seen.new_tensor(_MEAN_FACE)
    model = model - model.mean(dim=0)
    offset = seen - seen.mean(dim=1, keepdim=True)
    # (B, 2, 3): the first two rows of the rotation, times the scale.
    rows = offset.mT @ torch.linalg.pinv(model).mT
    left, _, right = torch.linalg.svd(rows + 1e-9, full_matrices=False)
    first, second = (left @ right).unbind(dim=1)
    third = torch.linalg.cross(first, second)
    yaw = torch.atan2(first[:, 2], third[:, 2])
    pitch = torch.asin(second[:, 2].clamp(-1, 1)) - math.radians(_LEVEL)
    roll = torch.atan2(-second[:, 0], second[:, 1])
    pose = torch.stack([yaw, pitch, roll], dim=1).rad2deg()
    return torch.where(known[:, None], pose, torch.nan)
