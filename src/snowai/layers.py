"""The blocks that our networks are made of; activations and norms are swapped by class."""

import math
from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

__all__ = ["ConvNormAct", "InvertedResidual", "Layer", "SqueezeExcite", "UpBlock", "init_weights"]

Layer: TypeAlias = Callable[..., nn.Module]
"""A class (or function) that makes a module, e.g. ``nn.ReLU``."""


class ConvNormAct(nn.Sequential):
    """Convolve, normalise, activate; zero padding keeps the size at stride 1.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd, in pixels.
        stride: Step between outputs, in pixels.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
        norm_layer: Called with ``out_channels``. ``nn.Identity`` leaves the convolution its bias.
        act_layer: Called with nothing.

    Shape:
        - Input: :math:`(B, C_{in}, H, W)`, output: :math:`(B, C_{out}, H / s, W / s)`.

    Example:
        >>> ConvNormAct(3, 8, stride=2)(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
        act_layer: Layer = nn.Hardswish,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the size; got {kernel_size}.")
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=norm_layer is nn.Identity,
        )
        self.norm = norm_layer(out_channels)
        self.act = act_layer()


class SqueezeExcite(nn.Module):
    r"""Reweight channels by what the whole image contains (squeeze-and-excitation).

    .. math:: y = x \cdot \sigma(W_2\, \delta(W_1\, \text{mean}_{HW}(x)))

    Args:
        channels: Channels of the input and of the output.
        reduction: The squeezed vector has ``channels // reduction`` entries (at least 1).
        act_layer: :math:`\delta`, between the two projections.
        gate_layer: :math:`\sigma`, maps to [0, 1]. The hard sigmoid costs least on phones.

    Shape:
        - Input and output: :math:`(B, C, H, W)`.

    Source:
        Hu et al., https://arxiv.org/abs/1709.01507

    Example:
        >>> SqueezeExcite(32)(torch.rand(2, 32, 16, 16)).shape
        torch.Size([2, 32, 16, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 4,
        act_layer: Layer = nn.ReLU,
        gate_layer: Layer = nn.Hardsigmoid,
    ) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 1)
        # AdaptiveAvgPool exports as GlobalAveragePool, which phone runtimes fuse; mean does not.
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.act = act_layer()
        self.excite = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = gate_layer()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with each channel scaled by its gate."""
        gate: Tensor = self.gate(self.excite(self.act(self.squeeze(self.pool(x)))))
        return x * gate


class InvertedResidual(nn.Module):
    """Expand, filter each channel, reweight, project: MobileNetV3's block.

    1x1 expansion, depthwise convolution, optional squeeze-and-excitation and a linear 1x1
    projection; the input is added when the shape stays.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Of the depthwise convolution, odd.
        stride: Of the depthwise convolution.
        expansion: Hidden channels are ``in_channels * expansion``, rounded to multiples of 8;
            1 leaves the expansion out.
        se_layer: Called with the hidden channels, e.g. :class:`SqueezeExcite` or ``nn.Identity``.
        act_layer: After the expansion and after the depthwise convolution.

    Shape:
        - Input: :math:`(B, C_{in}, H, W)`, output: :math:`(B, C_{out}, H / s, W / s)`.

    Source:
        Howard et al., https://arxiv.org/abs/1905.02244

    Example:
        >>> InvertedResidual(16, 24, stride=2)(torch.rand(2, 16, 32, 32)).shape
        torch.Size([2, 24, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        expansion: float = 3,
        se_layer: Layer = nn.Identity,
        act_layer: Layer = nn.Hardswish,
    ) -> None:
        super().__init__()
        hidden = in_channels if expansion == 1 else max(round(in_channels * expansion / 8) * 8, 8)
        self.adds_input = stride == 1 and in_channels == out_channels
        self.expand = (
            nn.Identity()
            if expansion == 1
            else ConvNormAct(in_channels, hidden, kernel_size=1, act_layer=act_layer)
        )
        self.depthwise = ConvNormAct(
            hidden, hidden, kernel_size, stride=stride, groups=hidden, act_layer=act_layer
        )
        self.se = se_layer(hidden)
        self.project = ConvNormAct(hidden, out_channels, kernel_size=1, act_layer=nn.Identity)

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered features."""
        features: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return x + features if self.adds_input else features


class UpBlock(nn.Module):
    """Double the size and join the encoder's features: project, nearest x2, add, filter.

    The projection runs at the low resolution, where it costs a quarter, and nearest up-sampling
    followed by a convolution leaves no checkerboard (https://distill.pub/2016/deconv-checkerboard).

    Args:
        in_channels: Channels of the coarse input.
        out_channels: Channels of the skip and of the output.
        block: Called with (out_channels, out_channels); filters the sum.
        upsample_layer: Called with ``scale_factor``.

    Shape:
        - x: :math:`(B, C_{in}, H, W)`, skip and output: :math:`(B, C_{out}, 2H, 2W)`.

    Example:
        >>> UpBlock(32, 16)(torch.rand(1, 32, 4, 4), torch.rand(1, 16, 8, 8)).shape
        torch.Size([1, 16, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        block: Layer = InvertedResidual,
        upsample_layer: Layer = nn.Upsample,
    ) -> None:
        super().__init__()
        self.project = ConvNormAct(in_channels, out_channels, 1, act_layer=nn.Identity)
        self.upsample = upsample_layer(scale_factor=2)
        self.block = block(out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return features at the skip's size."""
        features: Tensor = self.block(self.upsample(self.project(x)) + skip)
        return features


def init_weights(module: nn.Module, *, negative_slope: float = 0.0) -> None:
    """Initialise every convolution by He's rule (fan out) and every bias with zero, in place.

    Args:
        module: Any network.
        negative_slope: Of the leaky ReLU that follows; 0 for ReLU and hard-swish.

    Source:
        He et al., https://arxiv.org/abs/1502.01852
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            # A depthwise output feeds one group only, which torch's own fan_out overlooks.
            fan_out = part.out_channels // part.groups * math.prod(part.kernel_size)
            gain = nn.init.calculate_gain("leaky_relu", negative_slope)
            nn.init.normal_(part.weight, std=gain / math.sqrt(fan_out))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
