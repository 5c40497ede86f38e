"""What filters give back: a picture of the kind that was given, and the faces in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snowai.faces import Landmarks
from snowai.image import Photo, to_array, to_pil

__all__ = ["FilterResult", "check_strength", "like", "several"]


@dataclass(frozen=True)
class FilterResult:
    """A filtered photo and what was found in it.

    Args:
        image: Of the kind that was given; a path gives a PIL image.
        faces: The faces that were filtered, the largest first; empty when none was found.
    """

    image: Any
    faces: Sequence[Landmarks]

    @property
    def found(self) -> bool:
        """Whether any face was found."""
        return len(self.faces) > 0


def several(photo: Photo | Sequence[Photo]) -> list[Photo] | None:
    """Return the photos where several were given, a tensor (B, 3, H, W) included; else None."""
    if isinstance(photo, Tensor) and photo.dim() == 4:
        return list(photo)
    if isinstance(photo, Sequence) and not isinstance(photo, str):
        return list(photo)
    return None


def check_strength(strength: float) -> None:
    """Raise ValueError unless ``strength`` is in [0, 1]."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be in [0, 1]; got {strength}.")


def like(photo: object, image: Tensor) -> object:
    """Return an image (3, H, W) as the kind of thing that was given."""
    image = image.detach().clamp(0, 1)
    if isinstance(photo, Tensor):
        return (
            image.mul(255).round().to(torch.uint8)
            if photo.dtype == torch.uint8
            else image.to(photo)
        )
    if isinstance(photo, np.ndarray):
        if photo.dtype == np.uint8:
            return to_array(image)
        return image.permute(1, 2, 0).cpu().numpy().astype(photo.dtype)
    return to_pil(image)
