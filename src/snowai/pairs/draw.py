"""Make a pair set from photos and a style drawn by code."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from snowai.faces import Landmarker, align, alignment_matrix
from snowai.faces.landmarks import transform_points
from snowai.image import read_image, write_image
from snowai.pairs.manifest import PairRecord, split_of, write_pairs
from snowai.pairs.presets import DrawnStyle, ToonStyle, draw_style, style_name

__all__ = ["draw_pairs"]


def draw_pairs(
    photos: Sequence[str | Path],
    root: str | Path,
    landmarker: Landmarker,
    *,
    style: DrawnStyle | None = None,
    size: int = 256,
    views: int = 1,
    seed: int = 0,
) -> list[PairRecord]:
    """Cut the faces out of photos, draw each in a style, and write the pair set.

    View 0 is the aligned face; further views are turned, scaled and shifted at random, each with
    its own drawing. Every view depends on the seed and its own name only, so a killed run goes on
    where it stopped, with the same pictures.

    Args:
        photos: Image files; each face in each becomes pairs.
        root: Folder of the pair set.
        landmarker: Finds the faces.
        style: How to draw, a toon when nothing is said; the manifest keeps it.
        size: Side of the crops, in pixels.
        views: Pairs for each face.
        seed: Of the random views.

    Returns:
        The manifest's records. Photos without a face give none.

    Raises:
        ValueError: No photo has a face, or two photos have one name.
        BadImage: A file is no image (named).
    """
    root, style = Path(root), style or ToonStyle()
    (stem, count), *_ = Counter(Path(photo).stem for photo in photos).most_common(1) or [("", 0)]
    if count > 1:
        raise ValueError(f"{count} photos are named {stem}, so their pairs would mix; rename them.")
    drawn = {"preset": style_name(style), **dataclasses.asdict(style)}
    records: list[PairRecord] = []
    for path in tqdm([Path(photo) for photo in photos], desc="drawing", unit="photo"):
        image = read_image(path)
        for number, face in enumerate(landmarker.detect(image)):
            matrix = alignment_matrix(face, size)
            for view in range(views):
                name = f"{path.stem}-{number}-{view:03d}"
                record = PairRecord(
                    f"photo/{name}.png",
                    f"styled/{name}.png",
                    split_of(path.stem),
                    {"source": path.name, "seed": seed, "style": drawn},
                )
                records.append(record)
                if (root / record.photo).is_file() and (root / record.styled).is_file():
                    continue
                moved = _view(matrix, size, view, seed)
                crop = align(image[None], moved[None], size)
                points = transform_points(face.points[None], moved[None])
                write_image(root / record.photo, crop[0])
                styled = draw_style(crop, points, style, scheme=face.scheme)
                write_image(root / record.styled, styled[0])
    if not records:
        raise ValueError(f"None of the {len(photos)} photos shows a face that could be found.")
    write_pairs(root, records)
    return records


def _view(matrix: Tensor, size: int, view: int, seed: int) -> Tensor:
    """Return the crop's matrix, turned, scaled and shifted for views after the first."""
    if view == 0:
        return matrix
    generator = torch.Generator().manual_seed(seed * 1_000_003 + view)
    turn, scale, right, down = (torch.rand(4, generator=generator) * 2 - 1).tolist()
    angle = torch.tensor(turn * 12.0).deg2rad()
    linear = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
    ) * (1 + 0.15 * scale)
    middle = torch.tensor([size / 2, size / 2])
    shift = middle + torch.tensor([right, down]) * 0.06 * size - linear @ middle
    return torch.cat([linear @ matrix[:, :2], (linear @ matrix[:, 2] + shift)[:, None]], dim=1)
