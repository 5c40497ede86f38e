"""The pictures that a generator learns from: read, cut to squares, kept in memory as bytes."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from snowai.faces import Landmarker, align, alignment_matrix
from snowai.image import find_images, read_image

__all__ = ["MIN_PICTURES", "load_pictures"]

MIN_PICTURES = 10
"""Below this a generator can only repeat what it saw."""


def load_pictures(
    folder: str | Path, resolution: int, *, landmarker: Landmarker | None = None
) -> Tensor:
    """Read a folder of style pictures as squares of one size.

    Args:
        folder: Images; sub-folders are not entered.
        resolution: Side of the squares, in pixels.
        landmarker: Cuts each face out as filters will; pictures without a face are left out.
            Without it the middle square of each picture is taken as it is.

    Returns:
        Bytes :math:`(N, 3, R, R)`, dtype uint8.

    Raises:
        FileNotFoundError: No such folder.
        BadImage: A file is no image (named).
        ValueError: Fewer than ten pictures, or fewer than ten with a face.
    """
    paths = find_images(folder)
    if len(paths) < MIN_PICTURES:
        raise ValueError(
            f"{folder} holds {len(paths)} pictures; a style needs at least {MIN_PICTURES}, "
            "better a few hundred."
        )
    squares: list[Tensor] = []
    faceless: list[str] = []
    for path in tqdm(paths, desc="reading", unit="picture", leave=False):
        image = read_image(path)
        if landmarker is None:
            squares.append(_middle(image, resolution))
        elif faces := landmarker.detect(image):
            matrix = alignment_matrix(faces[0], resolution)
            squares.append(align(image[None], matrix[None], resolution)[0])
        else:
            faceless.append(path.name)
    if len(squares) < MIN_PICTURES:
        raise ValueError(
            f"A face was found in {len(squares)} of {len(paths)} pictures in {folder}; a style "
            f"needs at least {MIN_PICTURES}. Without one: {', '.join(faceless[:5])}. Drawn faces "
            "may not be recognised: align them yourself and read them without a landmarker."
        )
    return torch.stack([(square * 255).round().to(torch.uint8) for square in squares])


def _middle(image: Tensor, resolution: int) -> Tensor:
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[:, top : top + side, left : left + side]
    return F.interpolate(
        square[None], (resolution, resolution), mode="bilinear", align_corners=False, antialias=True
    )[0].clamp(0, 1)
