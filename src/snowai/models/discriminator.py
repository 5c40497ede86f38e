"""Discriminators: is this patch a real drawing of this photo?"""

from functools import partial
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from snowai._checks import check_choice, check_image, check_same_device
from snowai.checkpoint import keeps_config
from snowai.layers import SqueezeExcite, init_weights

__all__ = [
    "ComponentDiscriminator",
    "FaceDiscriminator",
    "Features",
    "MultiScaleDiscriminator",
    "PatchDiscriminator",
]

Features: TypeAlias = list[Tensor]
"""Every layer's output, finest first; the last is the map of logits."""

Norm = Literal["spectral", "instance", "none"]


@keeps_config
class PatchDiscriminator(nn.Module):
    """Judge overlapping patches: strided 4x4 convolutions and a map of logits.

    Args:
        in_channels: Channels of the image.
        condition_channels: Channels of the condition laid beside it, e.g. 4 for photo + eye mask.
        width: Channels of the first layer; doubled at each further one, up to eight times.
        n_layers: Layers of stride 2; 3 see patches of 70 pixels.
        norm: "spectral" (steadiest), "instance" (pix2pixHD's) or "none".
        se: Add squeeze-and-excitation after each hidden layer.

    Shape:
        - Image: :math:`(B, C, H, W)` in [0, 1], condition: :math:`(B, C_c, H, W)` in [0, 1].
        - Output: ``n_layers + 2`` maps, the last of shape :math:`(B, 1, H', W')`.

    Source:
        Isola et al., https://arxiv.org/abs/1611.07004; spectral norm
        https://arxiv.org/abs/1802.05957.

    Example:
        >>> features = PatchDiscriminator(width=8)(torch.rand(2, 3, 64, 64))
        >>> len(features), features[-1].shape
        (5, torch.Size([2, 1, 8, 8]))
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        condition_channels: int = 0,
        width: int = 64,
        n_layers: int = 3,
        norm: Norm = "spectral",
        se: bool = False,
    ) -> None:
        super().__init__()
        check_choice(norm, "norm", ("spectral", "instance", "none"))
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1; got {n_layers}.")
        self.in_channels, self.condition_channels = in_channels, condition_channels
        widths = [width * min(2**level, 8) for level in range(n_layers + 1)]
        first = nn.Conv2d(in_channels + condition_channels, width, 4, stride=2, padding=1)
        layers: list[nn.Module] = [nn.Sequential(first, nn.LeakyReLU(0.2))]
        for level, (narrow, wide) in enumerate(pairwise(widths), start=1):
            layers.append(_layer(narrow, wide, 2 if level < n_layers else 1, norm, se=se))
        layers.append(nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.layers = nn.ModuleList(layers)
        init_weights(self, negative_slope=0.2)
        if norm == "spectral":
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d):
                    spectral_norm(part)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Features:
        """Return every layer's features, the logits last."""
        check_image(image, "image", channels=self.in_channels)
        x = _join(image, condition, self.condition_channels) * 2 - 1
        features: Features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features


@keeps_config
class MultiScaleDiscriminator(nn.Module):
    """Judge an image at one to three sizes, each half of the one before.

    Args:
        in_channels: Channels of the image.
        condition_channels: Channels of the condition laid beside it, e.g. 4 for photo + eye mask.
        scales: Number of sizes, 1 to 3: 2 at 256 pixels, 3 from 512.
        width: Channels of the first layer of each.
        n_layers: Layers of stride 2 in each.
        norm: "spectral", "instance" or "none".
        se: Add squeeze-and-excitation after each hidden layer.
        shared: One set of weights looks at every size: features that hold at any size, and fewer
            to learn.

    Shape:
        - Image: :math:`(B, C, H, W)` in [0, 1], condition: :math:`(B, C_c, H, W)` in [0, 1].
        - Output: one list of features for each scale, the finest scale first.

    Source:
        Wang et al., https://arxiv.org/abs/1711.11585

    Example:
        >>> outputs = MultiScaleDiscriminator(width=8, scales=2)(torch.rand(1, 3, 64, 64))
        >>> [features[-1].shape[-1] for features in outputs]
        [8, 4]
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        condition_channels: int = 0,
        scales: int = 2,
        width: int = 64,
        n_layers: int = 3,
        norm: Norm = "spectral",
        se: bool = False,
        shared: bool = False,
    ) -> None:
        super().__init__()
        if scales not in (1, 2, 3):
            raise ValueError(f"scales must be 1, 2 or 3; got {scales}.")
        self.scales = scales
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(
                in_channels,
                condition_channels=condition_channels,
                width=width,
                n_layers=n_layers,
                norm=norm,
                se=se,
            )
            for _ in range(1 if shared else scales)
        )
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> list[Features]:
        """Return each scale's features."""
        outputs = []
        for scale in range(self.scales):
            if scale:
                image = self.halve(image)
                condition = None if condition is None else self.halve(condition)
            discriminator = self.discriminators[scale % len(self.discriminators)]
            outputs.append(discriminator(image, condition))
        return outputs


@keeps_config
class ComponentDiscriminator(nn.Module):
    """Judge eyes and mouth close up: where a face is looked at, and where drawings go wrong.

    One head judges both eyes, the person's left one mirrored, and another the mouth.

    Args:
        in_channels: Channels of the image.
        width: Channels of each head's first layer.
        n_layers: Layers of stride 2.
        norm: "spectral", "instance" or "none".
        se: Add squeeze-and-excitation after each hidden layer.

    Shape:
        - Close-ups: :math:`(B, 3, C, S, S)` in [0, 1], of the left eye, the right eye and the
          mouth, see :func:`snowai.faces.close_ups`.
        - Output: the features of the eyes, :math:`2 B` of them, and of the mouths.

    Source:
        GFPGAN's facial component loss, https://arxiv.org/abs/2101.04061.

    Example:
        >>> eyes, mouth = ComponentDiscriminator(width=8)(torch.rand(1, 3, 3, 32, 32))
        >>> eyes[-1].shape, mouth[-1].shape
        (torch.Size([2, 1, 4, 4]), torch.Size([1, 1, 4, 4]))
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: int = 32,
        n_layers: int = 3,
        norm: Norm = "spectral",
        se: bool = False,
    ) -> None:
        super().__init__()
        make = partial(
            PatchDiscriminator, in_channels, width=width, n_layers=n_layers, norm=norm, se=se
        )
        self.eyes, self.mouth = make(), make()

    def forward(self, close_ups: Tensor) -> list[Features]:
        """Return the features of the eyes and of the mouth."""
        if close_ups.dim() != 5 or close_ups.shape[1] != 3:
            raise ValueError(
                "close_ups must have shape (B, 3, C, S, S): left eye, right eye and mouth; "
                f"got {tuple(close_ups.shape)}."
            )
        left, right, mouth = close_ups.unbind(dim=1)
        return [self.eyes(torch.cat([left.flip(-1), right])), self.mouth(mouth)]


@keeps_config
class FaceDiscriminator(nn.Module):
    """Judge the whole picture at several sizes, and eyes and mouth close up.

    Args:
        whole: Called with (image, condition), e.g. :class:`MultiScaleDiscriminator`.
        parts: Called with close-ups, e.g. :class:`ComponentDiscriminator`.

    Shape:
        - Image and condition as ``whole`` takes them, close-ups as ``parts`` does.
        - Output: the features of ``whole``, then those of ``parts``.

    Example:
        >>> whole, parts = MultiScaleDiscriminator(width=8), ComponentDiscriminator(width=8)
        >>> judge = FaceDiscriminator(whole, parts)
        >>> len(judge(torch.rand(1, 3, 64, 64), None, torch.rand(1, 3, 3, 32, 32)))
        4
    """

    def __init__(self, whole: nn.Module, parts: nn.Module) -> None:
        super().__init__()
        self.whole, self.parts = whole, parts

    def forward(self, image: Tensor, condition: Tensor | None, close_ups: Tensor) -> list[Features]:
        """Return the features of the whole and of the parts."""
        return [*self.whole(image, condition), *self.parts(close_ups)]


def _layer(in_channels: int, out_channels: int, stride: int, norm: Norm, *, se: bool) -> nn.Module:
    # An even kernel at stride 1 would shift the map by half a pixel.
    kernel = partial(nn.Conv2d, kernel_size=4 if stride == 2 else 3, stride=stride, padding=1)
    layers: list[nn.Module] = [kernel(in_channels, out_channels)]
    layers += [nn.InstanceNorm2d(out_channels)] if norm == "instance" else []
    layers += [nn.LeakyReLU(0.2)]
    layers += [SqueezeExcite(out_channels)] if se else []
    return nn.Sequential(*layers)


def _join(image: Tensor, condition: Tensor | None, channels: int) -> Tensor:
    if condition is None and channels == 0:
        return image
    if condition is None:
        raise ValueError(f"This discriminator wants a condition with {channels} channels.")
    check_image(condition, "condition", channels=channels)
    check_same_device(image, condition, ("image", "condition"))
    return torch.cat([image, condition], dim=1)
