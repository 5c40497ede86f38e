"""What the commands share: how they speak, and which photos were meant."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from torch import nn
from tqdm.auto import tqdm
from tyro.conf import Positional

if TYPE_CHECKING:
    from snowai.pairs import ShardedTask
    from snowai.styles import BlendRecipe

__all__ = ["Photos", "choose_recipe", "expand", "make_perceptual", "run_sharded", "say"]

T = TypeVar("T")

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


def choose_recipe(
    cut: int | None, recipe: Path | None, *, resolution: int, width: float = 0.0
) -> "BlendRecipe | None":
    """Make the blend that the options ask for; None when they ask for none."""
    from snowai.styles import BlendRecipe

    if cut is not None and recipe is not None:
        raise ValueError("cut and recipe both say how to blend; give one of them.")
    if recipe is not None:
        return BlendRecipe.from_json(recipe.read_text())
    if cut is None:
        return None
    if width > 0:
        return BlendRecipe.sigmoid(cut, resolution=resolution, width=width)
    return BlendRecipe.hard(cut, resolution=resolution)


def make_perceptual(name: str, weights: Path | None) -> nn.Module:
    """Make the perceptual loss of that name."""
    from snowai.losses import LPIPSLoss, lite0_loss

    if name == "lite0":
        return lite0_loss()
    return LPIPSLoss(name.removeprefix("lpips-"), backbone_weights=weights)


def run_sharded(task: "ShardedTask[T]", shard: str | None, ray_workers: int) -> "T":
    """Run a job here, or the share of it that was asked for, or on Ray."""
    from snowai.pairs import run_with_ray, shard_from_environment

    if ray_workers:
        return run_with_ray(task, workers=ray_workers)
    return task(shard=shard_from_environment() if shard is None else _parse_shard(shard))


def _parse_shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise ValueError(f"shard must be i/N with i from 0 to N - 1, e.g. 0/4; got {text!r}.")
    return int(number), int(count)
