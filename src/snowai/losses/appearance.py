"""What a filter may change and what not: who it is, the colour of the skin, and how much."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_image, check_same_shape

__all__ = [
    "ColourLoss",
    "IdentityLoss",
    "alpha_sparsity_loss",
    "colour_loss",
    "total_variation_loss",
]


class IdentityLoss(nn.Module):
    r"""Keep the person: distance of the embeddings that a face recogniser gives.

    .. math:: 1 - \cos(e(x), e(y))

    Args:
        embedder: Maps faces :math:`(B, 3, S, S)` to vectors; any recogniser, e.g. ArcFace. It is
            frozen, and the gradient passes through it.
        size: :math:`S`, side of the faces that it wants.
        mean: Per-channel mean of the images that it was trained on, in [0, 1].
        std: Their per-channel deviation.

    Shape:
        - prediction and photo: :math:`(B, 3, H, W)` in [0, 1]; output: scalar in [0, 2].

    Source:
        Richardson et al. (pSp), https://arxiv.org/abs/2008.00951, equation 4.

    Example:
        >>> embedder = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        >>> image = torch.rand(2, 3, 64, 64)
        >>> round(IdentityLoss(embedder, size=32)(image, image).item(), 4)
        0.0
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        embedder: nn.Module,
        *,
        size: int = 112,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        self.embedder = embedder.requires_grad_(False).eval()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "IdentityLoss":
        """Stay in evaluation mode: the recogniser is a measure, not a pupil."""
        del mode
        return super().train(False)

    def forward(self, prediction: Tensor, photo: Tensor) -> Tensor:
        """Return the distance; the photo gets no gradient."""
        check_image(prediction, "prediction", channels=3)
        check_same_shape(prediction, photo, ("prediction", "photo"))
        with torch.no_grad():
            wanted = self._embed(photo)
        return (1 - F.cosine_similarity(self._embed(prediction), wanted, dim=1)).mean()

    def _embed(self, image: Tensor) -> Tensor:
        faces = F.interpolate(
            image, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
        )
        vectors: Tensor = self.embedder((faces - self.mean) / self.std)
        return vectors.flatten(1)


def colour_loss(prediction: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    r"""Distance of a region's mean colour and contrast in CIE Lab, e.g. of the skin.

    .. math:: \tfrac{1}{100}\left(|\mu_x - \mu_y| + |\sigma_x - \sigma_y|\right)

    It holds the tone without asking for the pixels: with the photo as target it keeps the person's
    skin tone, with the styled picture it learns the style's.

    Args:
        prediction: :math:`(B, 3, H, W)` in [0, 1].
        target: Of the same shape.
        weight: Region :math:`(B, 1, H, W)`, not negative, e.g. a face mask; default everywhere.

    Returns:
        Scalar; 0.01 is one step of Lab, which an eye can just see.

    Example:
        >>> grey = torch.full((1, 3, 4, 4), 0.5)
        >>> round(colour_loss(grey, grey.flip(-1)).item(), 4)
        0.0
    """
    from kornia.color import rgb_to_lab

    check_image(prediction, "prediction", channels=3)
    check_same_shape(prediction, target, ("prediction", "target"))
    weight = torch.ones_like(prediction[:, :1]) if weight is None else weight
    check_same_shape(weight, prediction[:, :1], ("weight", "one channel of the images"))
    share = weight / weight.sum(dim=(-2, -1), keepdim=True).clamp_min(1e-8)

    def moments(image: Tensor) -> Tensor:
        lab = rgb_to_lab(image.clamp(0, 1)) / 100
        mean = (lab * share).sum(dim=(-2, -1), keepdim=True)
        variance = ((lab - mean).square() * share).sum(dim=(-2, -1))
        return torch.cat([mean.flatten(1), (variance + 1e-8).sqrt()], dim=1)

    return (moments(prediction) - moments(target)).abs().mean() * 2


class ColourLoss(nn.Module):
    """Module form of :func:`colour_loss`."""

    def forward(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the distance of mean colour and contrast."""
        return colour_loss(prediction, target, weight=weight)


def alpha_sparsity_loss(alpha: Tensor) -> Tensor:
    """How much of the picture the network changes: the mean of its alpha.

    Args:
        alpha: :math:`(B, 1, H, W)` in [0, 1], e.g. of ``SEUNet.alpha``.

    Example:
        >>> alpha_sparsity_loss(torch.full((1, 1, 4, 4), 0.25))
        tensor(0.2500)
    """
    check_image(alpha, "alpha", channels=1)
    return alpha.mean()


def total_variation_loss(image: Tensor) -> Tensor:
    r"""Mean absolute step between neighbours, across and down: roughness.

    Args:
        image: :math:`(B, C, H, W)`, at least 2 x 2; an alpha, or a picture.

    Source:
        Rudin, Osher and Fatemi, https://doi.org/10.1016/0167-2789(92)90242-F.

    Example:
        >>> total_variation_loss(torch.eye(2)[None, None])
        tensor(2.)
    """
    check_image(image, "image")
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    return across + down
