"""What each weight of a StyleGAN2 generator is: its part, and the resolution it works at."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from snowai.models import layer_resolution

__all__ = ["PARTS", "Part", "describe_weight", "drift", "layer_name"]

Part = Literal["mapping", "const", "affine", "conv", "noise", "to_rgb"]
PARTS: tuple[Part, ...] = get_args(Part)

_LAYER = re.compile(r"synthesis\.(layers|to_rgb)\.(\d+)\.(.+)")


def describe_weight(name: str) -> tuple[Part, int]:
    """Return the part and the resolution of a weight, 0 pixels for the mapping network.

    Convolutions and to_rgb layers are counted apart: there are two of the first and one of the
    second at each resolution above 4.

    Args:
        name: In a generator's state dict.

    Raises:
        ValueError: Not a weight of our StyleGAN2 generator.

    Example:
        >>> describe_weight("synthesis.layers.3.weight"), describe_weight("synthesis.to_rgb.3.bias")
        (('conv', 16), ('to_rgb', 32))
    """
    if name.startswith("mapping."):
        return "mapping", 0
    if name == "synthesis.const":
        return "const", 4
    match = _LAYER.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no weight of a StyleGAN2Generator.")
    kind, index, rest = match[1], int(match[2]), match[3]
    if kind == "to_rgb":
        return "to_rgb", 4 * 2**index
    resolution = layer_resolution(index)
    if rest.startswith("affine."):
        return "affine", resolution
    return ("noise" if rest.startswith("noise") else "conv"), resolution


def layer_name(part: Part, resolution: int) -> str:
    """Return e.g. "conv 32", or "mapping", which has no resolution."""
    return f"{part} {resolution}" if resolution else part


def drift(
    base: nn.Module | Mapping[str, Tensor], styled: nn.Module | Mapping[str, Tensor]
) -> dict[str, float]:
    r"""Measure how far fine-tuning moved each part, :math:`\|w' - w\| / \|w\|`.

    Blends fail when the layers that they join have drifted far apart: compare before blending.

    Args:
        base: Generator, or its state dict.
        styled: The same network after fine-tuning.

    Returns:
        Relative change by part and resolution, e.g. ``{"conv 32": 0.04}``; parts that were zero
        give their plain size.

    Example:
        >>> from snowai.models import StyleGAN2Generator
        >>> generator = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> set(drift(generator, generator).values())
        {0.0}
    """
    before, after = (x.state_dict() if isinstance(x, nn.Module) else x for x in (base, styled))
    moved: dict[str, list[float]] = {}
    for name, weight in before.items():
        if name.endswith(("noise_const", "w_avg")):
            continue  # Not learnt.
        sums = moved.setdefault(layer_name(*describe_weight(name)), [0.0, 0.0])
        sums[0] += float((after[name] - weight).float().square().sum())
        sums[1] += float(weight.float().square().sum())
    return {name: (change / (size or 1.0)) ** 0.5 for name, (change, size) in moved.items()}
