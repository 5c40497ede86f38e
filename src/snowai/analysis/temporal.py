"""Steadiness of a filtered video: how much it flickers beyond what the camera saw."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image, check_same_shape
from snowai.image import to_array

__all__ = ["landmark_jitter", "warping_error"]


def warping_error(pictures: Tensor, frames: Tensor) -> float:
    r"""How much pictures change from one to the next beyond the movement of what they show.

    .. math:: \frac{1}{T - 1} \sum_t \text{mean}_{\text{seen}}\,
        |y_{t} - \text{warp}(y_{t-1}; \text{flow}(x_{t} \to x_{t-1}))|

    The flow :math:`x_t \to x_{t-1}` is found in the frames (OpenCV's DIS) and not in the pictures;
    pixels whose way there and back does not end where it began are left out.

    Args:
        pictures: :math:`y`, :math:`(T, 3, H, W)` in [0, 1], e.g. the filtered frames.
        frames: :math:`x`, of the same shape: what the camera saw. Measured on themselves they give
            the floor: noise, light, and errors of the flow.

    Returns:
        Mean difference, in [0, 1]; lower is steadier.

    Raises:
        ValueError: Fewer than two frames, or sizes that differ.

    Source:
        Lai et al., https://arxiv.org/abs/1808.00449, equation 9, with absolute differences.

    Example:
        >>> frames = torch.rand(1, 3, 32, 32).expand(3, -1, -1, -1)
        >>> warping_error(frames, frames)
        0.0
    """
    check_image(pictures, "pictures", channels=3)
    check_same_shape(pictures, frames, ("pictures", "frames"))
    if len(frames) < 2:
        raise ValueError(f"Flicker takes at least two frames; got {len(frames)}.")
    errors = []
    for now in range(1, len(frames)):
        motion = _motion(frames[now], frames[now - 1])
        moved = _warp(pictures[now - 1][None], motion.flow)
        difference = (pictures[now][None] - moved).abs().mean(dim=1)[0]
        errors.append((difference * motion.seen).sum() / motion.seen.sum().clamp_min(1))
    return float(torch.stack(errors).mean())


def landmark_jitter(tracks: Sequence[Tensor]) -> float:
    r"""How unsteadily points move: their mean second difference, in shares of the face's width.

    .. math:: \text{mean}\,\|p_{t+1} - 2 p_t + p_{t-1}\| / w

    Args:
        tracks: Points (N, 2) of one face in each frame, in pixels.

    Raises:
        ValueError: Fewer than three frames.

    Example:
        >>> landmark_jitter([torch.tensor([[0.0, 0.0], [10.0, 0.0]]) + t for t in range(4)])
        0.0
    """
    if len(tracks) < 3:
        raise ValueError(f"Jitter takes at least three frames; got {len(tracks)}.")
    points = torch.stack(list(tracks))
    width = points[..., 0].amax(dim=1) - points[..., 0].amin(dim=1)
    bends = points[2:] - 2 * points[1:-1] + points[:-2]
    return float((bends.norm(dim=-1).mean(dim=1) / width[1:-1].clamp_min(1e-6)).mean())


class _Motion(NamedTuple):
    flow: Tensor  # (H, W, 2), pixels from a place now to the same thing's place before
    seen: Tensor  # (H, W), 1 where it was seen before too


def _motion(now: Tensor, before: Tensor) -> _Motion:
    """Find where each pixel was a frame earlier, and whether it was seen."""
    grey = [_grey(image) for image in (now, before)]
    back, forth = _flow(grey[0], grey[1]), _flow(grey[1], grey[0])
    returned = _warp(forth.permute(2, 0, 1)[None], back)[0].permute(1, 2, 0)
    length = back.square().sum(dim=-1) + returned.square().sum(dim=-1)
    apart = (back + returned).square().sum(dim=-1)
    # Sundaram et al., https://doi.org/10.1007/978-3-642-15549-9_32, equation 5.
    seen = apart < 0.01 * length + 0.5
    height, width = back.shape[:2]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x + back[..., 0], y + back[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return _Motion(back, (seen & inside).float())


def _grey(image: Tensor) -> NDArray[np.uint8]:
    import cv2

    grey: NDArray[np.uint8] = cv2.cvtColor(to_array(image), cv2.COLOR_RGB2GRAY)
    return grey


def _flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Tensor:
    import cv2

    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = finder.calc(first, second, None)
    return torch.from_numpy(found)


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    """Take each pixel from where the flow (H, W, 2) says that it was."""
    height, width = flow.shape[:2]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y], dim=-1) + flow + 0.5
    grid = places * 2 / torch.tensor([width, height]) - 1
    return F.grid_sample(image, grid[None].to(image), padding_mode="border", align_corners=False)
