"""A discriminator that looks through a trained network, beside StyleGAN2's own."""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from snowai._checks import check_image

__all__ = ["ProjectedDiscriminator"]


class ProjectedDiscriminator(nn.Module):
    r"""Judge frozen features, mixed at random over channels and scales.

    Features of a trained network are mixed by fixed random 1x1 convolutions and, from coarse to
    fine, by fixed random 3x3 convolutions, so that no scale can be ignored; a small discriminator
    with spectral norm looks at each. It knows what a face is made of long before a discriminator
    from scratch does, but alone it lets every latent become one face, so it serves as a second
    opinion. Scores measured on the same features flatter the result.

    Args:
        features: Frozen network from a picture with mean and std 0.5 to a list of maps, finest
            first, each half as large as the one before, e.g. ``lite0_features((1, 2, 3, 4))``.
        size: Pictures are brought to this side first.
        width: Channels after mixing.

    Shape:
        - Image: :math:`(B, 3, H, W)` in [0, 1]. Output: one map of logits for each scale.

    Source:
        Sauer et al., https://arxiv.org/abs/2111.01007; as a second opinion, Kumari et al.,
        https://arxiv.org/abs/2112.09130.

    Example:
        >>> from snowai.losses import lite0_features
        >>> judge = ProjectedDiscriminator(lite0_features((1, 2)), size=64, width=8)
        >>> [logits.shape for logits in judge(torch.rand(2, 3, 32, 32))]
        [torch.Size([2, 1, 4, 4]), torch.Size([2, 1, 4, 4])]
    """

    def __init__(self, features: nn.Module, *, size: int = 128, width: int = 64) -> None:
        super().__init__()
        self.features, self.size = features.eval().requires_grad_(False), size
        with torch.no_grad():
            # Any picture with edges tells how large each scale's features are.
            seeded = torch.Generator().manual_seed(0)
            maps = features(F.interpolate(torch.rand(1, 3, 8, 8, generator=seeded), size) * 2 - 1)
        self.mix_channels = nn.ModuleList(nn.Conv2d(x.shape[1], width, 1, bias=False) for x in maps)
        self.mix_scales = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in maps
        )
        for mixer, gains in (
            (self.mix_channels, [1 / x.square().mean().sqrt() for x in maps]),
            (self.mix_scales, [math.sqrt(0.5)] * len(maps)),
        ):
            mixer.requires_grad_(False)
            for conv, gain in zip((cast("nn.Conv2d", x) for x in mixer), gains, strict=True):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
                conv.weight.mul_(gain)
        self.heads = nn.ModuleList(_head(width, x.shape[-1]) for x in maps)

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """Set the heads' mode; the features stay as they are."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return a map of logits for each scale, high for real pictures."""
        check_image(image, "image", channels=3)
        if image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(
                image, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        maps: Sequence[Tensor] = self.features(image * 2 - 1)
        mixed = [mix(x) for mix, x in zip(self.mix_channels, maps, strict=True)]
        coarser: Tensor | None = None
        logits = []
        for x, mix, head in zip(mixed[::-1], self.mix_scales, self.heads[::-1], strict=True):
            if coarser is not None:
                size = x.shape[-2:]
                x = x + F.interpolate(coarser, size, mode="bilinear", align_corners=False)  # noqa: PLW2901
            coarser = mix(x)
            logits.append(head(coarser))
        return logits[::-1]


def _head(width: int, side: int) -> nn.Sequential:
    """Halve the map to 4 pixels, then one logit a pixel."""
    layers: list[nn.Module] = []
    while side > 4:
        layers += [spectral_norm(nn.Conv2d(width, width, 4, stride=2, padding=1))]
        layers += [nn.LeakyReLU(0.2)]
        side = -(-side // 2)
    layers += [spectral_norm(nn.Conv2d(width, width, 3, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 1)))
