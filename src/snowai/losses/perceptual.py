"""Perceptual distances: compare what a trained network sees, not the pixels."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_choice, check_image, check_same_shape

__all__ = ["LPIPSLoss", "PerceptualLoss"]


class PerceptualLoss(nn.Module):
    r"""Compare the features of two images in any backbone, layer by layer.

    .. math:: \sum_l w_l\, \text{mean}_{HW}\,\|\phi_l(x) - \phi_l(y)\|^2

    where each feature vector is first divided by its length, so that layers count alike: every
    term is between 0 and 4, as in LPIPS.

    Args:
        backbone: A timm model's name, e.g. ``"tf_efficientnet_lite0"``, or any module that maps an
            image to a list of feature maps (timm's ``features_only`` models do).
        weights: Weight of each feature map, finest first; 0 leaves it out. Default: all 1.
        backbone_weights: For a timm name: a .safetensors file with its weights. Without it they
            come from the Hub.
        mean: Per-channel mean of the images that the backbone was trained on, in [0, 1].
        std: Their per-channel deviation.

    Shape:
        - prediction and target: :math:`(B, 3, H, W)` in [0, 1]; output: scalar.

    Raises:
        FileNotFoundError: The weights are not there and cannot be fetched.

    Source:
        Johnson et al., https://arxiv.org/abs/1603.08155

    Example:
        >>> class Pyramid(nn.Module):
        ...     def forward(self, x):
        ...         return [x, F.avg_pool2d(x, 2)]
        >>> loss = PerceptualLoss(Pyramid(), weights=(1.0, 0.5))
        >>> image = torch.rand(1, 3, 8, 8)
        >>> loss(image, image)
        tensor(0.)
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str | nn.Module,
        *,
        weights: Sequence[float] | None = None,
        backbone_weights: str | Path | None = None,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        network = (
            _timm_features(backbone, backbone_weights) if isinstance(backbone, str) else backbone
        )
        self.backbone = network.requires_grad_(False).eval()
        self.weights = None if weights is None else tuple(weights)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stay in evaluation mode: the backbone is a measure, not a pupil."""
        del mode
        return super().train(False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance; the target gets no gradient."""
        check_image(prediction, "prediction", channels=3)
        check_same_shape(prediction, target, ("prediction", "target"))
        with torch.no_grad():
            wanted = self._features(target)
        seen = self._features(prediction)
        weights = self.weights or (1.0,) * len(seen)
        if len(weights) != len(seen):
            raise ValueError(f"weights has {len(weights)} entries for {len(seen)} feature maps.")
        terms = [
            weight * (x - y).square().sum(dim=1).mean()
            for weight, x, y in zip(weights, seen, wanted, strict=True)
            if weight
        ]
        return torch.stack(terms).sum()

    def _features(self, image: Tensor) -> list[Tensor]:
        features = self.backbone((image - self.mean) / self.std)
        return [F.normalize(layer, dim=1, eps=1e-6) for layer in features]


class LPIPSLoss(nn.Module):
    """Learned perceptual distance, by the authors' own package, for images in [0, 1].

    Args:
        net: "alex", "vgg" or "squeeze".
        backbone_weights: A .safetensors file with torchvision's weights of that network
            (``features.*`` names). Without it torchvision downloads them. "random" leaves the
            network untrained: no measure of anything, but enough for tests without a network.

    Shape:
        - prediction and target: :math:`(B, 3, H, W)` in [0, 1]; output: scalar.

    Raises:
        FileNotFoundError: The weights are not there and cannot be fetched.

    Source:
        Zhang et al., https://arxiv.org/abs/1801.03924

    Example:
        >>> image = torch.rand(1, 3, 64, 64)
        >>> LPIPSLoss("squeeze", backbone_weights="random")(image, image)
        tensor(0.)
    """

    def __init__(self, net: str = "alex", *, backbone_weights: str | Path | None = None) -> None:
        super().__init__()
        check_choice(net, "net", ("alex", "vgg", "squeeze"))
        self.metric = _lpips(net, download=backbone_weights is None).requires_grad_(False).eval()
        if backbone_weights not in (None, "random"):
            _fill_slices(self.metric.net, _read_weights(Path(str(backbone_weights))))

    def train(self, mode: bool = True) -> "LPIPSLoss":
        """Stay in evaluation mode: the metric is a measure, not a pupil."""
        del mode
        return super().train(False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance, averaged over the batch."""
        check_image(prediction, "prediction", channels=3)
        check_same_shape(prediction, target, ("prediction", "target"))
        distance: Tensor = self.metric(prediction * 2 - 1, target * 2 - 1)
        return distance.mean()


def _timm_features(name: str, weights: str | Path | None) -> nn.Module:
    import timm

    if weights is not None and not Path(weights).is_file():
        raise FileNotFoundError(f"There are no backbone weights {weights}.")
    overlay = {} if weights is None else {"file": str(weights)}
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=True, features_only=True, pretrained_cfg_overlay=overlay
        )
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"The weights of {name!r} cannot be had ({type(error).__name__}: {error}). Download "
            f"them from huggingface.co/timm elsewhere and pass backbone_weights=PATH."
        ) from error
    return network


def _lpips(net: str, *, download: bool) -> Any:
    import lpips

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The package calls torchvision's former names.
            return lpips.LPIPS(net=net, pnet_rand=not download, verbose=False)
    except OSError as error:
        raise FileNotFoundError(
            f"The weights of {net!r} cannot be fetched ({error}). Download torchvision's ImageNet "
            "weights elsewhere, save them as .safetensors and pass backbone_weights=PATH."
        ) from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(f"There are no backbone weights {path}.")
    weights: dict[str, Tensor] = load_file(path)
    return weights


def _fill_slices(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy torchvision's ``features.N.*`` into lpips' ``sliceK.N.*``; N is the same."""
    renamed = {name: weights.get(f"features.{name.split('.', 1)[1]}") for name in net.state_dict()}
    missing = [name for name, tensor in renamed.items() if tensor is None]
    if missing:
        raise ValueError(
            f"backbone_weights is another network: {len(missing)} tensors are missing, "
            f"e.g. for {missing[0]}."
        )
    net.load_state_dict(renamed)
