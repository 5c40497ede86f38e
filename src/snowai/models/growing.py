"""Double a trained StyleGAN2's resolution without losing what it knows."""

from typing import cast

import torch
from torch import Tensor

from snowai.checkpoint import config_of
from snowai.models.stylegan2 import ResidualBlock, StyleGAN2Discriminator, StyleGAN2Generator
from snowai.models.stylegan2_layers import EqualConv2d, ToRGB

__all__ = ["grow_discriminator", "grow_generator"]

_OFFSET = 4.0  # Keeps colours in the linear half of a leaky ReLU.


def grow_generator(generator: StyleGAN2Generator) -> StyleGAN2Generator:
    """Return a generator of twice the resolution that begins with the same pictures, enlarged.

    Args:
        generator: Of at most 512 pixels; left as it is.

    Source:
        The idea of Karras et al., https://arxiv.org/abs/1710.10196, on a skip generator.

    Example:
        >>> small = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> grow_generator(small).resolution
        32
    """
    config = config_of(generator)["config"] | {"resolution": generator.resolution * 2}
    larger = StyleGAN2Generator(**config)
    larger.load_state_dict(larger.state_dict() | generator.state_dict())
    with torch.no_grad():  # The new share starts with nothing.
        cast("ToRGB", larger.synthesis.to_rgb[-1]).weight.zero_()
    return larger.to(generator.mapping.w_avg.device)


def grow_discriminator(discriminator: StyleGAN2Discriminator) -> StyleGAN2Discriminator:
    """Return a discriminator of twice the resolution that begins with the same judgements.

    The new first block passes the colours on to what was the first layer, so pictures are judged
    as their halves were.

    Args:
        discriminator: Of at most 512 pixels and at least three channels at its finest level.

    Example:
        >>> small = StyleGAN2Discriminator(16, channel_base=128)
        >>> grow_discriminator(small)(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 1])
    """
    config = config_of(discriminator)["config"] | {"resolution": discriminator.resolution * 2}
    larger = StyleGAN2Discriminator(**config)
    if larger.from_rgb.weight.shape[0] < 3:
        raise ValueError("A discriminator grows only where its finest level has 3 channels.")
    kept = {}
    for name, weight in discriminator.state_dict().items():
        first, _, rest = name.partition(".")
        if first == "blocks":
            index, _, rest = rest.partition(".")
            kept[f"blocks.{int(index) + 1}.{rest}"] = weight
        elif first != "from_rgb":
            kept[name] = weight
    larger.load_state_dict(larger.state_dict() | kept)
    _pass_colours(larger, discriminator.from_rgb)
    return larger.to(discriminator.logit.weight.device)


@torch.no_grad()
def _pass_colours(larger: StyleGAN2Discriminator, old: EqualConv2d) -> None:
    """Make the first two layers compute what the old from_rgb did, on the halved picture."""
    block = cast("ResidualBlock", larger.blocks[0])
    for layer in (larger.from_rgb, block.conv0):
        centre = layer.weight.shape[-1] // 2
        for colour in range(3):
            layer.weight[colour] = 0
            layer.weight[colour, colour, centre, centre] = 1 / layer.weight_gain
    _bias(larger.from_rgb)[:3] = _OFFSET / larger.from_rgb.bias_gain
    linear = old.weight[:, :, 0, 0] * old.weight_gain
    block.conv1.weight.zero_()
    block.conv1.weight[:, :3, 1, 1] = linear / block.conv1.weight_gain
    bias = _bias(old) * old.bias_gain - _OFFSET * linear.sum(dim=1)
    _bias(block.conv1).copy_(bias / block.conv1.bias_gain)
    block.skip.weight.zero_()


def _bias(layer: EqualConv2d) -> Tensor:
    if layer.bias is None:
        raise ValueError("This layer has no bias.")
    return layer.bias
