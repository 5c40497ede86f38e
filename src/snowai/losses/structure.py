"""Structure: local contrast (SSIM), and any loss at several sizes of the picture."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_image, check_same_shape

__all__ = ["MultiResolutionLoss", "SSIMLoss", "multi_resolution_loss", "ssim_loss"]

Distance = Callable[[Tensor, Tensor], Tensor]


def ssim_loss(prediction: Tensor, target: Tensor) -> Tensor:
    r"""One minus the structural similarity of two images.

    The usual Gaussian window (11 pixels, deviation 1.5), over places that the whole window fits.

    Args:
        prediction: :math:`(B, 3, H, W)` in [0, 1], at least 11 x 11.
        target: Of the same shape.

    Returns:
        Scalar: 0 for equal images, 1 for images without anything in common.

    Source:
        Wang et al., https://doi.org/10.1109/TIP.2003.819861.

    Example:
        >>> image = torch.rand(1, 3, 16, 16)
        >>> round(ssim_loss(image, image).item(), 5)
        0.0
    """
    from kornia.metrics import ssim

    check_image(prediction, "prediction")
    check_same_shape(prediction, target, ("prediction", "target"))
    similarity: Tensor = ssim(prediction, target, 11, padding="valid")
    return 1 - similarity.mean()


class SSIMLoss(nn.Module):
    """Module form of :func:`ssim_loss`."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return one minus the structural similarity."""
        return ssim_loss(prediction, target)


def multi_resolution_loss(
    distance: Distance, prediction: Tensor, target: Tensor, *, levels: int = 3
) -> Tensor:
    """Average a distance over the picture and its halves, quarters and so on.

    Small pictures make it care for large things: a face's tone, an eye's place.

    Args:
        distance: Called with (prediction, target) at each size.
        prediction: :math:`(B, C, H, W)`.
        target: Of the same shape.
        levels: Number of sizes.

    Raises:
        ValueError: No level, or more than the picture can be halved.

    Example:
        >>> from snowai.losses import l1_loss
        >>> multi_resolution_loss(l1_loss, torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8))
        tensor(1.)
    """
    check_image(prediction, "prediction")
    check_same_shape(prediction, target, ("prediction", "target"))
    if not 1 <= levels <= min(prediction.shape[-2:]).bit_length():
        raise ValueError(
            f"levels must be at least 1 and halve {tuple(prediction.shape[-2:])} no further than "
            f"to one pixel; got {levels}."
        )
    terms = []
    for level in range(levels):
        if level:
            prediction, target = F.avg_pool2d(prediction, 2), F.avg_pool2d(target, 2)
        terms.append(distance(prediction, target))
    return torch.stack(terms).mean()


class MultiResolutionLoss(nn.Module):
    """Module form of :func:`multi_resolution_loss`: wraps any distance.

    Args:
        distance: Called with (prediction, target).
        levels: Number of sizes.
    """

    def __init__(self, distance: nn.Module, *, levels: int = 3) -> None:
        super().__init__()
        self.distance, self.levels = distance, levels

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the sizes."""
        return multi_resolution_loss(self.distance, prediction, target, levels=self.levels)
