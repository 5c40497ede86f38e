"""Pixel distances, plain or weighted by a region such as the eyes."""

import torch
from torch import Tensor, nn

from snowai._checks import check_image, check_same_shape

__all__ = ["CharbonnierLoss", "L1Loss", "charbonnier_loss", "l1_loss", "region_weight"]


def l1_loss(prediction: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    r"""Mean absolute difference, optionally weighted by region.

    .. math:: \frac{\sum w\,|x - y|}{\sum w}

    Args:
        prediction: Image :math:`(B, C, H, W)`.
        target: Image of the same shape.
        weight: Per-pixel weight :math:`(B, 1, H, W)`, not negative, e.g. an eye mask or
            :func:`region_weight`.

    Returns:
        Scalar, independent of the resolution.

    Example:
        >>> l1_loss(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5))
        tensor(0.5000)
    """
    check_same_shape(prediction, target, ("prediction", "target"))
    return _weighted_mean((prediction - target).abs(), weight)


def charbonnier_loss(
    prediction: Tensor, target: Tensor, *, weight: Tensor | None = None, eps: float = 1e-3
) -> Tensor:
    r"""Smooth L1 distance :math:`\sqrt{(x - y)^2 + \epsilon^2}`, averaged.

    Args:
        prediction: Image :math:`(B, C, H, W)`.
        target: Image of the same shape.
        weight: Per-pixel weight :math:`(B, 1, H, W)`, not negative.
        eps: Where the distance turns from square to linear.

    Source:
        Lai et al., https://arxiv.org/abs/1704.03915

    Example:
        >>> charbonnier_loss(torch.full((1, 1, 1, 1), 3.0), torch.zeros(1, 1, 1, 1), eps=4.0)
        tensor(5.)
    """
    check_same_shape(prediction, target, ("prediction", "target"))
    return _weighted_mean(torch.sqrt((prediction - target).square() + eps**2), weight)


def region_weight(mask: Tensor, gain: float) -> Tensor:
    """Return a weight that is 1 outside the mask and ``1 + gain`` inside.

    Args:
        mask: :math:`(B, 1, H, W)` in [0, 1], e.g. an eye mask.
        gain: Extra weight of the region, not negative.

    Example:
        >>> region_weight(torch.tensor([[[[0.0, 1.0]]]]), gain=4.0)
        tensor([[[[1., 5.]]]])
    """
    check_image(mask, "mask", channels=1)
    if gain < 0:
        raise ValueError(f"gain must not be negative; got {gain}.")
    return 1 + gain * mask


class L1Loss(nn.Module):
    """Module form of :func:`l1_loss`."""

    def forward(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the mean absolute difference."""
        return l1_loss(prediction, target, weight=weight)


class CharbonnierLoss(nn.Module):
    """Module form of :func:`charbonnier_loss`."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the smooth L1 distance."""
        return charbonnier_loss(prediction, target, weight=weight, eps=self.eps)


def _weighted_mean(distance: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return distance.mean()
    check_same_shape(weight, distance[:, :1], ("weight", "one channel of the images"))
    weight = weight.expand_as(distance)
    return (distance * weight).sum() / weight.sum().clamp_min(1e-8)
