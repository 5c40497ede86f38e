r"""StyleGAN2: latents to styles, styles to a picture, and the judge of pictures.

The order of layers is what blending, editing and every file format depend on, so it is stated
once, here: ``layers[0]`` works at 4 pixels, ``layers[2 k - 1]`` and ``layers[2 k]`` at
:math:`4 \cdot 2^k`; ``to_rgb[k]`` follows ``layers[2 k]``. ``layers[i]`` listens to ``ws[:, i]``
and ``to_rgb[k]`` to ``ws[:, 2 k + 1]``.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn

from snowai._checks import check_choice, check_image
from snowai.checkpoint import keeps_config
from snowai.models.stylegan2_layers import (
    RELU_GAIN,
    EqualConv2d,
    EqualLinear,
    StyledConv,
    ToRGB,
    leaky_relu,
    upsample_rgb,
)

__all__ = [
    "MappingNetwork",
    "Noise",
    "ResidualBlock",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "SynthesisNetwork",
    "layer_resolution",
    "stylegan2_resolutions",
]

Noise = Literal["const", "random", "none"] | Sequence[Tensor]
"""The stored noise, fresh noise, none, or one tensor (1 or B, 1, R, R) for each layer."""


def stylegan2_resolutions(resolution: int) -> list[int]:
    """Return the sizes that a network works at, from 4 pixels up.

    Raises:
        ValueError: Not a power of two from 16 to 1024.

    Example:
        >>> stylegan2_resolutions(64)
        [4, 8, 16, 32, 64]
    """
    if resolution not in (sizes := [2**power for power in range(2, 11)]) or resolution < 16:
        raise ValueError(f"resolution must be a power of two from 16 to 1024; got {resolution}.")
    return sizes[: sizes.index(resolution) + 1]


def layer_resolution(index: int) -> int:
    """Return the size that ``synthesis.layers[index]`` works at.

    Example:
        >>> [layer_resolution(index) for index in range(5)]
        [4, 8, 8, 16, 16]
    """
    return int(4 * 2 ** ((index + 1) // 2))


class MappingNetwork(nn.Module):
    r"""Map a latent z (and a label) to w, whose directions are closer to meanings.

    Args:
        z_dim: Size of z; 0 for a network of labels alone.
        w_dim: Size of w.
        num_ws: Copies of w, one for each layer of the synthesis.
        layers: Linear layers.
        label_dim: Size of the label, one-hot or any other vector; 0 for none.

    Shape:
        - z: :math:`(B, z)`, label: :math:`(B, l)`, output: :math:`(B, n, w)`.

    Example:
        >>> MappingNetwork(8, 16, num_ws=4, layers=2)(torch.randn(3, 8)).shape
        torch.Size([3, 4, 16])
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, w_dim: int, *, num_ws: int, layers: int = 8, label_dim: int = 0
    ) -> None:
        super().__init__()
        self.z_dim, self.num_ws, self.label_dim = z_dim, num_ws, label_dim
        self.embed = EqualLinear(label_dim, w_dim) if label_dim else None
        widths = [z_dim + (w_dim if label_dim else 0)] + [w_dim] * layers
        self.layers = nn.ModuleList(
            EqualLinear(before, after, lr_multiplier=0.01, gain=RELU_GAIN)
            for before, after in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor | None, label: Tensor | None = None, *, truncation: float = 1.0
    ) -> Tensor:
        """Return one w for each layer.

        Args:
            z: Standard normal.
            label: Required when the network has ``label_dim``.
            truncation: 1 leaves w; towards 0 it nears the average face, safer and duller.
        """
        w = _unit(z) if z is not None else None
        if self.embed is not None:
            if label is None or label.shape[1:] != (self.label_dim,):
                raise ValueError(
                    f"label must have shape (B, {self.label_dim}); "
                    f"got {None if label is None else tuple(label.shape)}."
                )
            embedded = _unit(self.embed(label))
            w = embedded if w is None else torch.cat([w, embedded], dim=1)
        if w is None or (z is not None and z.shape[1:] != (self.z_dim,)):
            shape = None if z is None else tuple(z.shape)
            raise ValueError(f"z must have shape (B, {self.z_dim}); got {shape}.")
        for layer in self.layers:
            w = leaky_relu(layer(w))
        if truncation != 1:
            w = self.w_avg.lerp(w, truncation)
        return w[:, None].expand(-1, self.num_ws, -1)

    @torch.no_grad()
    def update_average(self, ws: Tensor, *, decay: float = 0.995) -> None:
        """Move ``w_avg`` towards a batch's mean, in place; training calls it at each step."""
        self.w_avg.lerp_(ws[:, 0].detach().float().mean(dim=0), 1 - decay)


class SynthesisNetwork(nn.Module):
    r"""Draw the picture: a learnt constant, styled convolutions, colours summed over sizes.

    Args:
        channels: Of the features at each resolution, from 4 pixels up.
        w_dim: Size of w.

    Shape:
        - ws: :math:`(B, n, w)`, output: :math:`(B, 3, R, R)`, about [0, 1] but not clamped.
    """

    def __init__(self, channels: Sequence[int], *, w_dim: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.layers = nn.ModuleList(
            [StyledConv(channels[0], channels[0], w_dim=w_dim, resolution=4)]
        )
        self.to_rgb = nn.ModuleList([ToRGB(channels[0], w_dim=w_dim)])
        for level, (before, after) in enumerate(pairwise(channels), start=1):
            size = 4 * 2**level
            self.layers.append(StyledConv(before, after, w_dim=w_dim, resolution=size, up=True))
            self.layers.append(StyledConv(after, after, w_dim=w_dim, resolution=size))
            self.to_rgb.append(ToRGB(after, w_dim=w_dim))
        self.w_dim, self.num_ws = w_dim, len(self.layers) + 1

    def forward(
        self, ws: Tensor, *, noise: Noise = "const", generator: torch.Generator | None = None
    ) -> Tensor:
        """Return pictures.

        Args:
            ws: One w for each layer.
            noise: "const" gives the same picture again, "random" fresh detail, "none" the
                smoothest; or tensors of your own, one for each layer.
            generator: Source of the random noise, of the CPU.
        """
        *_, rgb = self.growing(ws, noise=noise, generator=generator)
        return rgb

    def growing(
        self, ws: Tensor, *, noise: Noise = "const", generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """Yield the picture as it grows: :math:`(B, 3, 4, 4)`, then 8x8, up to the last."""
        if ws.dim() != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"ws must have shape (B, {self.num_ws}, {self.w_dim}); got {tuple(ws.shape)}. "
                "A single w comes from mapping(z)."
            )
        noises = self._noises(noise, ws, generator)
        x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        rgb: Tensor | None = None
        for index, layer in enumerate(self.layers):
            x = layer(x, ws[:, index], noises[index])
            if index % 2 == 0:
                # Colours are summed in full precision: small shares would be rounded away.
                share = self.to_rgb[index // 2](x, ws[:, index + 1]).to(ws.dtype)
                rgb = share if rgb is None else upsample_rgb(rgb) + share
                yield (rgb + 1) / 2

    @property
    def noise_sizes(self) -> list[int]:
        """Sides of the noise maps, one for each layer."""
        return [layer_resolution(index) for index in range(len(self.layers))]

    def styled_convs(self) -> list[StyledConv]:
        """Return ``layers``, by their type."""
        return [cast("StyledConv", layer) for layer in self.layers]

    def noise_const(self) -> list[Tensor]:
        """Return the stored noise, one map (1, 1, R, R) for each layer."""
        return [layer.noise_const for layer in self.styled_convs()]

    def draw_noise(self, batch: int, *, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw noise (B, 1, R, R) for each layer; the same on any device."""
        return [
            torch.randn(batch, 1, size, size, generator=generator).to(self.const)
            for size in self.noise_sizes
        ]

    def _noises(
        self, noise: Noise, ws: Tensor, generator: torch.Generator | None
    ) -> Sequence[Tensor | None]:
        if not isinstance(noise, str):
            if len(noise) != len(self.layers):
                raise ValueError(f"noise needs {len(self.layers)} tensors; got {len(noise)}.")
            return list(noise)
        check_choice(noise, "noise", ("const", "random", "none"))
        if noise == "random":
            return self.draw_noise(len(ws), generator=generator)
        return self.noise_const() if noise == "const" else [None] * len(self.layers)


@keeps_config
class StyleGAN2Generator(nn.Module):
    r"""Generator of StyleGAN2: ``mapping`` from z to ws, ``synthesis`` from ws to pictures.

    Args:
        resolution: Side of the pictures, a power of two from 16 to 1024.
        z_dim: Size of z.
        w_dim: Size of w.
        mapping_layers: Linear layers of the mapping network.
        channel_base: A resolution R has :math:`\min(\text{base} / R, \text{max})` channels.
        channel_max: See ``channel_base``.
        label_dim: Size of an optional class label.

    Shape:
        - z: :math:`(B, z)`, output: :math:`(B, 3, R, R)`, about [0, 1] but not clamped.

    Source:
        Karras et al., https://arxiv.org/abs/1912.04958

    Example:
        >>> generator = StyleGAN2Generator(32, z_dim=16, w_dim=16, channel_base=256)
        >>> ws = generator.mapping(torch.randn(2, 16), truncation=0.7)
        >>> ws.shape, generator.synthesis(ws, noise="const").shape
        (torch.Size([2, 8, 16]), torch.Size([2, 3, 32, 32]))
    """

    def __init__(
        self,
        resolution: int = 256,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        label_dim: int = 0,
    ) -> None:
        super().__init__()
        self.resolution, self.z_dim, self.w_dim = resolution, z_dim, w_dim
        self.synthesis = SynthesisNetwork(
            _channels(resolution, channel_base, channel_max), w_dim=w_dim
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim, w_dim, num_ws=self.num_ws, layers=mapping_layers, label_dim=label_dim
        )

    def forward(
        self,
        z: Tensor,
        label: Tensor | None = None,
        *,
        truncation: float = 1.0,
        noise: Noise = "const",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return pictures for latents; see the two halves for the arguments."""
        ws = self.mapping(z, label, truncation=truncation)
        images: Tensor = self.synthesis(ws, noise=noise, generator=generator)
        return images


@keeps_config
class StyleGAN2Discriminator(nn.Module):
    r"""Discriminator of StyleGAN2: residual blocks, statistics of the batch, one logit a picture.

    Args:
        resolution: Side of the pictures, a power of two from 16 to 1024.
        channel_base: A resolution R has :math:`\min(\text{base} / R, \text{max})` channels.
        channel_max: See ``channel_base``.
        label_dim: Size of an optional class label (projection discriminator).
        mapping_layers: Linear layers that map the label.

    Shape:
        - Image: :math:`(B, 3, R, R)` in [0, 1], label: :math:`(B, l)`, output: :math:`(B, 1)`.

    Source:
        Karras et al., https://arxiv.org/abs/1912.04958

    Example:
        >>> StyleGAN2Discriminator(32, channel_base=256)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        resolution: int = 256,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        label_dim: int = 0,
        mapping_layers: int = 8,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        channels = _channels(resolution, channel_base, channel_max)[::-1]
        self.from_rgb = EqualConv2d(3, channels[0], 1, gain=RELU_GAIN)
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after) for before, after in pairwise(channels)
        )
        last = channels[-1]
        self.conv = EqualConv2d(last + 1, last, gain=RELU_GAIN)
        self.linear = EqualLinear(last * 16, last, gain=RELU_GAIN)
        # With labels, the logit is the picture's vector projected on the label's.
        self.logit = EqualLinear(last, last if label_dim else 1)
        self.mapping = (
            MappingNetwork(0, last, num_ws=1, layers=mapping_layers, label_dim=label_dim)
            if label_dim
            else None
        )

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return logits: high for real pictures."""
        check_image(image, "image", channels=3)
        if image.shape[-2:] != (self.resolution, self.resolution):
            raise ValueError(
                f"image must be {self.resolution}x{self.resolution}; "
                f"got {image.shape[-1]}x{image.shape[-2]}."
            )
        image = (image * 2 - 1).contiguous(memory_format=torch.channels_last)
        x = leaky_relu(self.from_rgb(image))
        for block in self.blocks:
            x = block(x)
        x = leaky_relu(self.conv(_with_batch_statistics(x)))
        logit: Tensor = self.logit(leaky_relu(self.linear(x.flatten(start_dim=1))))
        if self.mapping is None:
            return logit
        target: Tensor = self.mapping(None, label)[:, 0]
        return (logit * target).sum(dim=1, keepdim=True) / math.sqrt(target.shape[1])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second thinning, beside a blurred 1x1; their sum over root 2.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, of half the size.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = math.sqrt(0.5)
        self.conv0 = EqualConv2d(in_channels, in_channels, gain=RELU_GAIN)
        self.conv1 = EqualConv2d(in_channels, out_channels, down=True, gain=RELU_GAIN * half)
        self.skip = EqualConv2d(in_channels, out_channels, 1, bias=False, down=True, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features at half the size."""
        y: Tensor = leaky_relu(self.conv1(leaky_relu(self.conv0(x))))
        skip: Tensor = self.skip(x)
        return y + skip


def _with_batch_statistics(x: Tensor, *, group: int = 4) -> Tensor:
    """Add a channel that tells how much the pictures of a group differ: collapse is seen."""
    batch, channels, height, width = x.shape
    group = next(size for size in range(min(group, batch), 0, -1) if batch % size == 0)
    y = x.float().reshape(group, batch // group, channels, height, width)
    spread = (y.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    statistic = spread.to(x.dtype).repeat(group)[:, None, None, None]
    return torch.cat([x, statistic.expand(-1, 1, height, width)], dim=1)


def _channels(resolution: int, base: int, most: int) -> list[int]:
    return [max(min(base // size, most), 1) for size in stylegan2_resolutions(resolution)]


def _unit(x: Tensor) -> Tensor:
    """Scale each vector to a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
