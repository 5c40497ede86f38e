"""Open and close eyes: the upper lid travels along the eye, its skin stretches, lashes follow."""

from typing import NamedTuple

import torch
from torch import Tensor

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.schemes import scheme_named
from snowai.faces.warp import FaceEdit, known_faces, pixel_places, sample_at

__all__ = ["close_eyes", "eye_openness"]

_EYES = ("left", "right")
_LASHES = 0.07  # What moves with the lid's edge unstretched, in eye widths.
_REST = 1.08  # How far down a closed upper lid comes: over the wet rim of the lower one.
_RIM = 0.14  # How far below closed lids remains of the eye are painted over, in eye widths.
_RIM_SHADE = 0.93  # The fold below the lashes is a little darker than the skin.


class _Eye(NamedTuple):
    """An eye in its own coordinates: along from outer to inner corner (0 to 1), down in pixels."""

    origin: Tensor  # (B, 1, 2) outer corner.
    along: Tensor  # (B, 1, 2) unit vector to the inner corner.
    down: Tensor  # (B, 1, 2) unit vector towards the cheek.
    width: Tensor  # (B, 1) in pixels.
    upper: Tensor  # (B, k) shape of the upper lid, see _height.
    lower: Tensor
    skin: Tensor  # (B, 1) height of the skin above the lid that stretches.

    def place(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, P, 2) as along and down, (B, P) each."""
        offset = points - self.origin
        along = (offset * self.along).sum(dim=-1) / self.width
        return along, (offset * self.down).sum(dim=-1)

    def lids(self, along: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far down the two lids are, there."""
        upper = _height(self.upper, along)
        return upper, torch.maximum(_height(self.lower, along), upper)


def eye_openness(points: Tensor, *, scheme: str) -> Tensor:
    """Measure how far eyes are open: mean distance of the lids, in eye widths.

    Args:
        points: Landmarks :math:`(B, N, 2)`.
        scheme: Of the points.

    Returns:
        (B, 2): the person's left eye, then the right; about 0.25 for open and below 0.1 for
        closed eyes. nan for a face that was not found.

    Example:
        >>> eye_openness(torch.rand(1, 68, 2), scheme="ibug68").shape
        torch.Size([1, 2])
    """
    check_points(points, "points", count=scheme_named(scheme).size)
    sides = []
    for side in _EYES:
        upper = region_points(points, f"{side}_upper_lid", scheme=scheme)
        lower = region_points(points, f"{side}_lower_lid", scheme=scheme)
        along = upper[:, -1] - upper[:, 0]
        gap = (lower - upper)[:, 1:-1].mean(dim=1)
        # The part across the eye alone: the lids' points do not lie exactly under one another.
        across = gap[:, 0] * along[:, 1] - gap[:, 1] * along[:, 0]
        sides.append(across.abs() / along.square().sum(dim=1))
    return torch.stack(sides, dim=1)


def close_eyes(
    image: Tensor, points: Tensor, amount: float | tuple[float, float], *, scheme: str
) -> FaceEdit:
    r"""Bring the upper lids down.

    Above each eye, skin from below the brow to the lashes is stretched along the way: a place at
    share :math:`x` of its new height shows what was at share
    :math:`r x / (1 + (r - 1) x)`, with :math:`r` the growth, so that nothing moves at the top and
    no edge appears. The lashes keep their size; what they pass disappears behind the lid.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels; faces that were not found (not finite)
            stay as they are.
        amount: 0 as it is, 1 closed; or one for the person's left and one for the right eye. Eyes
            that are closed already stay so.
        scheme: Of the points.

    Returns:
        The edit; its upper lids' points have travelled.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 68, 2) * 64
        >>> wink = close_eyes(image, points, (1.0, 0.0), scheme="ibug68")
        >>> torch.equal(close_eyes(image, points, 0.0, scheme="ibug68").image, image)
        True
    """
    check_image(image, "image", channels=3)
    check_points(points, "points", count=scheme_named(scheme).size)
    amounts = amount if isinstance(amount, tuple) else (amount, amount)
    if not all(0 <= value <= 1 for value in amounts):
        raise ValueError(f"amount must be in [0, 1]; got {amount}.")
    changed = torch.zeros_like(image[:, :1])
    moved = points
    for side, value in zip(_EYES, amounts, strict=True):
        if value > 0:
            image, moved, region = _close(image, moved, side, value, scheme)
            changed = torch.maximum(changed, region)
    return FaceEdit(image, moved, changed)


def _close(
    image: Tensor, points: Tensor, side: str, amount: float, scheme: str
) -> tuple[Tensor, Tensor, Tensor]:
    finite, known = known_faces(points)
    eye = _find(finite, side, scheme)
    places = pixel_places(image)
    along, down = eye.place(places)
    upper, lower = eye.lids(along)
    edge = upper + amount * _REST * (lower - upper)
    top = upper - eye.skin
    lashes = torch.minimum(eye.width * _LASHES, eye.skin / 2)
    # Rigid at the edge, stretched above, untouched from the brow up.
    share = ((down - top) / (edge - lashes - top)).clamp(0, 1)
    growth = (edge - lashes - top) / (upper - lashes - top)
    stretched = top + growth * share / (1 + (growth - 1) * share) * (upper - lashes - top)
    was = torch.where(down > edge - lashes, down - edge + upper, stretched)
    back = torch.where(down > top, was - down, torch.zeros_like(down))
    lid = sample_at(image, places + back[..., None] * eye.down)
    shape = (len(image), 1, *image.shape[-2:])
    # Only as much as the skin was stretched there, and never the lashes.
    new = share * (2 * growth - 2).clamp(0, 1)
    new = new * ((edge - lashes - down) / lashes + 1).clamp(0, 1)
    skin = _skin(image, eye, along, down)
    shade = _volume(along, (edge - down) / eye.width)
    lid = torch.lerp(lid, skin * shade.view(shape), new.view(shape))
    covered = ((edge - down) + 0.5).clamp(0, 1) * (down > top)
    covered = covered * (edge - upper > 1e-3) * known[:, None]
    # Landmarks miss the wet rim by a little, and drawn eyes are outlined: skin goes over what is
    # left below the lashes when the lids meet.
    rim = (2 - 2 * (down - edge) / (_RIM * eye.width)).clamp(0, 1) * (down > edge - 0.5)
    rim = rim * ((along * (1 - along)) / 0.05).clamp(0, 1) * known[:, None]
    rim = rim * (((edge - upper) / (lower - upper).clamp_min(1e-3) - 0.85) / 0.15).clamp(0, 1)
    rim, covered = rim.view(shape), covered.view(shape)
    edited = torch.lerp(torch.lerp(image, skin * _RIM_SHADE, rim), lid.clamp(0, 1), covered)
    covered = torch.maximum(covered, rim)
    edited = torch.where(covered > 0, edited, image)
    moved = torch.where(known[:, None, None], _travel(finite, eye, amount), torch.nan)
    return edited, moved, (covered > 0).to(image.dtype)


def _skin(image: Tensor, eye: _Eye, along: Tensor, down: Tensor) -> Tensor:
    """Continue the skin around an eye over it: a plane through its colours, (B, 3, H, W).

    Stretched skin alone would hang on the eye like a curtain: between brow and lashes all may be
    shadow, and in drawings make-up.
    """
    upper, lower = eye.lids(along)
    near = (along > -0.3) & (along < 1.3)
    below = (down > lower + 0.2 * eye.width) & (down < lower + 0.6 * eye.width) & near
    above = (down > upper - 1.2 * eye.skin) & (down < upper - 0.3 * eye.skin) & near
    colours = image.flatten(2).mT
    light = colours.mean(dim=-1)
    cheek = (light * below).sum(dim=1, keepdim=True) / below.sum(dim=1, keepdim=True).clamp_min(1)
    # Neither brow nor hair nor shine.
    weight = (below | above) * (1 - ((light / cheek.clamp_min(1e-3) - 1).abs() / 0.25)).clamp(0, 1)
    basis = torch.stack([torch.ones_like(along), along, down / eye.width], dim=-1)
    weighted = basis * weight[..., None]
    ridge = 1e-3 * torch.eye(3, dtype=basis.dtype, device=basis.device)
    plane: Tensor = torch.linalg.solve(weighted.mT @ basis + ridge, weighted.mT @ colours)
    inside = torch.stack(
        [basis[..., 0], along.clamp(0, 1), (down / eye.width).clamp(-0.5, 0.5)], dim=-1
    )
    return (inside @ plane).mT.view_as(image).clamp(0, 1)


def _volume(along: Tensor, height: Tensor) -> Tensor:
    """Shade a closed lid: a ball beneath it, darker to its corners and above the lashes."""
    return (1 - 0.12 * (2 * along - 1).square().clamp(max=1)) * (
        1 - 0.1 * torch.exp(-height.clamp_min(0) / 0.08)
    )


def _travel(points: Tensor, eye: _Eye, amount: float) -> Tensor:
    """Move the points on the lid and on the skin above it."""
    along, down = eye.place(points)
    upper, lower = eye.lids(along)
    opening = amount * _REST * (lower - upper)
    # Below the lid's middle points belong to the lower lid or to the iris behind.
    on_skin = (down > upper - eye.skin) & (down < upper + 0.25 * (lower - upper) + 1e-3)
    share = ((down - upper) / eye.skin + 1).clamp(0, 1)
    growth = 1 + opening / eye.skin
    place = share / (growth - (growth - 1) * share)
    travel = (place * (eye.skin + opening) - share * eye.skin) * on_skin
    return points + travel[..., None] * eye.down


def _find(points: Tensor, side: str, scheme: str) -> _Eye:
    upper = region_points(points, f"{side}_upper_lid", scheme=scheme)
    lower = region_points(points, f"{side}_lower_lid", scheme=scheme)
    brow = region_points(points, f"{side}_brow", scheme=scheme)
    origin, end = upper[:, :1], upper[:, -1:]
    width = (end - origin).norm(dim=-1).clamp_min(1e-3)
    along = (end - origin) / width[..., None]
    down = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    towards = (lower.mean(dim=1, keepdim=True) - brow.mean(dim=1, keepdim=True)) * down
    down = down * towards.sum(dim=-1, keepdim=True).sign()
    eye = _Eye(origin, along, down, width, width, width, width)
    eye = eye._replace(upper=_fit(*eye.place(upper)), lower=_fit(*eye.place(lower)))
    at, height = eye.place(brow)
    gap = (eye.lids(at.clamp(0, 1))[0] - height).mean(dim=1, keepdim=True)
    return eye._replace(skin=torch.maximum(0.6 * gap, 0.12 * width))


def _fit(along: Tensor, down: Tensor) -> Tensor:
    """Fit a lid: zero at both corners, smooth between them."""
    inside, height = along[:, 1:-1], down[:, 1:-1]
    terms = min(inside.shape[1], 4)
    basis = _basis(inside, terms)
    ridge = 1e-6 * torch.eye(terms, dtype=basis.dtype, device=basis.device)
    shape: Tensor = torch.linalg.solve(basis.mT @ basis + ridge, basis.mT @ height[..., None])
    return shape[..., 0]


def _height(shape: Tensor, along: Tensor) -> Tensor:
    # Beyond its corners an eye is closed.
    return (_basis(along.clamp(0, 1), shape.shape[1]) @ shape[..., None])[..., 0]


def _basis(along: Tensor, terms: int) -> Tensor:
    return torch.stack([along * (1 - along) * along**power for power in range(terms)], dim=-1)
