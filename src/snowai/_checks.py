"""Refuse wrong input early, in one sentence."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = [
    "check_choice",
    "check_image",
    "check_matrix",
    "check_points",
    "check_range",
    "check_same_device",
    "check_same_shape",
]


def check_image(image: Tensor, name: str, *, channels: int | None = None) -> None:
    """Raise ValueError unless ``image`` is a float tensor (B, C, H, W)."""
    wanted = f"(B, {channels or 'C'}, H, W)"
    if not isinstance(image, Tensor):
        raise ValueError(f"{name} must be a float tensor {wanted}; got {type(image).__name__}.")
    wrong_channels = channels is not None and image.dim() == 4 and image.shape[1] != channels
    if image.dim() != 4 or wrong_channels or not image.is_floating_point():
        raise ValueError(
            f"{name} must be a float tensor {wanted} in [0, 1]; "
            f"got shape {tuple(image.shape)}, {image.dtype}."
        )


def check_range(image: Tensor, name: str) -> None:
    """Raise ValueError when ``image`` is plainly not in [0, 1], e.g. [-1, 1] or [0, 255].

    Looks at the values, so it belongs at the doors of the library and not inside networks.
    """
    low, high = (float(edge) for edge in torch.aminmax(image))
    if not (low >= -0.01 and high <= 1.01):
        raise ValueError(
            f"{name} must be in [0, 1]; got values from {low:.3g} to {high:.3g}. "
            "Divide bytes by 255; map [-1, 1] with (x + 1) / 2."
        )


def check_same_shape(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    """Raise ValueError unless both tensors have one shape; broadcasting hides mistakes."""
    if first.shape != second.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape; "
            f"got {tuple(first.shape)} and {tuple(second.shape)}."
        )


def check_same_device(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    """Raise ValueError unless both tensors are on one device."""
    if first.device != second.device:
        raise ValueError(
            f"{names[0]} and {names[1]} must be on one device; got {first.device} and "
            f"{second.device}. Move one with .to(device)."
        )


def check_points(points: Tensor, name: str, *, count: int | None = None) -> None:
    """Raise ValueError unless ``points`` is a float tensor (B, N, 2)."""
    right = points.dim() == 3 and points.shape[-1] == 2 and points.is_floating_point()
    if not right or (count is not None and points.shape[1] != count):
        raise ValueError(
            f"{name} must be a float tensor (B, {count or 'N'}, 2) of (x, y) pixels; "
            f"got shape {tuple(points.shape)}, {points.dtype}."
        )


def check_matrix(matrix: Tensor, name: str) -> None:
    """Raise ValueError unless ``matrix`` is a batch of 2x3 affine matrices."""
    if matrix.dim() != 3 or matrix.shape[1:] != (2, 3):
        raise ValueError(f"{name} must have shape (B, 2, 3); got {tuple(matrix.shape)}.")


def check_choice(value: str, name: str, choices: Iterable[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``."""
    known = list(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}.")


def check_shard(shard: tuple[int, int]) -> None:
    """Raise ValueError unless ``shard`` is (i, N) with i from 0 to N - 1."""
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard must be (i, N) with i from 0 to N - 1; got {shard}.")
