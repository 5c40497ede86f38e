"""Well-known generators, written from their papers to be timed beside ours; not for use.

Widths, kernels and order are the published ones, so parameters and multiply-adds are too.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TEXTBOOK", "AnimeGANv2", "ResNet9", "UNet256"]


class AnimeGANv2(nn.Module):
    """Chen et al., AnimeGAN, in its second version: https://doi.org/10.1007/978-981-15-5577-0_18.

    Full-size convolutions, inverted residuals at a quarter, and layer normalisation over the whole
    feature map, which no runtime can fold.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            _convolution(3, 32, 7), _convolution(32, 64, stride=2), _convolution(64, 64),
            _convolution(64, 128, stride=2), _convolution(128, 128),
        )  # fmt: skip
        self.middle = nn.Sequential(
            _convolution(128, 128), _Inverted(128, 256),
            *(_Inverted(256, 256) for _ in range(3)), _convolution(256, 128),
        )  # fmt: skip
        self.halfway = nn.Sequential(_convolution(128, 128), _convolution(128, 128))
        self.whole = nn.Sequential(
            _convolution(128, 64), _convolution(64, 64), _convolution(64, 32, 7)
        )
        self.head = nn.Conv2d(32, 3, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the picture in [-1, 1]."""
        features = self.middle(self.down(image))
        for level in (self.halfway, self.whole):
            features = level(F.interpolate(features, scale_factor=2, mode="bilinear"))
        return torch.tanh(self.head(features))


class ResNet9(nn.Module):
    """Johnson et al., https://arxiv.org/abs/1603.08155, with nine blocks.

    CycleGAN's generator, and with more channels the global one of pix2pixHD.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        inner = width * 4
        self.layers = nn.Sequential(
            _instance(nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect")),
            _instance(nn.Conv2d(width, width * 2, 3, stride=2, padding=1)),
            _instance(nn.Conv2d(width * 2, inner, 3, stride=2, padding=1)),
            *(_Residual(inner) for _ in range(9)),
            _instance(nn.ConvTranspose2d(inner, width * 2, 3, 2, 1, output_padding=1)),
            _instance(nn.ConvTranspose2d(width * 2, width, 3, 2, 1, output_padding=1)),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the picture in [-1, 1]."""
        picture: Tensor = self.layers(image)
        return picture


class UNet256(nn.Module):
    """Isola et al. (pix2pix), https://arxiv.org/abs/1611.07004: eight levels down to one pixel."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, out in enumerate(widths):
            into = 3 if level == 0 else widths[level - 1]
            normed = 0 < level < len(widths) - 1
            self.down.append(
                nn.Sequential(
                    nn.Identity() if level == 0 else nn.LeakyReLU(0.2),
                    nn.Conv2d(into, out, 4, stride=2, padding=1, bias=not normed),
                    nn.BatchNorm2d(out) if normed else nn.Identity(),
                )
            )
        for level in reversed(range(len(widths))):
            into = widths[level] * (1 if level == len(widths) - 1 else 2)
            out = 3 if level == 0 else widths[level - 1]
            self.up.append(
                nn.Sequential(
                    nn.ReLU(),
                    nn.ConvTranspose2d(into, out, 4, stride=2, padding=1, bias=level == 0),
                    nn.Tanh() if level == 0 else nn.BatchNorm2d(out),
                )
            )

    def forward(self, image: Tensor) -> Tensor:
        """Return the picture in [-1, 1]."""
        skips = [image]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        features = skips.pop()
        for layer in self.up[:-1]:
            features = torch.cat([layer(features), skips.pop()], dim=1)
        picture: Tensor = self.up[-1](features)
        return picture


TEXTBOOK: Mapping[str, type[nn.Module]] = {
    "AnimeGANv2-like": AnimeGANv2,
    "ResNet-9 (pix2pixHD-like)": ResNet9,
    "U-Net 256 (pix2pix)": UNet256,
}


class _Inverted(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        hidden = into * 2
        self.layers = nn.Sequential(
            _convolution(into, hidden, 1),
            _convolution(hidden, hidden, 3, groups=hidden),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.GroupNorm(1, out),
        )
        self.adds = into == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect") for _ in range(2)
        )
        self.layers = nn.Sequential(_instance(first), second, nn.InstanceNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y


def _convolution(into: int, out: int, kernel: int = 3, **options: int) -> nn.Sequential:
    convolution = nn.Conv2d(
        into, out, kernel, padding=kernel // 2, padding_mode="reflect", bias=False, **options
    )
    return nn.Sequential(convolution, nn.GroupNorm(1, out), nn.LeakyReLU(0.2))


def _instance(convolution: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU())
