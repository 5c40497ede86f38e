"""Presets by name: one table that a reader can see whole."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatch

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from snowai._checks import check_choice
from snowai.models.edit import edit_base, edit_large
from snowai.models.unet import se_unet_base, se_unet_hq, se_unet_large, se_unet_tiny

__all__ = ["create_model", "list_models", "model_cost"]

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "se_unet_tiny": se_unet_tiny,
    "se_unet_base": se_unet_base,
    "se_unet_large": se_unet_large,
    "se_unet_hq": se_unet_hq,
    "edit_base": edit_base,
    "edit_large": edit_large,
}


def create_model(name: str, *, in_channels: int = 4, output: str | None = None) -> nn.Module:
    """Make a preset network with fresh weights.

    Args:
        name: One of :func:`list_models`.
        in_channels: 3 for RGB, 4 for RGB and an eye mask.
        output: For a se_unet: "rgb", "residual" or "residual_alpha" (the default); see
            :class:`snowai.models.SEUNet`.

    Raises:
        ValueError: There is no such preset (the message lists them), or it has no such output.

    Example:
        >>> network = create_model("se_unet_tiny", in_channels=3)
        >>> network(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    check_choice(name, "name", MODELS)
    if output is None:
        return MODELS[name](in_channels)
    if not name.startswith("se_unet"):
        raise ValueError(f"{name} adds to the photo and takes no output; got {output!r}.")
    return MODELS[name](in_channels, output=output)


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the presets that match a shell pattern.

    Example:
        >>> list_models("*tiny")
        ['se_unet_tiny']
    """
    return [name for name in MODELS if fnmatch(name, pattern)]


def model_cost(network: nn.Module, image: torch.Tensor) -> tuple[int, int]:
    """Return a network's parameters and the multiply-adds that one input costs.

    Args:
        network: Any module.
        image: Its input, e.g. :math:`(1, 4, 256, 256)`.

    Example:
        >>> model_cost(nn.Conv2d(3, 8, 1, bias=False), torch.zeros(1, 3, 4, 4))
        (24, 384)
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    parameters = sum(weight.numel() for weight in network.parameters())
    return parameters, counter.get_total_flops() // 2  # A multiply-add is two operations.
