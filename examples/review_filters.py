"""What a team does before a filter ships: look at it on the hard cases, at full size.

    python examples/review_filters.py PHOTOS -o runs/review [--filters toon toon-photo]

Takes a folder of photos, and makes of some of them what folders seldom show: closed eyes, a wink,
glasses, light from one side, a medical mask, a tilted head, a group. Writes sheets of photo and
filters, whole and close up, and says in how many a face was found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

import snowai
from snowai.analysis import sheet
from snowai.faces import align, alignment_matrix, close_eyes, relight, smile
from snowai.hub import from_pretrained
from snowai.image import find_images, read_image, write_image
from snowai.pairs import cover, glasses, medical_mask

_SIDE = 384  # Of a close-up, in pixels.


@dataclass(frozen=True)
class Arguments:
    """What to look at.

    Args:
        photos: Folder of photos with a face each.
        out: Folder of the sheets.
        filters: Shipped names, files or Hub ids.
        count: Photos as they are; the hard cases come besides.
    """

    photos: tyro.conf.Positional[Path]
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/review")
    filters: tuple[str, ...] = ("toon", "toon-photo")
    count: int = 12


def main(arguments: Arguments) -> None:
    """Write the sheets."""
    landmarker = snowai.MediaPipeLandmarker()
    filters = {name: from_pretrained(name) for name in arguments.filters}
    for chosen in filters.values():
        chosen.landmarker = landmarker
    paths = find_images(arguments.photos)
    spread = [paths[number * len(paths) // 20] for number in range(20)]
    cases = [photo for _, photo in hard_cases([read_image(p) for p in spread], landmarker)]
    plain = [read_image(path) for path in spread[: arguments.count]]
    found, rows = 0, []
    for photo in plain + cases:
        drawn = [chosen(photo).image for chosen in filters.values()]
        faces = landmarker.detect(photo)
        found += bool(faces)
        pictures = [photo, *drawn]
        if faces:  # Photo and close-up side by side.
            matrix = alignment_matrix(faces[0], photo.shape[-2])[None]
            pictures += [align(one[None], matrix, photo.shape[-2])[0] for one in (photo, *drawn)]
        rows.append(pictures)
    titles = ["photo", *filters, "photo", *filters]
    for number, start in enumerate(range(0, len(rows), 6)):
        picture = sheet(rows[start : start + 6], titles=titles, max_height=_SIDE)
        write_image(arguments.out / f"sheet-{number}.png", picture)
    print(f"A face was found in {found} of {len(plain) + len(cases)} photos -> {arguments.out}")


def hard_cases(
    photos: Sequence[Tensor], landmarker: snowai.MediaPipeLandmarker
) -> Iterator[tuple[str, Tensor]]:
    """Yield edited photos by name, each edit on two people, and a group."""
    for photo, name in zip(photos, [*CASES, *CASES], strict=False):
        faces = landmarker.detect(photo)
        if faces:
            points = faces[0].points[None]
            yield name, CASES[name](photo[None], points, faces[0].scheme)[0]
    yield "group", torch.cat([F.interpolate(p[None], (275, 225))[0] for p in photos[10:14]], dim=2)


def turned(image: Tensor, _points: Tensor, _scheme: str) -> Tensor:
    """Turn the photo by 25 degrees."""
    angle = torch.tensor(25.0).deg2rad()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    matrix = torch.cat([turn, torch.zeros(2, 1)], dim=1)[None]
    grid = F.affine_grid(matrix, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


CASES: Mapping[str, Callable[[Tensor, Tensor, str], Tensor]] = {
    "closed eyes": lambda x, points, scheme: close_eyes(x, points, 1.0, scheme=scheme).image,
    "wink": lambda x, points, scheme: close_eyes(x, points, (1.0, 0.0), scheme=scheme).image,
    "broad smile": lambda x, points, scheme: smile(x, points, 1.0, scheme=scheme).image,
    "side light": lambda x, points, scheme: relight(x, points, 1.0, scheme=scheme),
    "glasses": lambda x, points, scheme: cover(x, glasses(x, points, scheme=scheme)),
    "medical mask": lambda x, points, scheme: cover(x, medical_mask(x, points, scheme=scheme)),
    "turned": turned,
}


if __name__ == "__main__":
    main(tyro.cli(Arguments))
