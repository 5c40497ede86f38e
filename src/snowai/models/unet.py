"""SE-U-Net: the small network that runs on phones, at 30 frames a second and more."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_choice, check_image
from snowai.checkpoint import keeps_config
from snowai.layers import (
    ConvNormAct,
    InvertedResidual,
    Layer,
    RepConvNormAct,
    SqueezeExcite,
    UpBlock,
    init_weights,
)

__all__ = ["AlphaGate", "SEUNet", "se_unet_base", "se_unet_hq", "se_unet_large", "se_unet_tiny"]

Output = Literal["rgb", "residual", "residual_alpha"]

STRIDES = (2, 4, 8, 16, 32)
_ACTIVATIONS: Mapping[str, Layer] = {"hard_swish": nn.Hardswish, "relu": nn.ReLU}
_MULTIPLE = STRIDES[-1]


class AlphaGate(nn.Hardsigmoid):
    """What comes out of this is a network's alpha: a hook here sees it without a second run."""


@keeps_config
class SEUNet(nn.Module):
    r"""Translate an image with a U-Net of inverted residuals and squeeze-and-excitation.

    Five encoder stages at strides 2 to 32, a decoder back to stride 2 whose skips are added, and
    a head at full size. Squeeze-and-excitation works where the stride is 8 or more, 5x5 kernels
    at strides 16 and 32; the activation is hard-swish and the norm BatchNorm, which folds away.

    The residual outputs see the photo's own pixels through a 1x1 convolution, so that a flat style
    can cancel the skin's texture exactly, which features at half the size cannot. Both start as
    the identity: the last layers are zero.

    .. math:: y = x (1 - a) + (x + \delta)\, a, \qquad a = \text{hard sigmoid}(\cdot)

    Args:
        in_channels: RGB first; further channels such as an eye mask after it.
        out_channels: Channels of the image.
        widths: Channels at strides 2, 4, 8, 16 and 32; multiples of 8 run fastest.
        depths: Blocks at strides 4, 8, 16 and 32.
        head_channels: Features at stride 2 that the head makes pixels of.
        output: "rgb" paints every pixel anew; "residual" adds a correction; "residual_alpha" adds
            it where a predicted alpha says so, which keeps the background still.
        activation: "hard_swish", or "relu" for runtimes without it.
        squeeze_excite: Off leaves the gates out.
        branches: Train every depthwise convolution as branches that fold into one, see
            :class:`snowai.layers.RepConvNormAct`.

    Shape:
        - Input: :math:`(B, C_{in}, H, W)` in [0, 1], any size (padded to multiples of 32 inside).
        - Output: :math:`(B, C_{out}, H, W)`, about [0, 1] ("rgb": exactly).

    Raises:
        ValueError: Wrong channels or number of stages, or an unknown output.

    Source:
        U-Net https://arxiv.org/abs/1505.04597, blocks https://arxiv.org/abs/1905.02244.

    Example:
        >>> network = SEUNet(in_channels=4, widths=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1)).eval()
        >>> image = torch.rand(1, 4, 70, 50)
        >>> torch.equal(network(image), image[:, :3])
        True
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        widths: tuple[int, ...] = (16, 32, 64, 112, 160),
        depths: tuple[int, ...] = (1, 2, 2, 3),
        head_channels: int = 16,
        output: Output = "residual_alpha",
        activation: Literal["hard_swish", "relu"] = "hard_swish",
        squeeze_excite: bool = True,
        branches: bool = False,
    ) -> None:
        super().__init__()
        check_choice(output, "output", ("rgb", "residual", "residual_alpha"))
        check_choice(activation, "activation", _ACTIVATIONS)
        if len(widths) != len(STRIDES) or len(depths) != len(STRIDES) - 1:
            raise ValueError(f"SEUNet takes 5 widths and 4 depths; got {widths} and {depths}.")
        if in_channels < out_channels:
            raise ValueError(
                f"in_channels must hold the image and so be at least {out_channels}; "
                f"got {in_channels}."
            )
        self.in_channels, self.out_channels, self.output = in_channels, out_channels, output
        act_layer = _ACTIVATIONS[activation]
        block = partial(
            _block,
            act_layer=act_layer,
            squeeze_excite=squeeze_excite,
            depthwise_layer=RepConvNormAct if branches else ConvNormAct,
        )
        self.stem = ConvNormAct(in_channels, widths[0], stride=2, act_layer=act_layer)
        self.encoder = nn.ModuleList(
            _stage(
                widths[level],
                widths[level + 1],
                depths[level],
                block=block(STRIDES[level + 1], expansion=3),
            )
            for level in range(4)
        )
        self.decoder = nn.ModuleList(
            UpBlock(widths[level + 1], widths[level], block=block(STRIDES[level], expansion=2))
            for level in (3, 2, 1, 0)
        )
        self.features = ConvNormAct(widths[0], head_channels, act_layer=act_layer)
        planes = out_channels + (output == "residual_alpha")
        # Four pixels from each feature, each with a kernel of its own: sharper than a convolution
        # after repetition, and faster (`nox -s bench -- architecture`).
        self.head = nn.Conv2d(head_channels, 4 * planes, kernel_size=3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.gate = AlphaGate()
        self.texture = None if output == "rgb" else nn.Conv2d(out_channels, planes, kernel_size=1)
        init_weights(self)
        self._start_as_identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the translated image."""
        image, planes = self._run(x)
        if self.output == "rgb":
            return planes.sigmoid()
        if self.output == "residual":
            return image + planes
        alpha: Tensor = self.gate(planes[:, -1:])
        return image + planes[:, :-1] * alpha

    def alpha(self, x: Tensor) -> Tensor:
        """Return where the network changes the image, :math:`(B, 1, H, W)` in [0, 1].

        Raises:
            ValueError: The output is not "residual_alpha".
        """
        if self.output != "residual_alpha":
            raise ValueError(f"Only output='residual_alpha' has an alpha; this is {self.output!r}.")
        _, planes = self._run(x)
        alpha: Tensor = self.gate(planes[:, -1:])
        return alpha

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image (B, C, H, W) and the head's planes of the same size."""
        check_image(x, "x", channels=self.in_channels)
        height, width = x.shape[-2:]
        right, bottom = -width % _MULTIPLE, -height % _MULTIPLE
        # Phones' NPUs know no such padding; at the sizes that they run there is none.
        padded = F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x
        features = self.stem(padded * 2 - 1)
        skips = [features]
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        for up, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            features = up(features, skip)
        planes: Tensor = self.shuffle(self.head(self.features(features)))
        image = x[:, : self.out_channels]
        planes = planes[..., :height, :width]
        return image, planes if self.texture is None else planes + self.texture(image)

    def _start_as_identity(self) -> None:
        if self.texture is None:
            return
        for layer in (self.head, self.texture):
            nn.init.zeros_(layer.weight)


def se_unet_tiny(in_channels: int = 4, *, output: Output = "residual_alpha") -> SEUNet:
    """Make the smallest preset, for previews on old phones and for quick demos."""
    return SEUNet(
        in_channels,
        widths=(16, 24, 40, 64, 96),
        depths=(1, 2, 2, 2),
        head_channels=16,
        output=output,
    )


def se_unet_base(in_channels: int = 4, *, output: Output = "residual_alpha") -> SEUNet:
    """Make the preset for real-time filters on today's phones."""
    return SEUNet(in_channels, output=output)


def se_unet_large(in_channels: int = 4, *, output: Output = "residual_alpha") -> SEUNet:
    """Make the preset for fast phones and for 512-pixel crops on a GPU."""
    return SEUNet(in_channels, widths=(32, 56, 80, 128, 192), depths=(2, 2, 3, 3), output=output)


def se_unet_hq(in_channels: int = 4, *, output: Output = "residual_alpha") -> SEUNet:
    """Make the preset for stills, where time matters less."""
    return SEUNet(
        in_channels,
        widths=(48, 80, 120, 192, 288),
        depths=(2, 3, 3, 4),
        head_channels=24,
        output=output,
    )


def _block(
    stride: int,
    *,
    expansion: float,
    act_layer: Layer,
    squeeze_excite: bool,
    depthwise_layer: Layer,
) -> "partial[InvertedResidual]":
    """Return the inverted residual that belongs at a stride."""
    return partial(
        InvertedResidual,
        kernel_size=5 if stride >= 16 else 3,
        expansion=expansion,
        se_layer=SqueezeExcite if squeeze_excite and stride >= 8 else nn.Identity,
        act_layer=act_layer,
        depthwise_layer=depthwise_layer,
    )


def _stage(
    in_channels: int, out_channels: int, depth: int, *, block: "partial[InvertedResidual]"
) -> nn.Sequential:
    """Return ``depth`` blocks, the first of which halves the size."""
    first = block(in_channels, out_channels, stride=2)
    return nn.Sequential(first, *(block(out_channels, out_channels) for _ in range(depth - 1)))
