"""Presets by name: one table that a reader can see whole."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatch

from torch import nn

from snowai._checks import check_choice
from snowai.models.unet import se_unet_base, se_unet_hq, se_unet_large, se_unet_tiny

__all__ = ["create_model", "list_models"]

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "se_unet_tiny": se_unet_tiny,
    "se_unet_base": se_unet_base,
    "se_unet_large": se_unet_large,
    "se_unet_hq": se_unet_hq,
}


def create_model(name: str, *, in_channels: int = 4, output: str = "residual_alpha") -> nn.Module:
    """Make a preset network with fresh weights.

    Args:
        name: One of :func:`list_models`.
        in_channels: 3 for RGB, 4 for RGB and an eye mask.
        output: "rgb", "residual" or "residual_alpha"; see :class:`snowai.models.SEUNet`.

    Raises:
        ValueError: There is no such preset; the message lists them.

    Example:
        >>> network = create_model("se_unet_tiny", in_channels=3)
        >>> network(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    check_choice(name, "name", MODELS)
    return MODELS[name](in_channels, output=output)


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the presets that match a shell pattern.

    Example:
        >>> list_models("*tiny")
        ['se_unet_tiny']
    """
    return [name for name in MODELS if fnmatch(name, pattern)]
