"""Make a pair set from photos and a style drawn by code."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from snowai._checks import check_shard
from snowai._files import write_text
from snowai.faces import Landmarker, Landmarks, align, alignment_matrix, transform_points
from snowai.faces.schemes import scheme_named
from snowai.image import read_image, write_image
from snowai.pairs.manifest import PairRecord, split_of, write_pairs
from snowai.pairs.presets import DrawnStyle, ToonStyle, draw_style, style_name

__all__ = ["draw_frames", "draw_pairs"]


def draw_pairs(
    photos: Sequence[str | Path],
    root: str | Path,
    landmarker: Landmarker,
    *,
    style: DrawnStyle | None = None,
    size: int = 256,
    views: int = 1,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> list[PairRecord]:
    """Cut the faces out of photos, draw each in a style, and write the pair set.

    View 0 is the aligned face; further views are turned, scaled and shifted at random, each with
    its own drawing. Every view depends on the seed and its own name only, so a killed run goes on
    where it stopped, and shards give the same pictures.

    Args:
        photos: Image files; each face in each becomes pairs.
        root: Folder of the pair set.
        landmarker: Finds the faces.
        style: How to draw, a toon when nothing is said; the manifest keeps it.
        size: Side of the crops, in pixels.
        views: Pairs for each face.
        seed: Of the random views.
        shard: (i, N): this process draws every N-th photo, from the i-th on.

    Returns:
        The records of all photos that are drawn. Photos without a face give none.

    Raises:
        ValueError: No photo has a face, or two photos have one name.
        BadImage: A file is no image (named).
    """
    how = {"size": size, "views": views, "seed": seed}
    records = _draw_set(photos, root, landmarker, style, how, shard)
    if not records:
        raise ValueError(f"None of the {len(photos)} photos shows a face that could be found.")
    return records


def draw_frames(
    photos: Sequence[str | Path],
    root: str | Path,
    landmarker: Landmarker,
    *,
    style: DrawnStyle | None = None,
    size: int = 256,
    views: int = 2,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> list[PairRecord]:
    """Cut squares out of whole photos, draw each in a style, and write the pair set.

    For the post-edit network, which draws background and clothes too: view 0 is the middle of the
    photo at its full height or width, further views are parts of it from half that size on, at
    random. The largest face that was found has its eyes drawn as in :func:`draw_pairs`.

    Args:
        photos: Image files, with or without faces.
        root: Folder of the pair set.
        landmarker: Finds the faces.
        style: How to draw, a toon when nothing is said; the manifest keeps it.
        size: Side of the squares, in pixels.
        views: Pairs for each photo.
        seed: Of the random views.
        shard: (i, N): this process draws every N-th photo, from the i-th on.

    Returns:
        The records of all photos that are drawn.

    Raises:
        ValueError: Two photos have one name.
        BadImage: A file is no image (named).
    """
    how = {"size": size, "views": views, "seed": seed, "cut": "frame"}
    return _draw_set(photos, root, landmarker, style, how, shard)


def _draw_set(
    photos: Sequence[str | Path],
    root: str | Path,
    landmarker: Landmarker,
    style: DrawnStyle | None,
    how: dict[str, Any],
    shard: tuple[int, int],
) -> list[PairRecord]:
    """Draw what is not drawn yet, and return the records."""
    check_shard(shard)
    root, style, paths = Path(root), style or ToonStyle(), [Path(photo) for photo in photos]
    (stem, count), *_ = Counter(path.stem for path in paths).most_common(1) or [("", 0)]
    if count > 1:
        raise ValueError(f"{count} photos are named {stem}, so their pairs would mix; rename them.")
    drawn = {"preset": style_name(style), **dataclasses.asdict(style)}
    how = {"style": drawn, **how}
    for path in tqdm(paths[shard[0] :: shard[1]], desc="drawing", unit="photo"):
        if _names(root, path, how) is None:
            names = _draw(path, root, landmarker, style, how)
            write_text(_facts(root, path), json.dumps({"how": how, "names": names}))
    done = {path: _names(root, path, how) for path in paths}
    records = [_record(name, path, how) for path, names in done.items() for name in names or []]
    if None in done.values():
        return records  # Other shards are still at work.
    if records:
        write_pairs(root, records)
    return records


def _draw(
    path: Path, root: Path, landmarker: Landmarker, style: DrawnStyle, how: dict[str, Any]
) -> list[str]:
    """Draw one photo's views, those that are not there yet, and return all their names."""
    image, names, size = read_image(path), [], how["size"]
    faces = landmarker.detect(image)
    for view, matrix, face in _frames(image, faces, how) if "cut" in how else _faces(faces, how):
        record = _record(f"{path.stem}-{view}", path, how)
        names.append(record.name)
        if (root / record.photo).is_file() and (root / record.styled).is_file():
            continue
        crop = align(image[None], matrix[None], size)
        points = torch.full((1, scheme_named(landmarker.scheme).size, 2), torch.nan)
        if face is not None:
            points = transform_points(face.points[None], matrix[None])
        write_image(root / record.photo, crop[0])
        styled = draw_style(crop, points, style, scheme=landmarker.scheme)
        write_image(root / record.styled, styled[0])
    return names


_View = tuple[
    str, Tensor, Landmarks | None
]  # Its name, from photo to crop pixels, and whose it is.


def _faces(faces: Sequence[Landmarks], how: dict[str, Any]) -> Iterator[_View]:
    """Yield every view of every face."""
    for number, face in enumerate(faces):
        matrix = alignment_matrix(face, how["size"])
        for view in range(how["views"]):
            yield f"{number}-{view:03d}", _view(matrix, how["size"], view, how["seed"]), face


def _frames(image: Tensor, faces: Sequence[Landmarks], how: dict[str, Any]) -> Iterator[_View]:
    """Yield squares of the photo."""
    height, width = image.shape[-2:]
    for view in range(how["views"]):
        zoom, across, down = 0.0, 0.5, 0.5
        if view:
            generator = torch.Generator().manual_seed(how["seed"] * 1_000_003 + view)
            zoom, across, down = torch.rand(3, generator=generator).tolist()
        side = min(height, width) * (1 - zoom / 2)
        scale = how["size"] / side
        left, top = across * (width - side), down * (height - side)
        matrix = torch.tensor([[scale, 0.0, -left * scale], [0.0, scale, -top * scale]])
        yield f"frame-{view:03d}", matrix, faces[0] if faces else None


def _record(name: str, path: Path, how: dict[str, Any]) -> PairRecord:
    facts = {"source": path.name, "seed": how["seed"], "style": how["style"]}
    return PairRecord(f"photo/{name}.png", f"styled/{name}.png", split_of(path.stem), facts)


def _facts(root: Path, path: Path) -> Path:
    return root / "facts" / f"{path.stem}.json"


def _names(root: Path, path: Path, how: dict[str, Any]) -> list[str] | None:
    """Return the names of a photo's pairs, or None where it has not been drawn like this."""
    if not _facts(root, path).is_file():
        return None
    facts = json.loads(_facts(root, path).read_text())
    # JSON knows lists only: compare what it makes of both.
    same = facts["how"] == json.loads(json.dumps(how))
    names: list[str] = facts["names"]
    return names if same else None


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
