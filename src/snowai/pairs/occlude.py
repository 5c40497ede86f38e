"""What hides a face: glasses, masks, microphones, hands; drawn over both pictures of a pair."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.masks import face_contour, face_mask, polygon_mask
from snowai.faces.schemes import scheme_named
from snowai.faces.shapes import box, coverage, disc, segment
from snowai.faces.warp import face_axes, known_faces, pixel_places, sample_at
from snowai.image import find_images

__all__ = [
    "OCCLUDERS",
    "Cover",
    "cover",
    "cutout",
    "fringe",
    "glasses",
    "medical_mask",
    "microphone",
    "visible_face",
]


_ROOTS = 0.5  # A fringe is made of the hair this far above the face's outline, in eye distances.


class Cover(NamedTuple):
    """A layer that lies over a face.

    Args:
        colour: :math:`(B, 3, H, W)` in [0, 1].
        alpha: :math:`(B, 1, H, W)`, 1 where it hides everything.
    """

    colour: Tensor
    alpha: Tensor


def cover(image: Tensor, layer: Cover) -> Tensor:
    """Lay a layer over pictures :math:`(B, 3, H, W)`.

    Example:
        >>> layer = Cover(torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8))
        >>> cover(torch.rand(1, 3, 8, 8), layer).sum()
        tensor(0.)
    """
    return torch.lerp(image, layer.colour, layer.alpha)


class _Face(NamedTuple):
    """A face's own coordinates, in distances of the eyes about a point."""

    places: Tensor  # (B, H W, 2) pixels.
    across: Tensor  # (B, 2)
    down: Tensor  # (B, 2)
    eyes: Tensor  # (B, 1) distance of the eyes in pixels.
    known: Tensor  # (B,)
    points: Tensor  # (B, N, 2), finite.

    def about(self, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Return all pixels' x and y (B, H W) from a point (B, 2), in eye distances."""
        offset = self.places - centre[:, None]
        x = (offset * self.across[:, None]).sum(dim=-1) / self.eyes
        return x, (offset * self.down[:, None]).sum(dim=-1) / self.eyes

    def at(self, centre: Tensor, x: float, y: float) -> Tensor:
        """Return the point (B, 2) that lies x, y eye distances from another."""
        return centre + self.eyes * (x * self.across + y * self.down)


def _face(image: Tensor, points: Tensor, scheme: str) -> _Face:
    check_image(image, "image", channels=3)
    check_points(points, "points", count=scheme_named(scheme).size)
    finite, known = known_faces(points)
    across, down, eyes = face_axes(finite, scheme=scheme)
    return _Face(pixel_places(image), across, down, eyes, known, finite)


def glasses(image: Tensor, points: Tensor, *, scheme: str, seed: int = 0) -> Cover:
    """Draw glasses in the face's perspective: frame, bridge, temples, lenses that reflect.

    Each lens is as wide as its own eye appears, so a turned head wears them turned.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], for its size.
        points: Landmarks :math:`(B, N, 2)` in pixels.
        scheme: Of the points.
        seed: Of shape, colour, thickness, tint and reflection.
    """
    face = _face(image, points, scheme)
    draw = _numbers(seed, 8)
    frame = _choose(_FRAMES, draw[0], image)
    thick = 0.025 + 0.035 * draw[1]
    roundness, height = 0.35 + 0.65 * draw[2], 0.3 + 0.12 * draw[3]
    edge, lens, streak = [], [], []
    ends = []
    for side in ("right", "left"):
        eye = region_points(face.points, f"{side}_eye", scheme=scheme)
        width = (eye - eye.mean(dim=1, keepdim=True)).norm(dim=-1).amax(dim=1)[:, None]
        # Room for the bridge, however large a style draws its eyes.
        half = ((width / face.eyes) * (1.75 + 0.2 * draw[4])).clamp_max(0.42)
        centre = face.at(eye.mean(dim=1), 0.0, 0.06)
        x, y = face.about(centre)
        corner = torch.minimum(half, torch.full_like(half, height)) * roundness
        distance = box(x, y, half, height, corner) * face.eyes
        edge.append(distance.abs() - thick * face.eyes / 2)
        lens.append(distance)
        streak.append(torch.sin((x - 0.8 * y) * 9 + 6.28 * draw[5]))
        ends.append((centre, half))
    (right, half_r), (left, half_l) = ends
    inner = [
        right + half_r * face.eyes * face.across - 0.08 * face.eyes * face.down,
        left - half_l * face.eyes * face.across - 0.08 * face.eyes * face.down,
    ]
    bridge = segment(face.places, inner[0], inner[1]) - thick * face.eyes * 0.6
    temples = [
        segment(face.places, start, end) - thick * face.eyes * 0.45
        for start, end in _temples(face, scheme, (right, half_r), (left, half_l))
    ]
    solid = torch.stack([*edge, bridge, *temples]).amin(dim=0)
    inside = torch.stack(lens).amin(dim=0)
    shine = torch.where(lens[0] < lens[1], streak[0], streak[1])
    reflection = ((shine - 0.75) / 0.2).clamp(0, 1) * (0.15 + 0.35 * draw[6])
    dark = 0.8 if draw[7] > 0.8 else 0.06  # One pair in five is sunglasses.
    glass = coverage(inside) * torch.maximum(reflection, torch.full_like(reflection, dark))
    tone = torch.where(reflection > dark, 0.95, 0.08)
    metal = coverage(solid)
    # The frame lies over its own lenses.
    alpha = metal + (1 - metal) * glass
    share = (metal / alpha.clamp_min(1e-6))[:, None]
    colour = share * frame[..., 0] + (1 - share) * tone[:, None]
    return _layer(colour.expand(-1, 3, -1), alpha, face, image)


def medical_mask(image: Tensor, points: Tensor, *, scheme: str, seed: int = 0) -> Cover:
    """Draw a medical mask over nose, mouth and chin, with pleats and ear loops.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], for its size.
        points: Landmarks :math:`(B, N, 2)` in pixels.
        scheme: Of the points.
        seed: Of colour and height.
    """
    face = _face(image, points, scheme)
    draw = _numbers(seed, 3)
    jaw = region_points(face.points, "jaw", scheme=scheme)
    nose = region_points(face.points, "nose", scheme=scheme)
    eyes = face.at(nose.mean(dim=1), 0.0, -0.12 + 0.15 * draw[0])
    depth = ((jaw - eyes[:, None]) * face.down[:, None]).sum(dim=-1)
    # Below the cheekbones it follows the jaw; above it bends over the nose.
    low = torch.where(
        (depth > 0.25 * face.eyes)[..., None],
        jaw + 0.03 * face.eyes[:, None] * face.down[:, None],
        jaw + (0.25 * face.eyes - depth).clamp_min(0)[..., None] * face.down[:, None],
    )
    arc = [
        face.at(eyes, 0.55 - 1.1 * t, 0.28 * (2 * t - 1) ** 2 - 0.02)
        for t in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    outline = torch.cat([low, torch.stack(arc, dim=1)], dim=1)
    size = (image.shape[-2], image.shape[-1])
    cloth = polygon_mask(outline, size, softness=0.006).flatten(1)
    x, y = face.about(eyes)
    pleats = sum(torch.exp(-((y - at) / 0.025).square()) for at in (0.42, 0.62, 0.82))
    shade = 1 - 0.13 * torch.as_tensor(pleats) - 0.22 * x.square()
    colour = _choose(_CLOTHS, draw[1], image)[..., 0] * shade[:, None].clamp(0.4, 1.05)
    ears = face_contour(face.points, scheme=scheme)
    side = ((ears - eyes[:, None]) * face.across[:, None]).sum(dim=-1)
    loops = [
        segment(face.places, outline[:, place], ears[torch.arange(len(ears)), index])
        - 0.015 * face.eyes
        for place, index in ((0, side.argmin(dim=1)), (jaw.shape[1] - 1, side.argmax(dim=1)))
    ]
    string = coverage(torch.stack(loops).amin(dim=0))
    return _layer(colour, torch.maximum(cloth, string), face, image)


def microphone(image: Tensor, points: Tensor, *, scheme: str, seed: int = 0) -> Cover:
    """Hold a microphone before the chin.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], for its size.
        points: Landmarks :math:`(B, N, 2)` in pixels.
        scheme: Of the points.
        seed: Of its place, size and lean.
    """
    face = _face(image, points, scheme)
    draw = _numbers(seed, 4)
    mouth = region_points(face.points, "mouth", scheme=scheme).mean(dim=1)
    radius = 0.24 + 0.1 * draw[0]
    head = face.at(mouth, 0.5 * (draw[1] - 0.5), 0.3 + 0.25 * draw[2])
    foot = face.at(head, 1.2 * (draw[3] - 0.5), 3.0)
    x, y = face.about(head)
    ball = disc(x, y, radius) * face.eyes
    grip = segment(face.places, head, foot) - 0.55 * radius * face.eyes
    light = (0.55 - 0.8 * (x + y) / radius * 0.4).clamp(0.1, 0.9)
    mesh = 0.75 + 0.25 * (torch.sin(x / radius * 22) * torch.sin(y / radius * 22)).sign()
    round_grip = 0.16 + 0.12 * torch.exp(-((x + 0.1) / 0.08).square())
    grey = torch.where(ball < 0, light * mesh, round_grip)
    colour = grey[:, None].expand(-1, 3, -1)
    return _layer(colour, coverage(torch.minimum(ball, grip)), face, image)


def fringe(image: Tensor, points: Tensor, *, scheme: str, seed: int = 0) -> Cover:
    """Let a face's own hair grow down over its forehead, stretched from a band above it.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], for its hair; a head without any gets none.
        points: Landmarks :math:`(B, N, 2)` in pixels.
        scheme: Of the points.
        seed: Of its length, sweep and strands.
    """
    face = _face(image, points, scheme)
    draw = _numbers(seed, 5)
    brows = torch.cat(
        [region_points(face.points, f"{side}_brow", scheme=scheme) for side in ("left", "right")],
        dim=1,
    ).mean(dim=1)
    offset = (face_contour(face.points, scheme=scheme) - brows[:, None]) / face.eyes[:, None]
    half = (offset * face.across[:, None]).sum(dim=-1).abs().amax(dim=1, keepdim=True)
    top = (offset * face.down[:, None]).sum(dim=-1).amin(dim=1, keepdim=True)
    x, y = face.about(brows)
    hairline = top * (1 - 0.45 * (x / half).square()).clamp_min(0.1)
    below = y - hairline
    ragged = sum(
        torch.as_tensor(size) * torch.sin(rate * (x + sweep * below) + 6.28 * draw[place])
        for size, rate, sweep, place in ((0.05, 7, 0.3, 0), (0.04, 23, 0.4, 1), (0.025, 61, 0.5, 2))
    )
    length = -hairline * (0.55 + 0.4 * draw[3]) + torch.as_tensor(ragged)
    # Its tips are thin, its sides run out before the temples.
    alpha = ((length - below) / 0.09).clamp(0, 1) * ((below + _ROOTS) / 0.16).clamp(0, 1)
    alpha = alpha * ((half * 0.84 - x.abs()) / 0.12).clamp(0, 1)
    lean = 0.5 * (draw[4] - 0.5)
    source_y = hairline - _ROOTS - 0.2 * (below + 0.3)
    source_x = x + lean * below
    places = brows[:, None] + face.eyes[:, None] * (
        source_x[..., None] * face.across[:, None] + source_y[..., None] * face.down[:, None]
    )
    hair = sample_at(image, places).flatten(2)
    shade = 0.8 + 0.2 * (below / length.clamp_min(0.05)).clamp(0, 1)
    alpha = alpha * _like_hair(image, hair, below, x / half, y)
    return _layer(hair * shade[:, None], alpha, face, image)


def _like_hair(image: Tensor, hair: Tensor, below: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return (B, H W) of where strands are of one colour, neither skin's nor background's."""
    above = _mean(image, (below < 0.05 - _ROOTS) & (below > -_ROOTS - 0.3) & (x.abs() < 0.6))
    skin = _mean(image, (y > 0.6) & (y < 0.9) & (x.abs() < 0.6))
    beside = _mean(image, (below < 0) & (x.abs() > 1.7))
    other = torch.fmin((above - skin).norm(dim=1), (above - beside).norm(dim=1))
    found: Tensor = ((other - 0.12) / 0.08).clamp(0, 1)[:, None]
    alike: Tensor = (2.5 - (hair - above[..., None]).norm(dim=1) / 0.2).clamp(0, 1)
    return (found * alike).nan_to_num()  # A head that leaves the picture has no hair to show.


def _mean(image: Tensor, where: Tensor) -> Tensor:
    """Return the mean colour (B, 3) of places (B, H W); nan where there are none."""
    weight = where.to(image.dtype)[:, None]
    return (image.flatten(2) * weight).sum(dim=2) / weight.sum(dim=2)


def cutout(
    image: Tensor, points: Tensor, *, scheme: str, folder: str | Path, seed: int = 0
) -> Cover:
    """Hold a cut-out before the face: a hand, a cup, a phone, from a folder of RGBA pictures.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1], for its size.
        points: Landmarks :math:`(B, N, 2)` in pixels.
        scheme: Of the points.
        folder: Holds PNG or WebP files with an alpha channel.
        seed: Of which it is, and of its place, size and turn.

    Raises:
        FileNotFoundError: The folder is empty or not there.
        ValueError: A picture has no alpha channel (named).
    """
    face = _face(image, points, scheme)
    draw = _numbers(seed, 5)
    pictures = _cutouts(str(folder))
    picture = pictures[int(draw[0] * len(pictures))].to(image)
    height, width = picture.shape[-2:]
    mouth = region_points(face.points, "mouth", scheme=scheme).mean(dim=1)
    x, y = face.about(face.at(mouth, 1.6 * (draw[1] - 0.5), 0.9 * (draw[2] - 0.3)))
    turn = torch.tensor((draw[3] - 0.5) * 1.2)
    u, v = turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x
    reach = 0.5 + 0.5 * draw[4]  # Half the longer side, in eye distances.
    grid = torch.stack([u / (width / max(width, height)), v / (height / max(width, height))], -1)
    grid = (grid / reach).view(len(image), *image.shape[-2:], 2)
    # Colours are weighed by alpha, or a white page behind a cut hand would shine at its edge.
    weighed = torch.cat([picture[:3] * picture[3:], picture[3:]])
    drawn = F.grid_sample(weighed.expand(len(image), -1, -1, -1), grid, align_corners=False)
    alpha = drawn[:, 3:]
    colour = drawn[:, :3] / alpha.clamp_min(1e-4)
    return _layer(colour.flatten(2), alpha.flatten(1), face, image)


def visible_face(points: Tensor, layer: Cover, *, scheme: str) -> Tensor:
    """Draw the part of the face that a layer leaves to be seen.

    Args:
        points: Landmarks :math:`(B, N, 2)` in pixels.
        layer: What lies over the face.
        scheme: Of the points.

    Returns:
        :math:`(B, 1, H, W)` in [0, 1].
    """
    size = (layer.alpha.shape[-2], layer.alpha.shape[-1])
    return face_mask(points, size, scheme=scheme) * (1 - layer.alpha)


OCCLUDERS: Mapping[str, Callable[..., Cover]] = {
    "glasses": glasses,
    "medical_mask": medical_mask,
    "microphone": microphone,
    "cutout": cutout,
    "fringe": fringe,
}
"""Everything that can lie over a face, by name; all is drawn from a seed."""

_FRAMES = (
    (0.06, 0.06, 0.07),
    (0.25, 0.13, 0.07),
    (0.62, 0.5, 0.28),
    (0.55, 0.56, 0.6),
    (0.5, 0.08, 0.1),
)
_CLOTHS = ((0.62, 0.8, 0.9), (0.93, 0.94, 0.95), (0.12, 0.12, 0.14), (0.72, 0.86, 0.78))


def _temples(
    face: _Face, scheme: str, right: tuple[Tensor, Tensor], left: tuple[Tensor, Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Return where the temples start and end: from the lenses out to the sides of the face."""
    contour = face_contour(face.points, scheme=scheme)
    x = (contour * face.across[:, None]).sum(dim=-1)
    rows = torch.arange(len(contour), device=contour.device)
    ends = []
    for (centre, half), index, sign in (
        (right, x.argmin(dim=1), -1.0),
        (left, x.argmax(dim=1), 1.0),
    ):
        start = centre + sign * half * face.eyes * face.across - 0.12 * face.eyes * face.down
        side = ((contour[rows, index] - start) * face.across).sum(dim=-1, keepdim=True) * sign
        # Behind a turned head the far temple is not seen.
        end = start + sign * side.clamp_min(0) * face.across - 0.02 * face.eyes * face.down
        ends.append((start, end))
    return ends


@lru_cache(maxsize=4)
def _cutouts(folder: str) -> list[Tensor]:
    """Read the RGBA pictures (4, H, W) of a folder."""
    pictures = []
    for path in find_images(folder):
        with Image.open(path) as picture:
            if not picture.has_transparency_data:
                raise ValueError(
                    f"{path} has no alpha channel, so it would hide the face with its background; "
                    "cut it out and save it as PNG or WebP with transparency."
                )
            array = np.asarray(picture.convert("RGBA"))
        pictures.append(torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255)
    return pictures


def _numbers(seed: int, count: int) -> list[float]:
    numbers: list[float] = torch.rand(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return numbers


def _choose(colours: tuple[tuple[float, ...], ...], number: float, image: Tensor) -> Tensor:
    return image.new_tensor(colours[int(number * len(colours))]).view(1, 3, 1, 1)


def _layer(colour: Tensor, alpha: Tensor, face: _Face, image: Tensor) -> Cover:
    height, width = image.shape[-2:]
    alpha = (alpha * face.known[:, None]).view(-1, 1, height, width)
    return Cover(colour.reshape(-1, 3, height, width).clamp(0, 1), alpha.clamp(0, 1))
