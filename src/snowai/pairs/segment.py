"""Styles from code alone: flat colours, soft tones, ink lines and lively eyes.

A classic picture abstraction makes the first style to train on, with no style pictures at all.
"""

import math
from dataclasses import dataclass

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image, check_points
from snowai.faces import enlarge_eyes, eye_mask, iris_light

__all__ = ["ToonStyle", "flatten_colours", "ink_lines", "quantise_tones", "toon"]


@dataclass(frozen=True)
class ToonStyle:
    """How :func:`toon` draws.

    Args:
        eyes: Growth of the eyes, 0.5 for 50 %.
        smoothing: Passes of edge-preserving smoothing.
        tones: Steps of brightness from black to white.
        saturation: Factor of the colours' strength.
        brightness: How much middle tones are lifted, 0 to 0.5.
        lines: Darkness of the ink, 0 to 1.
        light: Strength of the catch light in the irises, 0 to 1.
    """

    eyes: float = 0.5
    smoothing: int = 6
    tones: int = 5
    saturation: float = 1.2
    brightness: float = 0.3
    lines: float = 0.85
    light: float = 0.9


def toon(
    image: Tensor, points: Tensor, style: ToonStyle | None = None, *, scheme: str = "mediapipe478"
) -> Tensor:
    """Draw faces as a comic: big eyes, flat skin, soft tones, thin ink lines, catch lights.

    Args:
        image: Aligned crops :math:`(B, 3, H, W)` in [0, 1]; made for 192 to 512 pixels.
        points: Landmarks :math:`(B, N, 2)` in pixels.
        style: The recipe.
        scheme: Of the points; catch lights need "mediapipe478".

    Returns:
        The drawings :math:`(B, 3, H, W)` in [0, 1].

    Source:
        After Winnemoeller et al., Real-time video abstraction,
        https://doi.org/10.1145/1141911.1142018
    """
    check_image(image, "image", channels=3)
    check_points(points, "points", count=None)
    style = style or ToonStyle()
    known = points.nan_to_num(-1e4)  # No face found: eyes far outside, nothing moves.
    size = (image.shape[-2], image.shape[-1])
    image = enlarge_eyes(image, known, style.eyes, scheme=scheme).image
    lines = ink_lines(flatten_colours(image, passes=1))
    tones = quantise_tones(flatten_colours(image, passes=style.smoothing), style.tones)
    # Inside the eyes the photo's own shading stays, a little brighter: banded irises look dead.
    eyes = eye_mask(known, size, scheme=scheme, softness=0.02, grow=0.015)
    tones = torch.lerp(tones, image * 1.08, eyes)
    tones = tones.clamp(1e-4, 1) ** (1 - style.brightness)
    grey = kornia.color.rgb_to_grayscale(tones)
    colours = torch.lerp(grey, tones, style.saturation).clamp(0, 1)
    drawing = colours * (1 - style.lines * lines)
    if scheme == "mediapipe478":
        # The irises' centres stay where they are when eyes grow.
        light = 0.3 * (1 + style.eyes)
        drawing = iris_light(drawing, points, strength=style.light, size=light)
    return drawing


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


def _blur(image: Tensor, sigma: float) -> Tensor:
    size = 2 * round(3 * sigma) + 1
    blurred: Tensor = kornia.filters.gaussian_blur2d(image, (size, size), (sigma, sigma))
    return blurred
