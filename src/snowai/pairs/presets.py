"""Styles from code alone: toon, comic, poster and watercolour.

Picture abstraction makes a first style to train on, with no style pictures at all; each preset is
a few steps of :mod:`snowai.pairs.drawing` and :mod:`snowai.pairs.segment`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import kornia
import torch
from torch import Tensor

from snowai._checks import check_image, check_points
from snowai.faces import enlarge_eyes, eye_mask, face_mask, iris_light
from snowai.pairs.drawing import (
    flatten_colours,
    halftone,
    hatching,
    ink_lines,
    ink_shadows,
    map_palette,
    paper_texture,
    pigment,
    quantise_tones,
    wet_edges,
)
from snowai.pairs.segment import adaptive_colours, selective_search

__all__ = [
    "STYLES",
    "ComicStyle",
    "DrawnStyle",
    "PosterStyle",
    "ToonStyle",
    "WatercolourStyle",
    "comic",
    "draw_style",
    "poster",
    "toon",
    "watercolour",
]


@dataclass(frozen=True)
class ToonStyle:
    """Big eyes, flat skin, soft tones, thin ink lines, catch lights.

    Args:
        eyes: Growth of the eyes, 0.5 for 50 %.
        smoothing: Passes of edge-preserving smoothing.
        tones: Steps of brightness from black to white.
        saturation: Factor of the colours' strength.
        brightness: How much middle tones are lifted, 0 to 0.5.
        lines: Darkness of the ink, 0 to 1.
        light: Strength of the catch light in the irises, 0 to 1.
        around: How much of saturation and brightness is given to what is around the face; 0 keeps
            the photo's tones there, so that a face laid back into its photo leaves no patch.
    """

    eyes: float = 0.5
    smoothing: int = 6
    tones: int = 5
    saturation: float = 1.2
    brightness: float = 0.3
    lines: float = 0.85
    light: float = 0.9
    around: float = 1.0


@dataclass(frozen=True)
class ComicStyle:
    """Flat patches of strong colour, brushed ink, solid blacks and halftone shadows.

    Args:
        eyes: Growth of the eyes.
        regions: Patches of colour.
        saturation: Factor of the colours' strength.
        lines: Width of the ink lines, in pixels at 256.
        black: Brightness below which ink fills everything.
        dots: Strength of the halftone in the shadows, 0 to 1.
        light: Strength of the catch light, 0 to 1.
    """

    eyes: float = 0.15
    regions: int = 160
    saturation: float = 1.5
    lines: float = 1.3
    black: float = 0.14
    dots: float = 0.35
    light: float = 0.8


@dataclass(frozen=True)
class PosterStyle:
    """A screen print: a handful of inks, one for each step of brightness.

    Args:
        palette: Hex colours from dark to bright.
        smoothing: Passes of edge-preserving smoothing.
        contrast: Factor of the contrast around the face's middle tone.
        hatching: Strength of the lines between the two middle inks, 0 to 1.
    """

    palette: tuple[str, ...] = ("#13293d", "#c8202f", "#5f9ea0", "#f2d9a2", "#fdf3da")
    smoothing: int = 5
    contrast: float = 1.1
    hatching: float = 0.5


@dataclass(frozen=True)
class WatercolourStyle:
    """Thin washes with dark rims on grained paper, over a pencil sketch.

    Args:
        regions: Washes.
        edges: How much pigment gathers where washes end.
        flow: How unevenly pigment lies.
        grain: Strength of the paper's grain.
        pencil: Darkness of the sketch, 0 to 1.
        wash: How much paper shines through, 0 to 1.
        margin: Width of the unpainted border, as a share of the side.
        seed: Of the paper.
    """

    regions: int = 220
    edges: float = 1.2
    flow: float = 0.35
    grain: float = 0.12
    pencil: float = 0.5
    wash: float = 0.35
    margin: float = 0.05
    seed: int = 0


DrawnStyle = ToonStyle | ComicStyle | PosterStyle | WatercolourStyle


def toon(
    image: Tensor, points: Tensor, style: ToonStyle | None = None, *, scheme: str = "mediapipe478"
) -> Tensor:
    """Draw faces with big eyes, flat skin, soft tones, thin ink lines and catch lights.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1]; made for aligned crops of 192 to 512 pixels.
        points: Landmarks :math:`(B, N, 2)` in pixels; nan where no face was found, which is then
            drawn as everything else is.
        style: The numbers.
        scheme: Of the points; catch lights need "mediapipe478".

    Returns:
        The drawings :math:`(B, 3, H, W)` in [0, 1].

    Source:
        After Winnemoeller et al., Real-time video abstraction,
        https://doi.org/10.1145/1141911.1142018
    """
    style = style or ToonStyle()
    image, known = _big_eyes(image, points, style.eyes, scheme)
    lines = ink_lines(flatten_colours(image, passes=1))
    tones = quantise_tones(flatten_colours(image, passes=style.smoothing), style.tones)
    # Inside the eyes the photo's own shading stays, a little brighter: banded irises look dead.
    tones = torch.lerp(tones, image * 1.08, _eyes(image, known, scheme))
    bright = tones.clamp(1e-4, 1) ** (1 - style.brightness)
    bright = _saturate(bright, style.saturation)
    if style.around < 1:
        size = (image.shape[-2], image.shape[-1])
        face = face_mask(known, size, scheme=scheme, softness=0.12)
        bright = torch.lerp(tones, bright, style.around + (1 - style.around) * face)
    drawing = bright * (1 - style.lines * lines)
    return _catch_light(drawing, points, style.eyes, style.light, scheme)


def comic(
    image: Tensor, points: Tensor, style: ComicStyle | None = None, *, scheme: str = "mediapipe478"
) -> Tensor:
    """Draw flat patches of strong colour, brushed ink, solid blacks and halftone shadows.

    Takes and returns what :func:`toon` does.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 478, 2) * 64
        >>> comic(image, points).shape
        torch.Size([1, 3, 64, 64])
    """
    style = style or ComicStyle()
    image, known = _big_eyes(image, points, style.eyes, scheme)
    smooth = flatten_colours(image, passes=3)
    # On smooth skin borders of regions lie where chance wants them: tones of light share the work.
    flat = torch.lerp(_patches(smooth, style.regions), quantise_tones(smooth, 6), 0.4)
    eyes = _eyes(image, known, scheme)
    flat = torch.lerp(flat, (image * 1.15).clamp(0, 1), eyes)
    flat = _saturate(flat.clamp(1e-4, 1) ** 0.8, style.saturation)
    light = kornia.color.rgb_to_grayscale(smooth)
    shadow = ((0.5 - light) / 0.35).clamp(0, 1) * (1 - eyes)
    drawing = flat * (1 - style.dots * halftone(shadow))
    lines = ink_lines(smooth, width=style.lines, threshold=0.008)
    black = ink_shadows(smooth, threshold=style.black) * (1 - eyes)
    drawing = drawing * (1 - torch.maximum(lines, black))
    return _catch_light(drawing, points, style.eyes, style.light, scheme)


def poster(
    image: Tensor, points: Tensor, style: PosterStyle | None = None, *, scheme: str = "mediapipe478"
) -> Tensor:
    """Print with a handful of inks, one for each step of brightness.

    Takes and returns what :func:`toon` does; exposure is set by the face, where one was found.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 478, 2) * 64
        >>> poster(image, points, PosterStyle(palette=("#000000", "#ffffff"))).shape
        torch.Size([1, 3, 64, 64])
    """
    style = style or PosterStyle()
    check_image(image, "image", channels=3)
    check_points(points, "points", count=None)
    smooth = kornia.color.rgb_to_grayscale(flatten_colours(image, passes=style.smoothing))
    tone = _expose(smooth, _faces(image, points, scheme), style.contrast)
    printed = map_palette(tone, style.palette)
    # Lines across the darker half of the middle ink soften the step, as engravers do.
    inks = len(style.palette)
    low = (inks // 2) / inks
    band = ((tone - low) * inks).clamp(0, 1)
    lines = hatching(tone) * (band > 0) * (band < 0.5) * style.hatching
    return torch.lerp(printed, map_palette((tone - 1 / inks).clamp(0, 1), style.palette), lines)


def watercolour(
    image: Tensor,
    points: Tensor,
    style: WatercolourStyle | None = None,
    *,
    scheme: str = "mediapipe478",
) -> Tensor:
    """Paint thin washes with dark rims on grained paper, over a pencil sketch.

    Takes and returns what :func:`toon` does.

    Source:
        After Bousseau et al., https://doi.org/10.1145/1124728.1124751

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 478, 2) * 64
        >>> watercolour(image, points).shape
        torch.Size([1, 3, 64, 64])
    """
    style = style or WatercolourStyle()
    check_image(image, "image", channels=3)
    check_points(points, "points", count=None)
    size = (image.shape[-2], image.shape[-1])
    known = points.nan_to_num(-1e4)
    smooth = flatten_colours(image, passes=3)
    washes = torch.lerp(_patches(smooth, style.regions), smooth, 0.65)
    eyes = _eyes(image, known, scheme)
    washes = torch.lerp(washes, image, 0.7 * eyes)
    grain = paper_texture(size, seed=style.seed).to(image)
    flow = paper_texture(size, scale=14.0, seed=style.seed + 1).to(image)
    density = 1 - style.wash + style.edges * wet_edges(washes) * (1 - eyes)
    density = density + style.flow * flow * (1 - eyes) + style.grain * grain
    painted = pigment(_saturate(washes.clamp(1e-4, 1) ** 0.75, 1.25), density)
    lines = ink_lines(flatten_colours(image, passes=1), width=0.8)
    sketch = painted * (1 - style.pencil * lines * (0.75 + 0.25 * grain).clamp(0, 1))
    paper = torch.tensor([0.985, 0.975, 0.95]).to(image).view(1, 3, 1, 1) * (1 + 0.015 * grain)
    return torch.lerp(paper, sketch, _painted_area(flow, style.margin)).clamp(0, 1)


STYLES: Mapping[str, type[DrawnStyle]] = {
    "toon": ToonStyle,
    "comic": ComicStyle,
    "poster": PosterStyle,
    "watercolour": WatercolourStyle,
}
"""The presets by name; each class's defaults are the preset."""

_DRAW: Mapping[type[DrawnStyle], Callable[..., Tensor]] = {
    ToonStyle: toon,
    ComicStyle: comic,
    PosterStyle: poster,
    WatercolourStyle: watercolour,
}


def style_name(style: DrawnStyle) -> str:
    """Return the preset's name that a style is of."""
    return next(name for name, kind in STYLES.items() if isinstance(style, kind))


def draw_style(
    image: Tensor, points: Tensor, style: DrawnStyle, *, scheme: str = "mediapipe478"
) -> Tensor:
    """Draw in whichever style the numbers are of: toon, comic, poster or watercolour.

    Takes and returns what :func:`toon` does.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 478, 2) * 64
        >>> torch.equal(draw_style(image, points, PosterStyle()), poster(image, points))
        True
    """
    return _DRAW[type(style)](image, points, style, scheme=scheme)


def _big_eyes(image: Tensor, points: Tensor, growth: float, scheme: str) -> tuple[Tensor, Tensor]:
    check_image(image, "image", channels=3)
    check_points(points, "points", count=None)
    known = points.nan_to_num(-1e4)  # No face found: eyes far outside, nothing moves.
    return enlarge_eyes(image, known, growth, scheme=scheme).image, known


def _eyes(image: Tensor, known: Tensor, scheme: str) -> Tensor:
    size = (image.shape[-2], image.shape[-1])
    return eye_mask(known, size, scheme=scheme, softness=0.02, grow=0.015)


def _catch_light(
    drawing: Tensor, points: Tensor, growth: float, strength: float, scheme: str
) -> Tensor:
    if scheme != "mediapipe478":
        return drawing
    # The irises' centres stay where they are when eyes grow.
    return iris_light(drawing, points, strength=strength, size=0.3 * (1 + growth))


def _saturate(image: Tensor, factor: float) -> Tensor:
    grey = kornia.color.rgb_to_grayscale(image)
    return torch.lerp(grey, image, factor).clamp(0, 1)


def _patches(image: Tensor, regions: int) -> Tensor:
    """Return a patchwork of flat colours, with the steps taken out of its borders."""
    image = adaptive_colours(image, selective_search(image, regions=regions))
    side = 2 * round(max(image.shape[-2:]) / 128) + 1
    rounded: Tensor = kornia.filters.median_blur(image, (side, side))
    return rounded


def _painted_area(flow: Tensor, margin: float) -> Tensor:
    """Return where the brush went: all but an uneven border."""
    height, width = flow.shape[-2:]
    y = torch.linspace(0, 1, height, device=flow.device).view(-1, 1)
    x = torch.linspace(0, 1, width, device=flow.device).view(1, -1)
    if margin == 0:
        return torch.ones_like(flow)
    inward = torch.minimum(torch.minimum(x, 1 - x), torch.minimum(y, 1 - y))
    return torch.sigmoid((inward + 0.012 * flow - margin) / 0.004)


def _expose(tone: Tensor, faces: Tensor, contrast: float) -> Tensor:
    """Put the face's middle tone at 0.58 of the scale, between paper and the middle ink."""
    area = faces.sum(dim=(2, 3), keepdim=True)
    inside = (tone * faces).sum(dim=(2, 3), keepdim=True) / area.clamp_min(1)
    whole = tone.mean(dim=(2, 3), keepdim=True)
    middle = torch.where(area > 1, inside, whole).clamp(0.05, 0.95)
    gamma = torch.tensor(0.62).log().to(tone) / middle.log()
    return ((tone.clamp(1e-3, 1) ** gamma - 0.62) * contrast + 0.62).clamp(0, 1)


def _faces(image: Tensor, points: Tensor, scheme: str) -> Tensor:
    size = (image.shape[-2], image.shape[-1])
    return face_mask(points.nan_to_num(-1e4), size, scheme=scheme)
