"""SE-U-Nets built otherwise in one place: what the shape of se_unet_base was chosen among."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from snowai.checkpoint import keeps_config
from snowai.layers import ConvNormAct, InvertedResidual, SqueezeExcite, UpBlock
from snowai.models import SEUNet

__all__ = ["VARIANTS", "ConcatUp", "RepeatHead"]


@keeps_config
class RepeatHead(SEUNet):
    """Repeat the features and convolve them at full size, instead of making four pixels of each."""

    def __init__(self, in_channels: int = 4) -> None:
        super().__init__(in_channels)
        kept = self.head.in_channels, self.head.out_channels // 4
        self.head = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(*kept, 3, padding=1))
        self.shuffle = nn.Identity()
        nn.init.zeros_(self.head[1].weight)


class ConcatUp(nn.Module):
    """Join the encoder's features by concatenation and a 1x1 convolution, instead of adding."""

    def __init__(self, up: UpBlock) -> None:
        super().__init__()
        self.up = up
        width = up.project.conv.out_channels
        self.join = ConvNormAct(2 * width, width, 1, act_layer=nn.Identity)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return the features at twice the size."""
        grown = self.up.upsample(self.up.project(x))
        y: Tensor = self.up.block(self.join(torch.cat([grown, skip], dim=1)))
        return y


def _unshuffled(in_channels: int) -> SEUNet:
    network = SEUNet(in_channels)
    width = network.stem.conv.out_channels
    network.stem = nn.Sequential(nn.PixelUnshuffle(2), ConvNormAct(4 * in_channels, width))
    return network


def _concatenated(in_channels: int) -> SEUNet:
    network = SEUNet(in_channels)
    network.decoder = nn.ModuleList(ConcatUp(up) for up in network.decoder)
    return network


def _gated_everywhere(in_channels: int) -> SEUNet:
    network = SEUNet(in_channels)
    for block in _blocks(network):
        block.se = SqueezeExcite(block.depthwise.conv.out_channels)
    return network


def _small_kernels(in_channels: int) -> SEUNet:
    network = SEUNet(in_channels)
    for block in _blocks(network):
        old = block.depthwise.conv
        block.depthwise = ConvNormAct(
            old.in_channels, old.out_channels, 3, stride=old.stride[0], groups=old.groups
        )
    return network


def _blocks(network: SEUNet) -> list[InvertedResidual]:
    return [part for part in network.modules() if isinstance(part, InvertedResidual)]


VARIANTS: Mapping[str, Callable[[int], SEUNet]] = {
    "base": SEUNet,
    "head: repeat, then convolve": RepeatHead,
    "head of 24 features": lambda c: SEUNet(c, head_channels=24),
    "stem: space to depth": _unshuffled,
    "skips concatenated": _concatenated,
    "no squeeze-and-excitation": lambda c: SEUNet(c, squeeze_excite=False),
    "squeeze-and-excitation everywhere": _gated_everywhere,
    "3x3 kernels everywhere": _small_kernels,
    "ReLU for hard-swish": lambda c: SEUNet(c, activation="relu"),
    "folding branches": lambda c: SEUNet(c, branches=True),
    "24 channels at stride 2": lambda c: SEUNet(c, widths=(24, 32, 64, 112, 160)),
    "40 channels at stride 4": lambda c: SEUNet(c, widths=(16, 40, 64, 112, 160)),
    "two blocks at stride 4": lambda c: SEUNet(c, depths=(2, 2, 2, 3)),
    "three blocks at stride 16": lambda c: SEUNet(c, depths=(1, 2, 3, 3)),
    "half again as large": lambda c: SEUNet(c, widths=(24, 40, 56, 96, 144), depths=(2, 2, 3, 3)),
    "output rgb": lambda c: SEUNet(c, output="rgb"),
    "output residual": lambda c: SEUNet(c, output="residual"),
}
