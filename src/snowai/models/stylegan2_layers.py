r"""StyleGAN2's layers: equalised learning rate, modulated convolution, [1, 3, 3, 1] resampling.

A convolution whose weights depend on the sample is usually one group per sample. Here the style
scales the *input*, one ordinary convolution serves the whole batch, and demodulation scales the
*output*: the same numbers at half the time on a CPU (benchmarks/stylegan2.py).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "RELU_GAIN",
    "EqualConv2d",
    "EqualLinear",
    "StyledConv",
    "ToRGB",
    "blur_down",
    "leaky_relu",
    "modulated_conv2d",
    "upsample_rgb",
]

RELU_GAIN = math.sqrt(2)
_EPS = 1e-8


def leaky_relu(x: Tensor) -> Tensor:
    """Return the leaky ReLU of slope 0.2 in the place of ``x``, a layer's fresh output.

    The gain of root 2 that keeps the variance passes through it, so layers carry it in their
    weights and biases, and no feature map is read once more.
    """
    return F.leaky_relu(x, 0.2, inplace=True)


def blur_down(x: Tensor, *, padding: int, stride: int) -> Tensor:
    """Filter each channel with [1, 3, 3, 1] in both directions; weights sum to 1.

    Args:
        x: :math:`(B, C, H, W)`.
        padding: Zeros on every side.
        stride: 2 halves the size.
    """
    return F.conv2d(x, _kernel(x), stride=stride, padding=padding, groups=x.shape[1])


def upsample_rgb(x: Tensor) -> Tensor:
    """Double the size with the [1, 3, 3, 1] filter, the brightness unchanged.

    Example:
        >>> upsample_rgb(torch.rand(1, 3, 4, 4)).shape
        torch.Size([1, 3, 8, 8])
    """
    return F.conv_transpose2d(x, 4 * _kernel(x), stride=2, padding=1, groups=x.shape[1])


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    bias: Tensor | None = None,
    energy: Tensor | None = None,
    demodulate: bool = True,
    up: bool = False,
    gain: float = 1.0,
) -> Tensor:
    r"""Convolve with weights that each sample scales by its own style.

    .. math:: w'_{oikl} = s_i w_{oikl}, \quad w'' = w' / \sqrt{\textstyle\sum_{ikl} w'^2 + \epsilon}

    Args:
        x: :math:`(B, C_{in}, H, W)`.
        weight: :math:`(C_{out}, C_{in}, k, k)`.
        style: :math:`(B, C_{in})`.
        bias: :math:`(C_{out})`, added at the end.
        energy: Sum of each kernel's squared weights, :math:`(C_{out}, C_{in})`, when known.
        demodulate: Divide by the norm of the scaled weights.
        up: Double the size: transposed convolution, then a [1, 3, 3, 1] blur.
        gain: Multiplies weights and bias.

    Source:
        Karras et al., https://arxiv.org/abs/1912.04958, equations 1 to 3.

    Example:
        >>> y = modulated_conv2d(torch.rand(2, 4, 8, 8), torch.randn(6, 4, 3, 3), torch.ones(2, 4))
        >>> y.shape
        torch.Size([2, 6, 8, 8])
    """
    scale = None
    if demodulate:
        if x.dtype is torch.float16:  # Only ratios matter, and half precision ends at 65504.
            style = style / style.abs().amax(dim=1, keepdim=True)
        energy = weight.square().sum(dim=(2, 3)) if energy is None else energy
        scale = torch.rsqrt(style.square() @ energy.t() + _EPS) * gain
    else:
        style = style * gain
    bias = None if bias is None else bias * gain
    if x.shape[0] == 1 and weight.numel() < x.numel() * (4 if up else 1):
        # One sample: scaling the weights once is less work than scaling both feature maps.
        weight = weight * style[0, :, None, None]
        weight = weight if scale is None else weight * scale[0, :, None, None, None]
        return _convolve(x, weight, bias, up=up)
    x = x * style.to(x.dtype)[:, :, None, None]
    if scale is None:
        return _convolve(x, weight, bias, up=up)
    y = _convolve(x, weight, None, up=up)
    scale = scale.to(y.dtype)[:, :, None, None]
    if bias is None:
        return y * scale
    return torch.addcmul(bias.to(y.dtype)[:, None, None], y, scale)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, up: bool) -> Tensor:
    weight = weight.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    if not up:
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(y, 4 * _kernel(y), bias, padding=1, groups=y.shape[1])


def _kernel(x: Tensor) -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8
    return torch.outer(line, line).expand(x.shape[1], 1, 4, 4)


class EqualLinear(nn.Module):
    r"""Linear layer whose weights are scaled when used, so that all learn at one speed.

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        bias_init: First value of the biases.
        lr_multiplier: Slows learning; 0.01 in the mapping network.
        gain: Multiplies the output; root 2 before a leaky ReLU.

    Shape:
        - Input: :math:`(B, C_{in})`, output: :math:`(B, C_{out})`.

    Source:
        Karras et al., https://arxiv.org/abs/1710.10196

    Example:
        >>> EqualLinear(8, 4)(torch.rand(2, 8)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = gain * lr_multiplier / math.sqrt(in_features)
        self.bias_gain = gain * lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Return the projection."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class EqualConv2d(nn.Module):
    r"""Convolution with equalised learning rate; ``down`` blurs and halves the size.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd, in pixels.
        bias: Add one.
        down: Blur with [1, 3, 3, 1] and convolve with stride 2.
        gain: Multiplies the output; root 2 before a leaky ReLU.

    Shape:
        - Input: :math:`(B, C_{in}, H, W)`, output: :math:`(B, C_{out}, H / s, W / s)`.

    Example:
        >>> EqualConv2d(4, 8, down=True)(torch.rand(1, 4, 16, 16)).shape
        torch.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        bias: bool = True,
        down: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = gain / math.sqrt(in_channels * kernel_size**2)
        self.bias_gain, self.down = gain, down

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered features."""
        half = self.weight.shape[-1] // 2
        weight = self.weight * self.weight_gain
        bias = None if self.bias is None else self.bias * self.bias_gain
        if not self.down:
            return F.conv2d(x, weight, bias, padding=half)
        if half == 0:  # A 1x1 convolution may come after the thinning, where it costs a quarter.
            return F.conv2d(blur_down(x, padding=1, stride=2), weight, bias)
        return F.conv2d(blur_down(x, padding=half + 1, stride=1), weight, bias, stride=2)


class StyledConv(nn.Module):
    r"""Modulated 3x3 convolution, noise, bias and leaky ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        w_dim: Size of the latent.
        resolution: Of the output, in pixels.
        up: Double the size.

    Shape:
        - x: :math:`(B, C_{in}, H, W)`, w: :math:`(B, w)`, noise: :math:`(B\text{ or }1, 1, R, R)`.
        - Output: :math:`(B, C_{out}, R, R)`.
    """

    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, w_dim: int, resolution: int, up: bool = False
    ) -> None:
        super().__init__()
        # Laid out as the convolution wants it, so that it is not copied at each call.
        if up:
            weight = torch.randn(in_channels, out_channels, 3, 3)
            weight = weight.contiguous(memory_format=torch.channels_last).transpose(0, 1)
        else:
            weight = torch.randn(out_channels, in_channels, 3, 3)
            weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(1, 1, resolution, resolution))
        self.weight_gain = 1 / math.sqrt(in_channels * 9)
        self.resolution, self.up = resolution, up
        self._known_energy: tuple[int, Tensor] | None = None

    def _energy(self) -> Tensor | None:
        """Return the kernels' energy, kept while the weights do not change; None in training."""
        learning = self.weight.requires_grad and torch.is_grad_enabled()
        if learning or torch.compiler.is_compiling():
            return None
        version = self.weight._version  # noqa: SLF001 - torch's only word on whether it changed.
        known = self._known_energy
        if known is not None and known[0] == version and known[1].device == self.weight.device:
            return known[1].to(self.weight.dtype)
        with torch.inference_mode(False), torch.no_grad():
            energy = self.weight.detach().square().sum(dim=(2, 3))
        self._known_energy = version, energy
        return energy

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Return the styled features."""
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w) * self.weight_gain,  # On the style: fewer numbers than the weights.
            bias=self.bias,
            energy=self._energy(),
            up=self.up,
            gain=RELU_GAIN,
        )
        if noise is not None:
            x = x + noise.to(x.dtype) * (self.noise_strength * RELU_GAIN).to(x.dtype)
        return leaky_relu(x)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation.

    Args:
        in_channels: Channels of the features.
        w_dim: Size of the latent.

    Shape:
        - x: :math:`(B, C, H, W)`, w: :math:`(B, w)`, output: :math:`(B, 3, H, W)`.
    """

    def __init__(self, in_channels: int, *, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return this resolution's share of the picture."""
        style = self.affine(w) * self.weight_gain
        return modulated_conv2d(x, self.weight, style, bias=self.bias, demodulate=False)
