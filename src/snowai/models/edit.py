"""EditNet: the slower network for whole photos, face and background, at any size."""

import itertools
from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from snowai._checks import check_choice, check_image
from snowai.checkpoint import keeps_config
from snowai.layers import ConvNormAct, Layer, init_weights

__all__ = ["EditNet", "GlobalContext", "edit_base", "edit_large"]

Norm = Literal["batch", "layer", "none"]

_LOOK = 32  # Side of the small version that the context comes from, in pixels.


@keeps_config
class EditNet(nn.Module):
    r"""Translate a whole photo with an encoder, residual blocks, and a decoder.

    Every layer but one sees only its neighbourhood; what the whole photo is like comes from a small
    version of it as a vector :math:`c` that scales and shifts the features of each block. So tiles
    of a large photo that share their context agree with each other, see
    :class:`snowai.PhotoFilter`. That is also why there is no instance norm: its statistics would
    change from tile to tile.

    Args:
        in_channels: 3 for RGB, 4 for RGB and an eye mask; the first ``out_channels`` are the image.
        out_channels: Channels of the image.
        widths: Channels at strides 1, 2, 4 and so on; the blocks work at the last.
        blocks: Residual blocks.
        norm: "batch" folds away after training, "layer" (over the channels of a pixel) does not
            depend on the batch, for small ones; "none".
        context_width: Length of :math:`c`; 0 leaves it out.

    Shape:
        - Input: :math:`(B, C_{in}, H, W)` in [0, 1], any size.
        - Output: :math:`(B, C_{out}, H, W)`, about [0, 1].

    Source:
        Residual generator: Johnson et al., https://arxiv.org/abs/1603.08155; nearest and
        convolution: Odena et al., https://doi.org/10.23915/distill.00003; the context's modulation:
        Perez et al. (FiLM), https://arxiv.org/abs/1709.07871.

    Example:
        >>> network = EditNet(3, widths=(8, 16, 16), blocks=2).eval()
        >>> image = torch.rand(1, 3, 70, 50)
        >>> torch.equal(network(image), image)  # It starts by changing nothing.
        True
    """

    activation_checkpointing = False
    """Compute the blocks' features twice instead of keeping them; see ``TrainConfig``."""

    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 3,
        *,
        widths: tuple[int, ...] = (24, 48, 80),
        blocks: int = 6,
        norm: Norm = "batch",
        context_width: int = 32,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or blocks < 1:
            raise ValueError(
                f"EditNet takes at least 2 widths and 1 block; got {widths} and {blocks}."
            )
        if in_channels < out_channels:
            raise ValueError(
                f"in_channels must hold the image and so be at least {out_channels}; "
                f"got {in_channels}."
            )
        norm_layer = _norm_layer(norm)
        self.in_channels, self.out_channels, self.widths = in_channels, out_channels, widths
        self.look = GlobalContext(in_channels, context_width) if context_width else None
        self.stem = _convolution(in_channels, widths[0], norm_layer)
        self.encoder = nn.ModuleList(
            _convolution(into, out, norm_layer, stride=2)
            for into, out in itertools.pairwise(widths)
        )
        self.body = nn.ModuleList(
            _Block(widths[-1], context_width, norm_layer) for _ in range(blocks)
        )
        self.decoder = nn.ModuleList(
            _Up(widths[level + 1], widths[level], norm_layer)
            for level in reversed(range(len(widths) - 1))
        )
        self.head = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        init_weights(self)
        nn.init.zeros_(self.head.weight)
        for block in cast("Sequence[_Block]", self.body):
            block.start_unmoved()

    @property
    def multiple(self) -> int:
        """Sizes that are multiples of this need no padding."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def reach(self) -> int:
        """How far a pixel's influence reaches, in pixels; the context's reaches everywhere."""
        strides = [2**level for level in range(len(self.widths))]
        encoder = 1 + sum(strides[:-1])
        blocks = 2 * len(self.body) * strides[-1]
        # Repeating a pixel reaches as far as it is large, and so do the two convolutions after it.
        decoder = 2 * sum(strides[1:])
        return int(encoder + blocks + decoder + 1)

    def context(self, x: Tensor) -> Tensor | None:
        """Return what the whole photo :math:`(B, C_{in}, H, W)` is like, :math:`(B, C_c)`."""
        check_image(x, "x", channels=self.in_channels)
        if self.look is None:
            return None
        vector: Tensor = self.look(x)
        return vector

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the translated photo.

        Args:
            x: The photo, or a tile of it.
            context: Of the whole photo, see :meth:`context`; without it ``x`` is the whole photo.
        """
        check_image(x, "x", channels=self.in_channels)
        context = self.context(x) if context is None else context
        height, width = x.shape[-2:]
        right, bottom = -width % self.multiple, -height % self.multiple
        padded = F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x
        features = self.stem(padded * 2 - 1)
        skips = []
        for down in self.encoder:
            skips.append(features)
            features = down(features)
        for block in self.body:
            if self.activation_checkpointing and self.training:
                features = checkpoint(block, features, context, use_reentrant=False)
            else:
                features = block(features, context)
        for up in self.decoder:
            features = up(features, skips.pop())
        change: Tensor = self.head(features)
        return x[:, : self.out_channels] + change[..., :height, :width]


class GlobalContext(nn.Module):
    """Describe a whole image by a vector, from a version of 32 x 32 pixels.

    Args:
        in_channels: Of the image.
        width: Length of the vector.

    Shape:
        - Input: :math:`(B, C, H, W)` in [0, 1]; output: :math:`(B, W)`.

    Example:
        >>> GlobalContext(3, 16)(torch.rand(2, 3, 100, 80)).shape
        torch.Size([2, 16])
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
            nn.Hardswish(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.Hardswish(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, width),
            nn.Hardswish(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the vector."""
        small = F.adaptive_avg_pool2d(x, _LOOK)
        vector: Tensor = self.layers(small * 2 - 1)
        return vector


def edit_base(in_channels: int = 4) -> EditNet:
    """Make the preset that trains on a CPU in an hour: 5 GMAC at 256."""
    return EditNet(in_channels)


def edit_large(in_channels: int = 4) -> EditNet:
    """Make the preset for a GPU: three halvings, wider, 12 GMAC at 256."""
    return EditNet(in_channels, widths=(32, 64, 128, 192), blocks=8, context_width=64)


class _Block(nn.Module):
    """Two convolutions around the context's scale and shift, added to what was there."""

    def __init__(self, width: int, context_width: int, norm_layer: Layer) -> None:
        super().__init__()
        self.first = ConvNormAct(width, width, act_layer=nn.Identity, norm_layer=norm_layer)
        self.modulate = nn.Linear(context_width, 2 * width) if context_width else None
        self.act = nn.Hardswish()
        self.second = ConvNormAct(width, width, act_layer=nn.Identity, norm_layer=norm_layer)

    def start_unmoved(self) -> None:
        """Let the context change nothing at first."""
        if self.modulate is not None:
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        features: Tensor = self.first(x)
        if self.modulate is not None:
            scale, shift = self.modulate(context)[..., None, None].chunk(2, dim=1)
            features = features * (1 + scale) + shift
        features = self.second(self.act(features))
        return x + features


class _Up(nn.Module):
    """Twice the size by repetition, a convolution, the encoder's features added, another one."""

    def __init__(self, in_channels: int, out_channels: int, norm_layer: Layer) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2)
        self.reduce = _convolution(in_channels, out_channels, norm_layer)
        self.refine = _convolution(out_channels, out_channels, norm_layer)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y: Tensor = self.refine(self.reduce(self.upsample(x)) + skip)
        return y


def _convolution(
    in_channels: int, out_channels: int, norm_layer: Layer, *, stride: int = 1
) -> ConvNormAct:
    return ConvNormAct(in_channels, out_channels, stride=stride, norm_layer=norm_layer)


def _norm_layer(norm: str) -> Layer:
    check_choice(norm, "norm", ("batch", "layer", "none"))
    if norm == "layer":
        from timm.layers import LayerNorm2d

        layer: Layer = LayerNorm2d
        return layer
    return nn.BatchNorm2d if norm == "batch" else nn.Identity
