"""StyleGAN2's synthesis as the paper's text reads: the reference of tests and the benchmark.

Weights are scaled for each sample and convolved in groups, resampling inserts zeros, pads and
filters, as widely used CPU code does. Written from arXiv 1912.04958 for a state dict with
rosinality's names; slow, and short enough to be checked by eye.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]
LINE = torch.tensor([1.0, 3.0, 3.0, 1.0])
KERNEL = torch.outer(LINE, LINE) / 64


def upfirdn(
    x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)
) -> Tensor:
    """Insert zeros, pad, filter, keep every n-th pixel."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch * channels, 1, height, 1, width, 1)
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1])
    x = x.reshape(batch * channels, 1, height * up, width * up)
    x = F.pad(x, [pad[0], pad[1], pad[0], pad[1]])
    x = F.conv2d(x, kernel.flip(0, 1)[None, None].to(x))
    x = x[:, :, ::down, ::down]
    return x.reshape(batch, channels, x.shape[-2], x.shape[-1])


def linear(state: State, name: str, x: Tensor, *, lr: float = 1.0) -> Tensor:
    """Apply an equalised linear layer."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.linear(x, weight * lr / math.sqrt(weight.shape[1]), bias * lr)


def activate(x: Tensor, bias: Tensor) -> Tensor:
    """Add the bias, leaky ReLU, times root 2."""
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.dim() - 2)), 0.2) * math.sqrt(2)


def mapping(state: State, z: Tensor) -> Tensor:
    """Map z to w."""
    x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
    depth = 1
    while f"style.{depth}.weight" in state:
        weight = state[f"style.{depth}.weight"] * 0.01 / math.sqrt(x.shape[1])
        x = activate(F.linear(x, weight), state[f"style.{depth}.bias"] * 0.01)
        depth += 1
    return x


def modulated(
    state: State, name: str, x: Tensor, w: Tensor, *, demodulate: bool = True, up: bool = False
) -> Tensor:
    """Scale the weights for each sample, normalise them, convolve in groups."""
    kernel = state[f"{name}.weight"]
    _, outs, ins, side, _ = kernel.shape
    batch, _, height, width = x.shape
    style = linear(state, f"{name}.modulation", w).view(batch, 1, ins, 1, 1)
    weight = kernel * style / math.sqrt(ins * side * side)
    if demodulate:
        weight = weight * torch.rsqrt(weight.square().sum([2, 3, 4], keepdim=True) + 1e-8)
    x = x.reshape(1, batch * ins, height, width)
    if not up:
        weight = weight.reshape(batch * outs, ins, side, side)
        x = F.conv2d(x, weight, padding=side // 2, groups=batch)
        return x.reshape(batch, outs, height, width)
    weight = weight.transpose(1, 2).reshape(batch * ins, outs, side, side)
    x = F.conv_transpose2d(x, weight, stride=2, groups=batch)
    x = x.reshape(batch, outs, *x.shape[-2:])
    return upfirdn(x, KERNEL * 4, pad=(1, 1))


def synthesis(state: State, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Draw pictures in [-1, 1]."""
    x = state["input.input"].expand(len(ws), -1, -1, -1)
    x = styled(state, "conv1", x, ws[:, 0], noise[0])
    rgb = modulated(state, "to_rgb1.conv", x, ws[:, 1], demodulate=False) + state["to_rgb1.bias"]
    level = 0
    while f"to_rgbs.{level}.bias" in state:
        one, two = 2 * level, 2 * level + 1
        x = styled(state, f"convs.{one}", x, ws[:, one + 1], noise[one + 1], up=True)
        x = styled(state, f"convs.{two}", x, ws[:, two + 1], noise[two + 1])
        rgb = upfirdn(rgb, KERNEL * 4, up=2, pad=(2, 1))
        share = modulated(state, f"to_rgbs.{level}.conv", x, ws[:, two + 2], demodulate=False)
        rgb = rgb + share + state[f"to_rgbs.{level}.bias"]
        level += 1
    return rgb


def styled(
    state: State, name: str, x: Tensor, w: Tensor, noise: Tensor, *, up: bool = False
) -> Tensor:
    """Apply a styled convolution."""
    x = modulated(state, f"{name}.conv", x, w, up=up) + state[f"{name}.noise.weight"] * noise
    return activate(x, state[f"{name}.activate.bias"])


def discriminator(state: State, image: Tensor) -> Tensor:
    """Judge pictures in [-1, 1]."""
    x = activate(conv(state, "convs.0.0", image), state["convs.0.1.bias"])
    block = 1
    while f"convs.{block}.skip.1.weight" in state:
        name = f"convs.{block}"
        y = activate(conv(state, f"{name}.conv1.0", x), state[f"{name}.conv1.1.bias"])
        y = conv(state, f"{name}.conv2.1", upfirdn(y, KERNEL, pad=(2, 2)), stride=2)
        y = activate(y, state[f"{name}.conv2.2.bias"])
        skip = conv(state, f"{name}.skip.1", upfirdn(x, KERNEL, pad=(1, 1)), stride=2)
        x = (y + skip) / math.sqrt(2)
        block += 1
    group = min(4, len(x))
    spread = (x.view(group, -1, *x.shape[1:]).var(dim=0, correction=0) + 1e-8).sqrt()
    spread = spread.mean(dim=[1, 2, 3], keepdim=True).repeat(group, 1, *x.shape[-2:])
    x = conv(state, "final_conv.0", torch.cat([x, spread], dim=1))
    x = activate(x, state["final_conv.1.bias"]).flatten(1)
    weight = state["final_linear.0.weight"] / math.sqrt(x.shape[1])
    x = activate(F.linear(x, weight), state["final_linear.0.bias"])
    return linear(state, "final_linear.1", x)


def conv(state: State, name: str, x: Tensor, *, stride: int = 1) -> Tensor:
    """Convolve with equalised weights; strided ones come padded already."""
    weight = state[f"{name}.weight"]
    weight = weight / math.sqrt(weight[0].numel())
    padding = weight.shape[-1] // 2 if stride == 1 else 0
    return F.conv2d(x, weight, stride=stride, padding=padding)
