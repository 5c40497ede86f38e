"""Smooth warps: where each pixel of an edited face comes from, and where its points go."""

from collections.abc import Callable
from typing import NamedTuple

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from snowai.faces.landmarks import region_points
from snowai.faces.masks import face_contour

__all__ = [
    "FaceEdit",
    "FaceWindow",
    "Field",
    "apply_field",
    "blur",
    "face_axes",
    "face_window",
    "follow",
    "known_faces",
    "pixel_places",
    "sample_at",
    "tps_field",
]

_SLACK = 1e-5  # Lets control points miss by a hair, so that two in one place do no harm.

Field = Callable[[Tensor], Tensor]
"""Maps places (B, P, 2) of the edited picture to where they were in the one given, in pixels."""


class FaceEdit(NamedTuple):
    """What an edit of a face returns.

    Args:
        image: The edited pictures :math:`(B, C, H, W)`.
        points: Landmarks :math:`(B, N, 2)`, moved with what they mark.
        changed: :math:`(B, 1, H, W)`; where it is 0 the picture is exactly the one given.
    """

    image: Tensor
    points: Tensor
    changed: Tensor


def known_faces(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return points that can be computed with, and (B,) of which faces were found.

    A face that was not found (points that are not finite) gets points on a circle: every edit can
    be worked out for the whole batch, and is dropped there in the end.
    """
    known = points.isfinite().flatten(1).all(dim=1)
    angle = torch.arange(points.shape[1], device=points.device, dtype=points.dtype)
    circle = 100 * torch.stack([angle.cos(), angle.sin()], dim=-1)
    return torch.where(known[:, None, None], points, circle), known


def pixel_places(image: Tensor) -> Tensor:
    """Return the centres of all pixels, :math:`(B, H W, 2)`, in pixels."""
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device, dtype=image.dtype) + 0.5
    x = torch.arange(width, device=image.device, dtype=image.dtype) + 0.5
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return places.view(1, -1, 2).expand(len(image), -1, -1)


def sample_at(image: Tensor, places: Tensor) -> Tensor:
    """Look an image :math:`(B, C, H, W)` up at places :math:`(B, H W, 2)` in pixels, bicubic."""
    height, width = image.shape[-2:]
    grid = places * 2 / places.new_tensor([width, height]) - 1
    grid = grid.view(len(image), height, width, 2).to(image.dtype)
    return F.grid_sample(
        image, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )


def apply_field(image: Tensor, field: Field, *, known: Tensor) -> tuple[Tensor, Tensor]:
    """Warp pictures by a field.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        field: Where pixels come from.
        known: (B,), False for pictures without a face: they stay as they are.

    Returns:
        The pictures, and :math:`(B, 1, H, W)` of where they changed, 0 or 1.
    """
    places = pixel_places(image)
    came = field(places)
    moved = ((came - places).norm(dim=-1) > 1e-3) & known[:, None]
    changed = moved.view(len(image), 1, *image.shape[-2:])
    warped = sample_at(image, came.nan_to_num()).clamp(0, 1)
    return torch.where(changed, warped, image), changed.to(image.dtype)


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Smooth each picture :math:`(B, C, H, W)` by its own sigma (B, 1), in pixels.

    One size of kernel for all, so that a picture does not depend on its neighbours in the batch;
    sigmas beyond a third of it (a 48th of the side) are cut to that.
    """
    reach = max(max(image.shape[-2:]) // 16, 2)
    sigma = sigma.clamp(0.3, reach / 3).expand(-1, 2)
    blurred: Tensor = kornia.filters.gaussian_blur2d(image, (2 * reach + 1,) * 2, sigma)
    return blurred


def tps_field(source: Tensor, target: Tensor, window: Field | None = None) -> Field:
    """Return the thin-plate spline that brings source points :math:`(B, K, 2)` to targets.

    Args:
        source: Where control points are now, in pixels.
        target: Where they shall go; points that stay are listed with the place that they have.
        window: Maps places to weights :math:`(B, P, 1)`: 0 where nothing may move.

    Source:
        Bookstein, Principal warps, https://doi.org/10.1109/34.24792
    """
    # Solved here, in float64 and counted in face widths: kornia's get_tps_transform measures its
    # kernel from source to target, which is no spline and folds.
    unit = (source.amax(dim=1) - source.amin(dim=1)).amax(dim=1).clamp_min(1.0)[:, None, None]
    centres = (target / unit).double()
    count = centres.shape[1]
    affine = torch.cat([torch.ones_like(centres[..., :1]), centres], dim=-1)
    stiff = _tps_kernel(centres, centres) + _SLACK * torch.eye(count, device=centres.device)
    none = centres.new_zeros(len(centres), 3, 3)
    system = torch.cat(
        [torch.cat([stiff, affine], dim=2), torch.cat([affine.mT, none], dim=2)], dim=1
    )
    shifts = F.pad(((source - target) / unit).double(), (0, 0, 0, 3))
    weights: Tensor = torch.linalg.solve(system, shifts).to(source.dtype)
    centres = centres.to(source.dtype)

    def field(places: Tensor) -> Tensor:
        at = places / unit
        shift = _tps_kernel(at, centres) @ weights[:, :count]
        shift = (shift + weights[:, count : count + 1] + at @ weights[:, count + 1 :]) * unit
        return places + (shift if window is None else shift * window(places))

    return field


def _tps_kernel(places: Tensor, centres: Tensor) -> Tensor:
    """Return r^2 log r between places (B, P, 2) and centres (B, K, 2)."""
    squared = torch.cdist(places, centres).square()
    return 0.5 * squared * squared.clamp_min(1e-12).log()


def follow(points: Tensor, field: Field, *, rounds: int = 20) -> Tensor:
    """Return where points :math:`(B, N, 2)` of the picture given are in the edited one.

    A field says where pixels come from; its inverse is found by stepping back what it moved.
    """
    places = points
    for _ in range(rounds):
        places = points + places - field(places)
    return places


class FaceWindow(NamedTuple):
    """An ellipse around a face: weight 1 inside, 0 beyond its rim, smooth between."""

    centre: Tensor  # (B, 1, 2)
    right: Tensor  # (B, 1, 2) half axis.
    down: Tensor  # (B, 1, 2) half axis.
    grow: float

    def weight(self, places: Tensor) -> Tensor:
        """Return how much places (B, P, 2) may move, (B, P, 1)."""
        offset = places - self.centre
        squared = sum(
            (offset * axis).sum(dim=-1).square() / axis.square().sum(dim=-1).square()
            for axis in (self.right, self.down)
        )
        fade = ((1 + self.grow - torch.as_tensor(squared).sqrt()) / self.grow).clamp(0, 1)
        return (fade * fade * (3 - 2 * fade))[..., None]

    def ring(self, count: int = 16) -> Tensor:
        """Return points (B, count, 2) on the rim, which hold a spline still there."""
        angle = torch.arange(count, device=self.centre.device) * (2 * torch.pi / count)
        angle = angle.view(1, -1, 1).to(self.centre.dtype)
        rim = self.right * angle.cos() + self.down * angle.sin()
        return self.centre + (1 + self.grow) * rim


def face_window(points: Tensor, *, scheme: str, grow: float) -> FaceWindow:
    """Fit a window around faces; ``grow`` is how far its fading rim reaches, in half axes."""
    across, downwards, _ = face_axes(points, scheme=scheme)
    right, down = across[:, None], downwards[:, None]
    contour = face_contour(points, scheme=scheme)
    x, y = (contour * right).sum(dim=-1), (contour * down).sum(dim=-1)
    low_x, high_x, low_y, high_y = (
        edge[:, None, None] for axis in (x, y) for edge in (axis.amin(dim=1), axis.amax(dim=1))
    )
    centre = right * (low_x + high_x) / 2 + down * (low_y + high_y) / 2
    half_x, half_y = (high_x - low_x) / 2, (high_y - low_y) / 2
    return FaceWindow(centre, right * half_x.clamp_min(1e-3), down * half_y.clamp_min(1e-3), grow)


def face_axes(points: Tensor, *, scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the face's right :math:`(B, 2)`, its down, and the distance of its eyes (B, 1)."""
    left = region_points(points, "left_eye", scheme=scheme).mean(dim=1)
    right = region_points(points, "right_eye", scheme=scheme).mean(dim=1)
    across = left - right  # The person's left is on the right of the picture.
    distance = across.norm(dim=1, keepdim=True).clamp_min(1e-6)
    across = across / distance
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=1), distance
