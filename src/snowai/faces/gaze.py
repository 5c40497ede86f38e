"""Turn the glance: irises move inside the eyes, the white of the eye fills what they leave."""

import torch
from torch import Tensor

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.masks import polygon_mask
from snowai.faces.schemes import scheme_named
from snowai.faces.shapes import coverage
from snowai.faces.warp import FaceEdit, blur, face_axes, known_faces, pixel_places, sample_at

__all__ = ["shift_gaze"]

_RIM = 1.12  # The dark ring around an iris belongs to it,
_SHADE = 1.3  # and what it does to the white beside it goes with it. In radii.


def shift_gaze(image: Tensor, points: Tensor, direction: tuple[float, float]) -> FaceEdit:
    """Move both irises alike.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: MediaPipe landmarks :math:`(B, 478, 2)` in pixels: only they have irises.
        direction: How far, in iris radii along the face's right and down; up to 1 each.

    Returns:
        The edit; the irises' points have moved. What lay under a lid is filled in from the other
        half of the iris.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 478, 2) * 64
        >>> shift_gaze(image, points, (0.5, 0.0)).image.shape
        torch.Size([1, 3, 64, 64])
    """
    check_image(image, "image", channels=3)
    check_points(points, "points", count=478)
    if max(abs(value) for value in direction) > 1:
        raise ValueError(f"direction must be in [-1, 1], in iris radii; got {direction}.")
    finite, known = known_faces(points)
    right, down, _ = face_axes(finite, scheme="mediapipe478")
    moved = torch.where(known[:, None, None], points, torch.nan)
    changed = torch.zeros_like(image[:, :1])
    for side in ("left", "right"):
        iris = region_points(finite, f"{side}_iris", scheme="mediapipe478")
        radius = (iris[:, 1:] - iris[:, :1]).norm(dim=-1).mean(dim=1, keepdim=True)
        shift = radius * (direction[0] * right + direction[1] * down)
        eye = region_points(finite, f"{side}_eye", scheme="mediapipe478")
        opening = polygon_mask(eye, (image.shape[-2], image.shape[-1]), softness=0.004)
        opening = opening * known.view(-1, 1, 1, 1)
        image, region = _move_iris(image, opening, iris[:, :1], radius, shift, down[:, None])
        changed = torch.maximum(changed, region)
        moved = _move_points(moved, side, shift)
    return FaceEdit(image, moved, changed)


def _move_iris(
    image: Tensor, opening: Tensor, centre: Tensor, radius: Tensor, shift: Tensor, down: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the picture with one iris moved, and where it changed."""
    places = pixel_places(image)
    shaded = _disc(places, centre, radius * _SHADE, image)
    without = torch.lerp(image, _fill_white(image, opening * (1 - shaded), radius), shaded)
    # What a lid hides is taken from the iris's other half.
    came = places - shift[:, None]
    height = ((came - centre) * down).sum(dim=-1, keepdim=True)
    mirrored = came - 2 * height * down
    hidden = sample_at(opening, came) < 0.9
    texture = torch.where(hidden, sample_at(image, mirrored), sample_at(image, came))
    disc = _disc(places, centre + shift[:, None], radius * _RIM, image)
    edited = torch.lerp(without, texture.clamp(0, 1), disc)
    edited = torch.lerp(image, edited, opening)
    return edited, (opening > 0).to(image.dtype)


def _disc(places: Tensor, centre: Tensor, radius: Tensor, image: Tensor) -> Tensor:
    distance = (places - centre).norm(dim=-1)
    soft = (radius * 0.15).clamp_min(0.5)
    return coverage(distance - radius, soft).view(len(image), 1, *image.shape[-2:])


def _fill_white(image: Tensor, seen: Tensor, radius: Tensor) -> Tensor:
    """Spread the white of the eye over what is not seen of it, by normalised convolution.

    Source:
        Knutsson and Westin, https://doi.org/10.1109/CVPR.1993.341081
    """
    colour, weight = blur(image * seen, radius * 0.7), blur(seen, radius * 0.7)
    filled: Tensor = (colour / weight.clamp_min(1e-3)).clamp(0, 1)
    return filled


def _move_points(points: Tensor, side: str, shift: Tensor) -> Tensor:
    indices = list(scheme_named("mediapipe478").regions[f"{side}_iris"])
    moved = points.clone()
    moved[:, indices] = points[:, indices] + shift[:, None]
    return moved
