"""The blocks that our networks are made of; activations and norms are swapped by class."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "ConvNormAct",
    "InvertedResidual",
    "Layer",
    "RepConvNormAct",
    "SqueezeExcite",
    "UpBlock",
    "init_weights",
]

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
        self.conv: nn.Conv2d = _Conv2d(
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

    def fold(self) -> None:
        """Fold BatchNorm's running statistics into the convolution, in place, for good."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = _with_weights(self.conv, *_folded(self.conv, self.norm))
            self.norm = nn.Identity()


class RepConvNormAct(nn.Module):
    r"""Train branches side by side that fold into one convolution: k x k, 1x1 and identity.

    .. math:: y = \delta\left(\text{BN}(W_k x) + \text{BN}(W_1 x) + \text{BN}(x)\right)

    The branches ease training and cost nothing afterwards; see :meth:`fold`. The identity is there
    where the shape stays.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd and above 1, in pixels.
        stride: Step between outputs, in pixels.
        groups: Groups of the convolutions; ``in_channels`` makes them depthwise.
        act_layer: Called with nothing.

    Shape:
        - Input: :math:`(B, C_{in}, H, W)`, output: :math:`(B, C_{out}, H / s, W / s)`.

    Source:
        Ding et al., https://arxiv.org/abs/2101.03697; depthwise: https://arxiv.org/abs/2206.04040.

    Example:
        >>> layer, image = RepConvNormAct(8, 8, groups=8).eval(), torch.rand(1, 8, 16, 16)
        >>> branched = layer(image)
        >>> layer.fold()
        >>> torch.allclose(layer(image), branched, atol=1e-5), len(layer.branches)
        (True, 1)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        act_layer: Layer = nn.Hardswish,
    ) -> None:
        super().__init__()
        if kernel_size == 1:
            raise ValueError("A 1x1 kernel has no smaller branch; use ConvNormAct.")
        branches = [
            ConvNormAct(
                in_channels, out_channels, size, stride=stride, groups=groups, act_layer=nn.Identity
            )
            for size in (kernel_size, 1)
        ]
        self.branches: Sequence[ConvNormAct] = nn.ModuleList(branches)  # type: ignore[assignment]
        keeps_shape = stride == 1 and in_channels == out_channels
        self.identity = nn.BatchNorm2d(in_channels) if keeps_shape else None
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated sum of the branches."""
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        if self.identity is not None:
            total = total + self.identity(x)
        y: Tensor = self.act(total)
        return y

    def fold(self) -> None:
        """Fold the branches into one convolution, in place, for good."""
        main = self.branches[0]
        if len(self.branches) == 1:
            return
        kernel = main.conv.kernel_size[0]
        weight, bias = _folded(main.conv, main.norm)
        parts = [_folded(self.branches[1].conv, self.branches[1].norm)]
        if self.identity is not None:
            parts.append(_folded(_identity_conv(main.conv), self.identity))
        for small, shift in parts:
            weight = weight + F.pad(small, (kernel // 2,) * 4)
            bias = bias + shift
        main.conv, main.norm = _with_weights(main.conv, weight, bias), nn.Identity()
        self.branches, self.identity = nn.ModuleList([main]), None  # type: ignore[assignment]


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
        depthwise_layer: :class:`ConvNormAct`, or :class:`RepConvNormAct` for folding branches.

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
        depthwise_layer: Layer = ConvNormAct,
    ) -> None:
        super().__init__()
        hidden = in_channels if expansion == 1 else max(round(in_channels * expansion / 8) * 8, 8)
        self.adds_input = stride == 1 and in_channels == out_channels
        self.expand = (
            nn.Identity()
            if expansion == 1
            else ConvNormAct(in_channels, hidden, kernel_size=1, act_layer=act_layer)
        )
        self.depthwise = depthwise_layer(
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


class _Conv2d(nn.Conv2d):
    """A convolution that knows where float32 trains faster than bfloat16 on a CPU.

    oneDNN's bfloat16 gradient of strided or large depthwise kernels takes up to ten times as long
    as float32's, which makes a training step of SE-U-Net a third longer.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d's own name.
        slow = self.groups > 1 and (self.stride[0] > 1 or self.kernel_size[0] > 3)
        if not (slow and self.training and torch.is_autocast_enabled("cpu")):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


@torch.no_grad()
def _folded(conv: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that does both."""
    bias = torch.zeros_like(conv.weight[:, 0, 0, 0]) if conv.bias is None else conv.bias
    if (
        not isinstance(norm, nn.BatchNorm2d)
        or norm.running_var is None
        or norm.running_mean is None
    ):
        return conv.weight, bias
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias + (bias - norm.running_mean) * scale


def _with_weights(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Return a convolution of the same geometry with weight and bias."""
    made = copy.deepcopy(conv)
    made.weight, made.bias = nn.Parameter(weight), nn.Parameter(bias)
    return made


def _identity_conv(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the 1x1 convolution that changes nothing, with the groups of another."""
    weight = torch.zeros_like(conv.weight[..., :1, :1])
    inside = conv.in_channels // conv.groups
    for channel in range(conv.out_channels):
        weight[channel, channel % inside] = 1
    one = nn.Conv2d(conv.in_channels, conv.out_channels, 1, groups=conv.groups, bias=False)
    one.weight = nn.Parameter(weight)
    return one
