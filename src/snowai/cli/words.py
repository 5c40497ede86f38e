"""What the commands share: how they speak, and which photos were meant."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from torch import nn
from tqdm.auto import tqdm
from tyro.conf import Positional

__all__ = ["Photos", "expand", "make_perceptual", "say"]

Photos: TypeAlias = Positional[tuple[Path, ...]]


def say(text: str, *, error: bool = False) -> None:
    """Write a line without breaking a progress bar."""
    tqdm.write(text, file=sys.stderr if error else sys.stdout)


def expand(photos: Sequence[Path]) -> list[Path]:
    """Replace folders by the images in them."""
    from snowai.image import find_images

    return [
        path for photo in photos for path in (find_images(photo) if photo.is_dir() else [photo])
    ]


def make_perceptual(name: str, weights: Path | None) -> nn.Module:
    """Make the perceptual loss of that name."""
    from snowai.losses import LPIPSLoss, PerceptualLoss, lite0_features

    if name == "lite0":
        return PerceptualLoss(lite0_features())
    return LPIPSLoss(name.removeprefix("lpips-"), backbone_weights=weights)
