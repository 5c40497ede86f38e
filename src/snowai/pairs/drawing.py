"""Steps of a drawing: flat colours, soft tones, ink, halftone dots, palettes, pigment and paper.

Each takes pictures and returns pictures or masks, so that a style is written by joining them.
"""

import math
from collections.abc import Sequence

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image

__all__ = [
    "flatten_colours",
    "halftone",
    "hatching",
    "ink_lines",
    "ink_shadows",
    "map_palette",
    "paper_texture",
    "pigment",
    "quantise_tones",
    "wet_edges",
]


def flatten_colours(image: Tensor, *, passes: int = 4, contrast: float = 0.06) -> Tensor:
    """Smooth surfaces and keep edges, by repeated bilateral filtering.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        passes: How often; each flattens more.
        contrast: Differences well above this are edges and stay.

    Source:
        Tomasi and Manduchi, https://doi.org/10.1109/ICCV.1998.710815
    """
    space = max(image.shape[-2] / 256 * 3.0, 1.0)
    kernel = 2 * round(1.5 * space) + 1
    for _ in range(passes):
        image = kornia.filters.bilateral_blur(image, (kernel, kernel), contrast, (space, space))
    return image


def quantise_tones(image: Tensor, levels: int, *, sharpness: float = 2.5) -> Tensor:
    r"""Draw brightness as a soft staircase; hue stays.

    Between two neighbouring levels the brightness :math:`t \in [0, 1]` becomes

    .. math:: \frac12 + \frac{\tanh(k (t - \frac12))}{2 \tanh(k / 2)}

    which is continuous: no contour lines where a forehead turns dark.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        levels: Steps from black to white, at least 2.
        sharpness: :math:`k`; 1 leaves brightness nearly as it is, 20 draws hard edges.
    """
    if levels < 2:
        raise ValueError(f"levels must be at least 2; got {levels}.")
    light: Tensor = kornia.color.rgb_to_grayscale(image)
    scaled = light * (levels - 1)
    floor = scaled.floor()
    rise = torch.tanh(sharpness * (scaled - floor - 0.5)) / math.tanh(sharpness / 2)
    drawn = (floor + 0.5 + rise / 2) / (levels - 1)
    return (image * (drawn / light.clamp_min(1e-3))).clamp(0, 1)


def ink_lines(image: Tensor, *, width: float = 0.9, threshold: float = 0.01) -> Tensor:
    """Find lines to ink: 1 on dark sides of edges, 0 elsewhere, by a difference of Gaussians.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], best a little smoothed.
        width: Of the lines, in pixels at 256.
        threshold: Weaker edges stay blank.

    Returns:
        :math:`(B, 1, H, W)` in [0, 1].

    Source:
        Winnemoeller et al., XDoG, https://doi.org/10.1016/j.cag.2012.03.004
    """
    light = kornia.color.rgb_to_grayscale(image)
    sigma = max(width * image.shape[-2] / 256, 0.6)
    difference = _blur(light, 1.6 * sigma) - _blur(light, sigma)
    lines: Tensor = torch.tanh(F.relu(difference - threshold) * 40)
    return lines


def ink_shadows(image: Tensor, *, threshold: float = 0.18, softness: float = 0.02) -> Tensor:
    """Find the dark surfaces that a brush would fill with ink.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        threshold: Brightness below which ink is laid.
        softness: Width of the step, in brightness.

    Returns:
        :math:`(B, 1, H, W)` in [0, 1].
    """
    light: Tensor = _blur(kornia.color.rgb_to_grayscale(image), _pixels(image, 1.2))
    return torch.sigmoid((threshold - light) / softness)


def halftone(tone: Tensor, *, pitch: float = 4.5, angle: float = 30.0) -> Tensor:
    r"""Print a tone as dots on a turned grid: the darker, the larger.

    .. math:: d = \sigma\left(8\left(t - \tfrac12 + \tfrac14 (\cos u + \cos v)\right)\right)

    with :math:`u, v` the turned coordinates, one period every ``pitch``.

    Args:
        tone: :math:`(B, 1, H, W)` in [0, 1]; how much ink.
        pitch: Distance of the dots, in pixels at 256.
        angle: Of the grid, in degrees.

    Returns:
        Ink :math:`(B, 1, H, W)` in [0, 1].
    """
    check_image(tone, "tone", channels=1)
    u, v = _turned(tone, pitch, angle)
    return torch.sigmoid(8 * (tone - 0.5 + (u.cos() + v.cos()) / 4)) * (tone > 0.02)


def hatching(image: Tensor, *, pitch: float = 3.0, angle: float = 45.0) -> Tensor:
    """Draw parallel lines over a whole picture.

    Args:
        image: :math:`(B, C, H, W)`; only its size counts.
        pitch: Distance of the lines, in pixels at 256.
        angle: Of the lines, in degrees.

    Returns:
        :math:`(1, 1, H, W)` in [0, 1].
    """
    across, _ = _turned(image, pitch, angle)
    return torch.sigmoid(6 * across.cos())


def map_palette(tone: Tensor, colours: Sequence[str], *, sharpness: float = 125.0) -> Tensor:
    """Replace brightness by a few colours, as in a screen print.

    Args:
        tone: :math:`(B, 1, H, W)` in [0, 1].
        colours: Hex colours from dark to bright, e.g. ``("#1b2a41", "#d7263d", "#fbe8c8")``; each
            takes an equal share of the brightness.
        sharpness: Of the borders; 125 is nearly a knife, with smooth pixels.

    Returns:
        :math:`(B, 3, H, W)`.

    Raises:
        ValueError: Fewer than two colours, or one is no hex colour.
    """
    check_image(tone, "tone", channels=1)
    if len(colours) < 2:
        raise ValueError(f"A palette needs at least 2 colours; got {list(colours)}.")
    inks = [_hex(colour).to(tone).view(1, 3, 1, 1) for colour in colours]
    picture = inks[0].expand(len(tone), 3, *tone.shape[-2:])
    for index, ink in enumerate(inks[1:], start=1):
        step = torch.sigmoid((tone - index / len(inks)) * sharpness)
        picture = torch.lerp(picture, ink, step)
    return picture


def pigment(image: Tensor, density: Tensor) -> Tensor:
    r"""Lay paint thicker or thinner: :math:`C' = C - (C - C^2)(d - 1)`.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        density: :math:`(B, 1, H, W)`; 1 leaves the colour, 2 darkens as a second wash, 0 thins.

    Source:
        Bousseau et al., Interactive watercolor rendering, https://doi.org/10.1145/1124728.1124751
    """
    return (image - (image - image.square()) * (density - 1)).clamp(0, 1)


def wet_edges(image: Tensor, *, width: float = 1.6) -> Tensor:
    """Find where washes end and pigment gathers: 0 on surfaces, up to 1 on edges.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], best flattened.
        width: Of the dark rims, in pixels at 256.

    Returns:
        :math:`(B, 1, H, W)`.
    """
    smooth = _blur(image, _pixels(image, width))
    slope = kornia.filters.spatial_gradient(smooth).norm(dim=2).mean(dim=1, keepdim=True)
    rims: Tensor = torch.tanh(slope * _pixels(image, 6.0))
    return rims


def paper_texture(size: tuple[int, int], *, scale: float = 1.5, seed: int = 0) -> Tensor:
    """Make the grain of paper: noise at several scales, each half as strong as the coarser one.

    Args:
        size: (height, width) in pixels.
        scale: Of the finest grain, in pixels at 256.
        seed: Of the sheet.

    Returns:
        :math:`(1, 1, H, W)` with mean 0 and deviation 1.

    Example:
        >>> paper_texture((32, 32)).shape
        torch.Size([1, 1, 32, 32])
    """
    generator = torch.Generator().manual_seed(seed)
    grain = torch.zeros(1, 1, *size)
    for octave in range(4):
        step = max(scale * 2**octave * max(size) / 256, 1.0)
        coarse = tuple(max(math.ceil(side / step), 2) for side in size)
        noise = torch.randn(1, 1, *coarse, generator=generator)
        layer = F.interpolate(noise, size, mode="bicubic", align_corners=False)
        grain = grain + layer * 2.0 ** (octave - 3)
    return (grain - grain.mean()) / grain.std()


def _turned(image: Tensor, pitch: float, angle: float) -> tuple[Tensor, Tensor]:
    """Return the coordinates of a turned grid, (1, 1, H, W), one period of 2 pi every pitch."""
    height, width = image.shape[-2:]
    turn, step = math.radians(angle), 2 * math.pi / _pixels(image, pitch)
    y = torch.arange(height, device=image.device, dtype=image.dtype).view(1, 1, -1, 1) * step
    x = torch.arange(width, device=image.device, dtype=image.dtype).view(1, 1, 1, -1) * step
    return x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)


def _pixels(image: Tensor, at_256: float) -> float:
    return at_256 * max(image.shape[-2:]) / 256


def _hex(colour: str) -> Tensor:
    digits = colour.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        raise ValueError(f"Colours are written as #rrggbb; got {colour!r}.") from None
    return torch.tensor([red, green, blue]) / 255


def _blur(image: Tensor, sigma: float) -> Tensor:
    size = 2 * round(3 * sigma) + 1
    blurred: Tensor = kornia.filters.gaussian_blur2d(image, (size, size), (sigma, sigma))
    return blurred
