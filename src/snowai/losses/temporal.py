"""Steadiness in video, learnt from stills: a moved photo must give the moved picture."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_image, check_same_shape
from snowai.losses.pixel import l1_loss

__all__ = ["EquivarianceLoss", "View", "equivariance_loss", "random_view"]

Network = Callable[[Tensor, Tensor], Tensor]


class View(NamedTuple):
    """How a camera might see the same face a moment later."""

    matrix: Tensor  # (B, 2, 3), output to input places, in [-1, 1] coordinates
    gain: Tensor  # (B, 1, 1, 1), brightness

    def move(self, image: Tensor) -> Tensor:
        """Return the image (B, C, H, W) as the moved camera sees it; beyond the border is 0."""
        grid = F.affine_grid(self.matrix.to(image), list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, mode="bilinear", align_corners=False)

    def see(self, image: Tensor) -> Tensor:
        """Return the image (B, C, H, W) moved and brightened."""
        return self.move(image) * self.gain.to(image)


def random_view(
    batch: int,
    *,
    shift: float = 0.03,
    scale: float = 0.05,
    degrees: float = 3.0,
    brightness: float = 0.1,
    generator: torch.Generator | None = None,
) -> View:
    """Draw how far the camera moved between two frames.

    Args:
        batch: Number of views.
        shift: Largest shift, as a share of the side.
        scale: Largest change of size, as a share.
        degrees: Largest turn.
        brightness: Largest change of brightness, as a share.
        generator: Of the randomness; default torch's own.

    Example:
        >>> random_view(2).see(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    draw = torch.rand(batch, 5, generator=generator) * 2 - 1
    turn, size = torch.deg2rad(draw[:, 0] * degrees), 1 + draw[:, 1] * scale
    cosine, sine = turn.cos() * size, turn.sin() * size
    across, down = draw[:, 2] * 2 * shift, draw[:, 3] * 2 * shift
    matrix = torch.stack([cosine, -sine, across, sine, cosine, down], dim=1).view(batch, 2, 3)
    return View(matrix, (1 + draw[:, 4] * brightness).view(batch, 1, 1, 1))


def equivariance_loss(
    network: Network, image: Tensor, eye_mask: Tensor, drawn: Tensor, view: View
) -> Tensor:
    r"""How much the picture of the moved photo differs from the moved picture.

    .. math:: \text{mean}\,|G(T x) - T G(x)|

    over the pixels that both show. A network that scores 0 does not flicker when the face moves by
    less than a few pixels, and no video was needed to teach it.

    Args:
        network: :math:`G`, called with (image, eye_mask).
        image: :math:`x`, :math:`(B, 3, H, W)` in [0, 1].
        eye_mask: :math:`(B, 1, H, W)` in [0, 1].
        drawn: :math:`G(x)`; it gets a gradient too.
        view: :math:`T`, see :func:`random_view`.

    Returns:
        Scalar.

    Source:
        VToonify's flicker suppression, https://arxiv.org/abs/2209.11224, equation 6.

    Example:
        >>> image = torch.rand(1, 3, 16, 16)
        >>> loss = equivariance_loss(lambda x, _: x, image, image[:, :1], image, random_view(1))
        >>> round(loss.item(), 6)
        0.0
    """
    check_image(image, "image", channels=3)
    check_same_shape(image, drawn, ("image", "drawn"))
    seen = view.see(image).clamp(0, 1)
    again = network(seen, view.move(eye_mask))
    shown = (view.move(torch.ones_like(eye_mask)) > 0.999).to(image)  # Inside the photo.
    clipped = (view.see(image) > 1).any(dim=1, keepdim=True)  # Too bright to compare.
    return l1_loss(again.float(), view.see(drawn), weight=shown * ~clipped)


class EquivarianceLoss(nn.Module):
    """Module form of :func:`equivariance_loss`; it draws a view for each call.

    Args:
        shift: Largest shift, as a share of the side.
        scale: Largest change of size, as a share.
        degrees: Largest turn.
        brightness: Largest change of brightness, as a share.
    """

    def __init__(
        self,
        *,
        shift: float = 0.03,
        scale: float = 0.05,
        degrees: float = 3.0,
        brightness: float = 0.1,
    ) -> None:
        super().__init__()
        self.shift, self.scale = shift, scale
        self.degrees, self.brightness = degrees, brightness

    def forward(self, network: Network, image: Tensor, eye_mask: Tensor, drawn: Tensor) -> Tensor:
        """Return the distance for one random view of each photo."""
        view = random_view(
            len(image),
            shift=self.shift,
            scale=self.scale,
            degrees=self.degrees,
            brightness=self.brightness,
        )
        return equivariance_loss(network, image, eye_mask, drawn, view)
