"""Move features of a face by smooth warps; the rest of the picture stays where it is."""

import torch
from torch import Tensor

from snowai._checks import check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.masks import polygon_mask
from snowai.faces.schemes import scheme_named
from snowai.faces.warp import (
    FaceEdit,
    Field,
    apply_field,
    face_axes,
    face_window,
    follow,
    known_faces,
    pixel_places,
    tps_field,
)

__all__ = ["enlarge_eyes", "open_mouth", "slim_face", "smile", "widen_eyes"]

_REACH = 1.2  # Radius of enlarge_eyes, in eye widths: it ends before the middle of the nose.
_THROAT = (0.17, 0.06, 0.06)
_TEETH = (0.86, 0.82, 0.76)


def enlarge_eyes(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> FaceEdit:
    r"""Magnify both eyes about their centres, fading out smoothly around them.

    A pixel at distance :math:`r < R` from the eye's centre shows what was at
    :math:`r (1 - k (1 - (r/R)^2)^2)`, with :math:`k` chosen so that the centre grows by ``amount``.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: Growth at the centre: 0 changes nothing, 0.3 makes eyes 30 % larger; up to 1.
        scheme: Of the points.

    Returns:
        The edit, differentiable in image and points.

    Example:
        >>> image, points = torch.rand(1, 3, 32, 32), torch.rand(1, 68, 2) * 32
        >>> enlarge_eyes(image, points, 0.3, scheme="ibug68").image.shape
        torch.Size([1, 3, 32, 32])
    """
    points, known = _check(image, points, amount, scheme)
    eyes = []
    for region in ("left_eye", "right_eye"):
        eye = region_points(points, region, scheme=scheme)
        width = (eye.amax(dim=1) - eye.amin(dim=1)).norm(dim=-1)
        eyes.append((eye.mean(dim=1)[:, None], (width * _REACH)[:, None, None]))

    def field(places: Tensor) -> Tensor:
        moved = places
        for centre, radius in eyes:
            offset = places - centre
            near = (1 - (offset / radius).square().sum(dim=-1, keepdim=True)).clamp_min(0).square()
            moved = moved - offset * near * (amount / (1 + amount))
        return moved

    return _edit(image, points, known, field)


def widen_eyes(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> FaceEdit:
    """Raise the upper lids and lower the lower ones; irises keep their size.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 opens eyes by half of what they are open.
        scheme: Of the points.

    Returns:
        The edit. Closed eyes stay closed: what is behind a lid is not known; see
        :func:`close_eyes` for the other way.
    """
    points, known = _check(image, points, amount, scheme)
    source, target = [], []
    for side in ("left", "right"):
        upper = region_points(points, f"{side}_upper_lid", scheme=scheme)
        lower = region_points(points, f"{side}_lower_lid", scheme=scheme)
        opening = lower - upper
        source += [upper, lower[:, 1:-1]]
        target += [upper - 0.38 * amount * opening, (lower + 0.12 * amount * opening)[:, 1:-1]]
    still = ["left_brow", "right_brow", "nose", "mouth"]
    still += [name for name in ("left_iris", "right_iris") if name in scheme_named(scheme).regions]
    return _warp(
        image, points, known, torch.cat(source, dim=1), torch.cat(target, dim=1), still, scheme
    )


def smile(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> FaceEdit:
    """Draw the corners of the mouth out and up, and lift the cheeks.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 a broad smile; negative down to -1 for a sad mouth.
        scheme: Of the points.

    Returns:
        The edit.
    """
    points, known = _check(image, points, abs(amount), scheme)
    mouth = region_points(points, "mouth", scheme=scheme)
    right, down, half, along = _mouth_axes(points, mouth, scheme)
    bend = along.square()
    out = 0.16 * half * along.sign() * bend
    up = half * (0.32 * bend - 0.05 * (1 - bend))
    moved = mouth + amount * (out * right - up * down)
    cheeks = _cheeks(points, mouth, scheme)
    lifted = cheeks - amount * 0.12 * half * down
    still = ["left_eye", "right_eye", "left_brow", "right_brow", "nose", "jaw"]
    source, target = torch.cat([mouth, cheeks], dim=1), torch.cat([moved, lifted], dim=1)
    return _warp(image, points, known, source, target, still, scheme)


def open_mouth(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> FaceEdit:
    """Lower the jaw; between lips that were closed, teeth and throat are painted.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 wide open.
        scheme: Of the points.

    Returns:
        The edit.
    """
    points, known = _check(image, points, amount, scheme)
    outer = region_points(points, "mouth", scheme=scheme)
    inner = region_points(points, "inner_mouth", scheme=scheme)
    jaw = region_points(points, "jaw", scheme=scheme)
    right, down, half, _ = _mouth_axes(points, outer, scheme)
    middle = outer.mean(dim=1, keepdim=True)
    drop = 0.75 * amount * half

    def dropped(ring: Tensor) -> Tensor:
        """Lips: the lower one goes down, most in the middle; the corners come in."""
        at = (((ring - middle) * right).sum(dim=-1, keepdim=True) / half).clamp(-1, 1)
        falls = torch.where(_below(ring, down), drop, -0.08 * drop)
        return ring + falls * (1 - at.square()) * down - 0.08 * amount * half * at * right

    width = ((jaw - middle) * right).sum(dim=-1, keepdim=True).abs().amax(dim=1, keepdim=True)
    at = ((jaw - middle) * right).sum(dim=-1, keepdim=True) / width
    low = ((jaw - middle) * down).sum(dim=-1, keepdim=True).clamp_min(0) / half
    chin = jaw + 0.8 * drop * (1 - at.square()) * (low / (1 + low)) * 1.6 * down
    source = torch.cat([outer, inner, jaw], dim=1)
    target = torch.cat([dropped(outer), dropped(inner), chin], dim=1)
    still = ["left_eye", "right_eye", "left_brow", "right_brow", "nose"]
    edit = _warp(image, points, known, source, target, still, scheme, grow=0.5)
    return edit._replace(image=_fill_mouth(image, edit, inner, dropped(inner), down))


def slim_face(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> FaceEdit:
    """Draw the jaw in, as beauty filters do; what is behind it stretches to fill the gap.

    Args:
        image: :math:`(B, C, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 a fifth narrower at the jaw; negative down to -1 widens.
        scheme: Of the points.

    Returns:
        The edit.
    """
    points, known = _check(image, points, abs(amount), scheme)
    jaw = region_points(points, "jaw", scheme=scheme)
    across, downwards, _ = face_axes(points, scheme=scheme)
    right, down = across[:, None], downwards[:, None]
    nose = region_points(points, "nose", scheme=scheme).mean(dim=1, keepdim=True)
    offset = ((jaw - nose) * right).sum(dim=-1, keepdim=True)
    depth = ((jaw - nose) * down).sum(dim=-1, keepdim=True)
    low = (depth / depth.amax(dim=1, keepdim=True)).clamp(0, 1)
    moved = jaw - amount * 0.2 * offset * torch.sin(low * torch.pi / 2) * right
    still = ["left_eye", "right_eye", "left_brow", "right_brow", "nose", "mouth"]
    return _warp(image, points, known, jaw, moved, still, scheme, grow=0.6)


def _check(image: Tensor, points: Tensor, amount: float, scheme: str) -> tuple[Tensor, Tensor]:
    """Refuse what cannot be edited; return usable points and which faces were found."""
    check_image(image, "image")
    check_points(points, "points", count=scheme_named(scheme).size)
    if not 0 <= amount <= 1:
        raise ValueError(f"amount must be at most 1; got {amount}.")
    return known_faces(points)


def _warp(
    image: Tensor,
    points: Tensor,
    known: Tensor,
    source: Tensor,
    target: Tensor,
    still: list[str],
    scheme: str,
    *,
    grow: float = 0.2,
) -> FaceEdit:
    """Move control points, hold regions still, and leave what is far from the face."""
    held = torch.cat([region_points(points, name, scheme=scheme) for name in still], dim=1)
    window = face_window(points, scheme=scheme, grow=grow)
    ring = window.ring()
    fixed = torch.cat([held, ring], dim=1)
    field = tps_field(
        torch.cat([source, fixed], dim=1), torch.cat([target, fixed], dim=1), window.weight
    )
    return _edit(image, points, known, field)


def _edit(image: Tensor, points: Tensor, known: Tensor, field: Field) -> FaceEdit:
    """Warp where the field moves anything, and take the points along."""
    edited, changed = apply_field(image, field, known=known)
    moved = torch.where(known[:, None, None], follow(points, field), torch.nan)
    return FaceEdit(edited, moved, changed)


def _mouth_axes(
    points: Tensor, mouth: Tensor, scheme: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return right, down (B, 1, 2), half the mouth's width (B, 1, 1) and places along it."""
    across, downwards, _ = face_axes(points, scheme=scheme)
    right, down = across[:, None], downwards[:, None]
    along = ((mouth - mouth.mean(dim=1, keepdim=True)) * right).sum(dim=-1, keepdim=True)
    half = along.abs().amax(dim=1, keepdim=True).clamp_min(1e-3)
    return right, down, half, along / half


def _cheeks(points: Tensor, mouth: Tensor, scheme: str) -> Tensor:
    """Return the middle of each cheek (B, 2, 2), between the mouth's corner and the eye's."""
    middle = mouth.mean(dim=1)
    cheeks = []
    for side in ("right", "left"):
        corner = region_points(points, f"{side}_upper_lid", scheme=scheme)[:, 0]
        cheeks.append(torch.lerp(middle, corner, 0.6))
    return torch.stack(cheeks, dim=1)


def _below(ring: Tensor, down: Tensor) -> Tensor:
    """Tell which points (B, K, 1) of a ring around the mouth lie on its lower half.

    A closed mouth's inner ring has no height, so the order of the points decides: it starts at a
    corner, and the half that lies lower on average is the lower one.
    """
    half = ring.shape[1] // 2
    depth = (ring * down).sum(dim=-1, keepdim=True)
    first = depth[:, 1:half].mean(dim=1, keepdim=True) >= depth[:, half + 1 :].mean(
        dim=1, keepdim=True
    )
    place = torch.arange(ring.shape[1], device=ring.device).view(1, -1, 1)
    inside = (place > 0) & (place < half)
    return torch.where(first, inside, place > half)


def _fill_mouth(image: Tensor, edit: FaceEdit, was: Tensor, lips: Tensor, down: Tensor) -> Tensor:
    """Show what opens between the lips: the upper teeth stay, below them it is dark."""
    size = (image.shape[-2], image.shape[-1])
    depth = (pixel_places(image) * down).sum(dim=-1)
    heights = (lips * down).sum(dim=-1)
    top, bottom = heights.amin(dim=1, keepdim=True), heights.amax(dim=1, keepdim=True)
    share = ((depth - top) / (bottom - top).clamp_min(1e-3)).view_as(edit.changed)
    # As light as the face: no white teeth in a dark photo.
    light = image.mean(dim=(1, 2, 3), keepdim=True).clamp(0.15, 0.6) / 0.6
    throat = image.new_tensor(_THROAT).view(1, 3, 1, 1) * (1.5 - 0.7 * share) * light
    teeth = image.new_tensor(_TEETH).view(1, 3, 1, 1) * (1 - 0.5 * share) * light
    inside = torch.lerp(throat, teeth, ((0.34 - share) / 0.16).clamp(0, 1))
    # Teeth that were seen hang on the skull, which does not move.
    seen = polygon_mask(was, size, softness=0.006, grow=-0.004)
    inside = torch.lerp(inside, image, seen)
    new = polygon_mask(lips, size, softness=0.008, grow=-0.003) * edit.changed
    return torch.lerp(edit.image, inside, new)
