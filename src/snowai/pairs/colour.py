"""Match a styled picture's colours to its photo's, and keep the photo's background."""

from typing import Literal

import kornia
import torch
from torch import Tensor

from snowai._checks import check_choice, check_image, check_points, check_same_shape
from snowai.faces import face_mask

__all__ = ["keep_background", "match_colours"]

Method = Literal["reinhard", "mean_std", "histogram"]


def match_colours(
    styled: Tensor,
    photo: Tensor,
    mask: Tensor,
    *,
    method: Method = "reinhard",
    amount: float = 1.0,
) -> Tensor:
    r"""Give a styled picture the colours that the photo has inside a mask, e.g. the skin's tone.

    The statistics come from the mask alone; the whole styled picture changes by them.

    Args:
        styled: :math:`(B, 3, H, W)` in [0, 1].
        photo: Alike.
        mask: :math:`(B, 1, H, W)` in [0, 1], where both show the same thing; see
            :func:`snowai.faces.face_mask`. Pictures whose mask is empty stay as they are.
        method: "reinhard" matches mean and deviation in Lab, "mean_std" in RGB, "histogram" every
            quantile of each RGB channel, which also copies make-up and shadows.
        amount: 0 as it is, 1 matched.

    Returns:
        :math:`(B, 3, H, W)` in [0, 1]; differentiable but for "histogram".

    Source:
        Reinhard et al., Color transfer between images, https://doi.org/10.1109/38.946629

    Example:
        >>> photo = torch.rand(1, 3, 16, 16) * 0.5
        >>> matched = match_colours(torch.rand(1, 3, 16, 16), photo, torch.ones(1, 1, 16, 16))
        >>> bool((matched.mean() - photo.mean()).abs() < 0.05)
        True
    """
    check_image(styled, "styled", channels=3)
    check_image(photo, "photo", channels=3)
    check_same_shape(styled, photo, ("styled", "photo"))
    check_image(mask, "mask", channels=1)
    check_choice(method, "method", ("reinhard", "mean_std", "histogram"))
    if not 0 <= amount <= 1:
        raise ValueError(f"amount must be in [0, 1]; got {amount}.")
    if method == "histogram":
        matched = _match_histograms(styled, photo, mask)
    elif method == "reinhard":
        lab = [kornia.color.rgb_to_lab(image.clamp(0, 1)) for image in (styled, photo)]
        matched = kornia.color.lab_to_rgb(_match_moments(lab[0], lab[1], mask))
    else:
        matched = _match_moments(styled, photo, mask)
    empty = mask.flatten(1).amax(dim=1).view(-1, 1, 1, 1) <= 0
    return torch.where(empty, styled, torch.lerp(styled, matched.clamp(0, 1), amount))


def keep_background(
    styled: Tensor, photo: Tensor, points: Tensor, *, scheme: str, softness: float = 0.06
) -> Tensor:
    """Lay the styled face into the photo: for styles that should touch the face alone.

    Args:
        styled: :math:`(B, 3, H, W)` in [0, 1].
        photo: Alike.
        points: Landmarks :math:`(B, N, 2)` in pixels of the photo; where they are not finite the
            photo stays whole.
        scheme: Of the points.
        softness: Half width of the feathered edge, as a share of the height.

    Example:
        >>> photo, points = torch.rand(1, 3, 32, 32), torch.rand(1, 68, 2) * 32
        >>> torch.equal(keep_background(photo, photo, points, scheme="ibug68"), photo)
        True
    """
    check_image(styled, "styled", channels=3)
    check_same_shape(styled, photo, ("styled", "photo"))
    check_points(points, "points")
    size = (photo.shape[-2], photo.shape[-1])
    return torch.lerp(photo, styled, face_mask(points, size, scheme=scheme, softness=softness))


def _match_moments(source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Shift and stretch channels to the mean and deviation that the target has in the mask."""
    (mean, deviation), (wanted, spread) = (_moments(image, mask) for image in (source, target))
    return (source - mean) * (spread / deviation.clamp_min(1e-4)) + wanted


def _moments(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    weight = mask / mask.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    mean = (image * weight).sum(dim=(2, 3), keepdim=True)
    variance = ((image - mean).square() * weight).sum(dim=(2, 3), keepdim=True)
    return mean, (variance + 1e-8).sqrt()


def _match_histograms(source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Send each value to the one with the same rank, counting inside the mask."""
    inside = mask > 0.5
    matched = source.clone()
    for index, where in enumerate(inside[:, 0]):
        if not where.any():
            continue
        for channel in range(3):
            known = source[index, channel][where].sort().values
            wanted = target[index, channel][where].sort().values
            values = source[index, channel].flatten()
            # The middle of equal values' ranks, so that a flat patch goes to its median.
            low, high = (torch.searchsorted(known, values, right=right) for right in (False, True))
            rank = ((low + high).to(source) / 2 - 0.5).clamp(0, len(wanted) - 1)
            below = rank.floor().long()
            above = (below + 1).clamp_max(len(wanted) - 1)
            value = torch.lerp(wanted[below], wanted[above], rank - below)
            matched[index, channel] = value.view_as(matched[index, channel])
    return matched
