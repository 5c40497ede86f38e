"""The pair workshop at work: every edit, light, preset and occluder, and a set made with them."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from snowai.analysis import gallery, histograms, pairs_sheet, selection_sheet, sheet
from snowai.demo.chain import DemoConfig
from snowai.demo.photos import choose_photos
from snowai.faces import (
    LIGHTS,
    Landmarks,
    MediaPipeLandmarker,
    align,
    alignment_matrix,
    close_eyes,
    iris_light,
)
from snowai.image import read_image, write_image
from snowai.pairs import (
    GEOMETRY,
    LIGHT,
    OCCLUDERS,
    STYLES,
    ComicStyle,
    PairRecord,
    PairScorer,
    Retouch,
    RetouchRecipe,
    balance_pairs,
    cover,
    draw_pairs,
    draw_style,
    read_pairs,
    retouch_pairs,
    select_pairs,
)

__all__ = ["run_workshop"]

_SIDE = 384  # Of the faces on the sheets, in pixels.
_BOTH_WAYS = ("wink", "shift_gaze", "smile", "slim_face")  # Edits with negative amounts.
_SET_RECIPE = (
    Retouch("smile", -0.5, 1.0, share=0.3),
    Retouch("open_mouth", 0.3, 1.0, share=0.1),
    Retouch("shift_gaze", -0.9, 0.9, share=0.2),
    Retouch("wink", -1.0, 1.0, share=0.08),
    Retouch("close_eyes", 0.9, 1.0, share=0.12),
    Retouch("iris_light", 0.5, 0.9, share=0.5, options={"shape": "softbox"}),
    Retouch("fringe", share=0.1),
    Retouch("glasses", share=0.15),
    Retouch("medical_mask", share=0.05),
)


def run_workshop(
    photos: Sequence[str | Path] = (),
    out: str | Path = "demo",
    *,
    config: DemoConfig | None = None,
) -> dict[str, Path]:
    """Draw sheets of all edits on a photo, then make a pair set: draw, select, retouch, balance.

    Args:
        photos: Image files; the first one's face is edited, and all become pairs. Default
            scikit-image's astronaut.
        out: Folder to write the sheets to.
        config: Number of pairs and seed.

    Returns:
        The sheets, by name.

    Raises:
        ValueError: The photo shows no face.
        ImportError: A package of the demo is missing.
    """
    out, config = Path(out), config or DemoConfig()
    out.mkdir(parents=True, exist_ok=True)
    landmarker = MediaPipeLandmarker()
    paths = choose_photos(photos, out)
    photo = read_image(paths[0])
    faces = landmarker.detect(photo)
    if not faces:
        raise ValueError(f"No face was found in {paths[0].name}.")
    matrix = alignment_matrix(faces[0], _SIDE)
    crop, face = align(photo[None], matrix[None], _SIDE), faces[0].transform(matrix)
    sheets = {
        "edits": _edits(crop, face),
        "light": _light(crop, face),
        "iris light": _iris_light(crop, face),
        "presets": _presets(crop, face),
        "occluders": _occluders(crop, face),
    }
    with tempfile.TemporaryDirectory(dir=out) as work:
        sheets |= _make_set(paths, Path(work), landmarker, config)
    made = {name: out / f"workshop_{name.replace(' ', '_')}.png" for name in sheets}
    for name, picture in sheets.items():
        write_image(made[name], picture)
    return made


def _edits(crop: Tensor, face: Landmarks) -> Tensor:
    """One row for each edit of geometry, from its least amount to its largest."""
    cells = []
    for name, edit in GEOMETRY.items():
        both = name in _BOTH_WAYS
        for amount in (-1.0, -0.5, 0.0, 0.5, 1.0) if both else (0.0, 0.25, 0.5, 0.75, 1.0):
            made = edit(crop, face.points[None], amount, scheme=face.scheme).image
            cells.append((_small(made), f"{name} {amount:g}"))
    return gallery(cells, columns=5)


def _light(crop: Tensor, face: Landmarks) -> Tensor:
    cells = [
        (_small(edit(crop, face.points[None], amount, scheme=face.scheme)), f"{name} {amount:g}")
        for name, edit in LIGHT.items()
        for amount in (0.0, 0.5, 1.0)
    ]
    return gallery(cells, columns=3)


def _small(image: Tensor, side: int = 224) -> Tensor:
    return F.interpolate(image, (side, side), mode="bilinear", antialias=True)[0]


def _iris_light(crop: Tensor, face: Landmarks) -> Tensor:
    """Every shape of light in both eyes, enlarged four times."""
    points = face.points[None]
    lit = [crop, *(iris_light(crop, points, strength=0.9, shape=shape) for shape in LIGHTS)]
    eyes = torch.cat([face.region("left_eye"), face.region("right_eye")])
    left, top = (eyes.amin(dim=0) - 6).int().clamp_min(0).tolist()
    right, bottom = (eyes.amax(dim=0) + 6).int().tolist()
    close = [
        F.interpolate(image[..., top:bottom, left:right], scale_factor=4, mode="bicubic")[0]
        for image in lit
    ]
    pairs = [close[start : start + 2] for start in range(0, len(close), 2)]
    return sheet(pairs, titles=["none, " + ", ".join(LIGHTS)])


def _presets(crop: Tensor, face: Landmarks) -> Tensor:
    drawn = [
        draw_style(crop, face.points[None], style(), scheme=face.scheme)[0]
        for style in STYLES.values()
    ]
    return sheet([[crop[0], *drawn]], titles=["photo", *STYLES])


def _occluders(crop: Tensor, face: Landmarks) -> Tensor:
    """Each occluder, as three seeds draw it; cut-outs come from a folder of the user's own."""
    cells = []
    for name, draw in OCCLUDERS.items():
        for seed in range(3) if name != "cutout" else ():
            layer = draw(crop, face.points[None], scheme=face.scheme, seed=seed)
            cells.append((_small(cover(crop, layer)), f"{name}, seed {seed}"))
    return gallery(cells, columns=3)


def _make_set(
    paths: Sequence[Path], work: Path, landmarker: MediaPipeLandmarker, config: DemoConfig
) -> dict[str, Tensor]:
    """Do what snowai pairs draw, select, retouch and balance do, and draw what came of it."""
    views = max(config.pairs // len(paths), 1)
    draw_pairs(paths, work / "drawn", landmarker, style=ComicStyle(), views=views, seed=config.seed)
    _break_some(work / "drawn", landmarker)
    # The gate goes first: it would take drawn glasses for the faults that it looks for.
    scorer = PairScorer.with_lite0(landmarker)
    select_pairs(work / "drawn", work / "selected", scorer)
    recipe = RetouchRecipe(_SET_RECIPE, seed=config.seed)
    retouched = retouch_pairs(work / "selected", work / "retouched", recipe, landmarker)
    changed = [record for record in retouched if record.facts["retouch"]]
    report = balance_pairs(work / "retouched", landmarker)
    return {
        "selected": selection_sheet(work / "selected"),
        "retouched": _pairs(changed[:24], work / "retouched"),
        "balance": histograms(report.columns(), edges=report.edges()),
    }


_FAULTS: tuple[Callable[[Tensor, Tensor, Landmarks], Tensor], ...] = (
    lambda _photo, styled, _face: kornia.filters.gaussian_blur2d(styled, (9, 9), (2.0, 2.0)),
    lambda _photo, styled, _face: styled.roll(18, dims=-1),
    lambda _photo, styled, _face: (styled * 1.8).clamp(0, 1),
    lambda photo, _styled, _face: photo,
    lambda _photo, styled, face: (
        close_eyes(styled, face.points[None], 1.0, scheme=face.scheme).image
    ),
)


def _break_some(root: Path, landmarker: MediaPipeLandmarker) -> None:
    """Spoil a few drawings, each in another way, so that the gate has something to find."""
    records = read_pairs(root)
    spoilt = records[len(records) // 2 :: 5]
    for fault, record in zip(_FAULTS, spoilt, strict=False):
        photo, styled = (read_image(root / path)[None] for path in (record.photo, record.styled))
        faces = landmarker.detect(styled[0])
        if faces:
            write_image(root / record.styled, fault(photo, styled, faces[0])[0])


def _pairs(records: Sequence[PairRecord], root: Path) -> Tensor:
    return pairs_sheet([(read_image(root / r.photo), read_image(root / r.styled)) for r in records])
