"""Light and colour on a face: catch lights in the irises, tinted lips, a lamp from one side."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from snowai._checks import check_choice, check_image, check_points
from snowai.faces.landmarks import region_points
from snowai.faces.masks import eye_mask, face_mask, polygon_mask
from snowai.faces.schemes import scheme_named
from snowai.faces.shapes import box, coverage, disc
from snowai.faces.warp import face_axes, known_faces, pixel_places

__all__ = ["LIGHTS", "brighten_eyes", "iris_light", "relight", "tint_cheeks", "tint_lips"]


def _window(x: Tensor, y: Tensor) -> Tensor:
    bars = torch.minimum(x.abs(), y.abs()) - 0.1
    return torch.maximum(box(x, y, 0.85, 1.1, 0.05), -bars)


def _dots(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(disc(x, y, 1.0), disc(x - 1.9, y - 2.0, 0.5))


LIGHTS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dot": lambda x, y: disc(x, y, 1.0),
    "softbox": lambda x, y: box(x, y, 0.8, 1.15, 0.25),
    "window": _window,
    "ring": lambda x, y: disc(x, y, 1.0).abs() - 0.22,
    "dots": _dots,
}
"""Shapes of lamps, as distances to their edge: negative inside, in units of the light's size."""


def iris_light(
    image: Tensor,
    points: Tensor,
    *,
    shape: str = "dot",
    strength: float = 0.9,
    size: float = 0.32,
    direction: tuple[float, float] = (-0.35, -0.4),
    softness: float = 0.0,
) -> Tensor:
    """Paint the reflection of one lamp into both irises, cut off by the lids.

    Both eyes get the light at the same side, as a lamp far away gives it.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: MediaPipe landmarks :math:`(B, 478, 2)` in pixels: only they have irises.
        shape: "dot", "softbox", "window", "ring" (around the pupil with direction (0, 0)) or
            "dots", a large one and a small one across the pupil.
        strength: 0 none, 1 white.
        size: Half the light's size, in iris radii.
        direction: Of the light from the iris's centre, in iris radii; x to the right, y down.
        softness: Of its edge, in iris radii; at least one pixel.

    Returns:
        New images :math:`(B, 3, H, W)`.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 478, 2) * 64
        >>> iris_light(image, points, shape="window").shape
        torch.Size([1, 3, 64, 64])
    """
    check_image(image, "image", channels=3)
    check_points(points, "points", count=478)
    check_choice(shape, "shape", tuple(LIGHTS))
    light = torch.zeros_like(image[:, :1])
    places = pixel_places(image).to(points.dtype)
    for region in ("left_iris", "right_iris"):
        iris = region_points(points, region, scheme="mediapipe478")
        radius = (iris[:, 1:] - iris[:, :1]).norm(dim=-1).mean(dim=1, keepdim=True)
        spot = iris[:, 0] + radius * iris.new_tensor(direction)
        unit = (radius * size).clamp_min(1e-3)
        x, y = ((places - spot[:, None]) / unit[..., None]).unbind(dim=-1)
        # One pixel of soft edge, whatever the size of the eye.
        edge = (radius * softness).clamp_min(1.0)
        alpha = coverage(LIGHTS[shape](x, y) * unit, edge)
        light = torch.maximum(light, alpha.view_as(light).to(light.dtype))
    lids = eye_mask(points, (image.shape[-2], image.shape[-1]), scheme="mediapipe478")
    alpha = light.nan_to_num() * lids * strength
    return image + (1 - image) * alpha


def brighten_eyes(image: Tensor, points: Tensor, amount: float, *, scheme: str) -> Tensor:
    """Lift the tones inside the eyes, most in the whites; black stays black.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 much.
        scheme: Of the points.
    """
    _check(image, points, amount, scheme)
    eyes = eye_mask(points, (image.shape[-2], image.shape[-1]), scheme=scheme, softness=0.015)
    lifted = 1 - (1 - image) ** (1 + 0.8 * amount)
    return torch.lerp(image, lifted, eyes)


def tint_lips(
    image: Tensor,
    points: Tensor,
    amount: float,
    *,
    scheme: str,
    colour: tuple[float, float, float] = (0.78, 0.12, 0.22),
) -> Tensor:
    """Colour the lips and keep their light and shade; teeth stay as they are.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 the full colour.
        scheme: Of the points.
        colour: RGB in [0, 1].
    """
    _check(image, points, amount, scheme)
    size = (image.shape[-2], image.shape[-1])
    outer = region_points(points, "mouth", scheme=scheme)
    inner = region_points(points, "inner_mouth", scheme=scheme)
    lips = polygon_mask(outer, size, softness=0.012)
    return _tint(image, lips * (1 - polygon_mask(inner, size, softness=0.008)), amount, colour)


def tint_cheeks(
    image: Tensor,
    points: Tensor,
    amount: float,
    *,
    scheme: str,
    colour: tuple[float, float, float] = (0.93, 0.42, 0.42),
) -> Tensor:
    """Blush the cheeks: two soft spots below the outer corners of the eyes.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 much.
        scheme: Of the points.
        colour: RGB in [0, 1].
    """
    _check(image, points, amount, scheme)
    finite, known = known_faces(points)
    across, down, eyes = face_axes(finite, scheme=scheme)
    spots = torch.zeros_like(image[:, :1])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        eye = region_points(finite, f"{side}_eye", scheme=scheme).mean(dim=1)
        offset = pixel_places(image) - (eye + eyes * (0.14 * sign * across + 0.5 * down))[:, None]
        wide = (offset * across[:, None]).sum(dim=-1) / (0.27 * eyes)
        high = (offset * down[:, None]).sum(dim=-1) / (0.2 * eyes)
        spot = torch.exp(-(wide.square() + high.square()) / 2)
        spots = torch.maximum(spots, spot.view_as(spots))
    face = face_mask(points, (image.shape[-2], image.shape[-1]), scheme=scheme)
    return _tint(image, spots * face * known.view(-1, 1, 1, 1), 0.75 * amount, colour)


def relight(
    image: Tensor,
    points: Tensor,
    amount: float,
    *,
    scheme: str,
    direction: tuple[float, float] = (-1.0, -0.4),
) -> Tensor:
    """Light the face from one side by a soft gradient; the far side falls into shade.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        points: Landmarks :math:`(B, N, 2)` in pixels.
        amount: 0 as it is, 1 strong.
        scheme: Of the points.
        direction: Where the lamp is, along the face's right and down.
    """
    _check(image, points, amount, scheme)
    finite, known = known_faces(points)
    across, down, eyes = face_axes(finite, scheme=scheme)
    towards = torch.nn.functional.normalize(
        direction[0] * across + direction[1] * down, dim=1, eps=1e-6
    )
    nose = region_points(finite, "nose", scheme=scheme).mean(dim=1)
    share = ((pixel_places(image) - nose[:, None]) * towards[:, None]).sum(dim=-1) / eyes
    stops = torch.tanh(share).view_as(image[:, :1]) * 0.8 * amount
    # In stops, on linear light: what doubling the lamp does.
    lit = (image.clamp_min(1e-4) ** 2.2 * 2**stops) ** (1 / 2.2)
    face = face_mask(points, (image.shape[-2], image.shape[-1]), scheme=scheme, softness=0.07)
    return torch.lerp(image, lit.clamp(0, 1), face * known.view(-1, 1, 1, 1))


def _tint(image: Tensor, mask: Tensor, amount: float, colour: tuple[float, float, float]) -> Tensor:
    """Give pixels a colour and leave them their brightness."""
    paint = image.new_tensor(colour).view(1, 3, 1, 1)
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    light = (image * weights).sum(dim=1, keepdim=True)
    painted = (paint * (light / (paint * weights).sum())).clamp(0, 1)
    # Where that would blow out, the photo's own colour mixes in.
    return torch.lerp(image, 0.6 * painted + 0.4 * image * paint**0.3, mask * amount)


def _check(image: Tensor, points: Tensor, amount: float, scheme: str) -> None:
    check_image(image, "image", channels=3)
    check_points(points, "points", count=scheme_named(scheme).size)
    if not 0 <= amount <= 1:
        raise ValueError(f"amount must be in [0, 1]; got {amount}.")
