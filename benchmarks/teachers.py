"""How good a pair of generators is, alone and blended: pictures, style, and eyes that stay.

    nox -s bench -- teachers BASE STYLED PICTURES STYLE_PICTURES --name shipped

BASE and STYLED are files or shipped names; the folders hold what they were trained on. Writes the
table "teachers: NAME" into results.md and sheets of samples, sweep and pairs into --work.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from results import write_section
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from snowai.analysis import blend_sweep, frechet_distance, generate, pairs_sheet, samples_sheet
from snowai.faces import Landmarks, MediaPipeLandmarker
from snowai.image import write_image
from snowai.losses import PerceptualLoss, lite0_features
from snowai.models import StyleGAN2Generator, stylegan2_resolutions
from snowai.styles import BlendRecipe, blend, load_generator, load_pictures


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        base: Generator of photos.
        styled: The same, taught a style.
        pictures: Folder of photos.
        style_pictures: Folder of the style's.
        name: Of the table.
        count: Pictures drawn for each distance.
        pairs: Pairs looked at for each cut.
        truncation: Of the pairs; distances are measured at 1.
        threads: Of torch.
        work: Folder of the sheets.
    """

    base: tyro.conf.Positional[str]
    styled: tyro.conf.Positional[str]
    pictures: tyro.conf.Positional[Path]
    style_pictures: tyro.conf.Positional[Path]
    name: str = "shipped"
    count: int = 800
    pairs: int = 100
    truncation: float = 0.8
    threads: int = 2
    work: Path = Path("runs/teachers")


def main(arguments: Arguments) -> None:
    """Measure, draw the sheets and write the tables."""
    torch.set_num_threads(arguments.threads)
    base, styled = load_generator(arguments.base), load_generator(arguments.styled)
    lines = ["| generator | distance to its pictures | halves of the pictures |", "|---|---|---|"]
    photos, style = (
        load_pictures(folder, base.resolution).float() / 255
        for folder in (arguments.pictures, arguments.style_pictures)
    )
    for title, generator, real in (("base", base, photos), ("styled", styled, style)):
        halves = frechet_distance(torch.split(real[::2], 32), torch.split(real[1::2], 32))
        lines.append(f"| {title} | {distance(generator, real, arguments):.0f} | {halves:.0f} |")
    lines += [
        "",
        "| styled from | faces in both | eyes moved, % of the width | photo to styled, lite0 | "
        "distance to the style |",
        "|---|---|---|---|---|",
    ]
    cuts = stylegan2_resolutions(base.resolution)[1:]
    recipes = [BlendRecipe.hard(cut, resolution=base.resolution) for cut in cuts]
    work = arguments.work / arguments.name
    write_image(work / "base.png", samples_sheet(base, range(32)))
    write_image(work / "styled.png", samples_sheet(styled, range(32)))
    write_image(work / "sweep.png", blend_sweep(base, styled, recipes, range(6)))
    for cut, recipe in tqdm(zip(cuts, recipes, strict=True), total=len(cuts), unit="cut"):
        blended = blend(base, styled, recipe)
        found, moved, changed = look_at_pairs(base, blended, work / f"pairs_{cut}.png", arguments)
        away = distance(blended, style, arguments)
        lines.append(f"| {cut} | {found:.0%} | {moved:.2f} | {changed:.3f} | {away:.0f} |")
    write_section(f"teachers: {arguments.name}", "\n".join([*introduction(arguments), *lines]))


def introduction(arguments: Arguments) -> list[str]:
    """Say what was measured and how to do it again."""
    # Where files lie is this machine's business.
    base, styled = (Path(name).name for name in (arguments.base, arguments.styled))
    return [
        f"Frechet distances of EfficientNet-Lite0's pooled features, {arguments.count} pictures, "
        f"truncation 1; {arguments.pairs} pairs for each cut, truncation "
        f"{arguments.truncation}. Command: `nox -s bench -- teachers {base} {styled} PICTURES "
        f"STYLE_PICTURES --name {arguments.name}`",
        "",
    ]


def distance(generator: StyleGAN2Generator, real: Tensor, arguments: Arguments) -> float:
    """Return the distance of a generator's pictures to real ones."""
    drawn = generate(generator, range(arguments.count), truncation=1.0)
    return frechet_distance(torch.split(real, 32), drawn)


def look_at_pairs(
    base: StyleGAN2Generator, blended: StyleGAN2Generator, path: Path, arguments: Arguments
) -> tuple[float, float, float]:
    """Return the share with a face in both, how far eyes moved, and how far features did."""
    seeds = range(arguments.pairs)
    drawn = [
        torch.cat(list(generate(model, seeds, truncation=arguments.truncation)))
        for model in (base, blended)
    ]
    pairs = list(zip(*drawn, strict=True))
    write_image(path, pairs_sheet(pairs[:24]))
    perceptual = PerceptualLoss(lite0_features())
    with torch.inference_mode():
        changed = torch.stack([perceptual(one[None], two[None]) for one, two in pairs]).mean()
    landmarker = MediaPipeLandmarker(max_faces=1)
    moved = [
        float((eyes(photo[0]) - eyes(styled[0])).norm(dim=-1).mean()) / 256 * 100
        for one, two in pairs
        if (photo := landmarker.detect(enlarge(one)))
        and (styled := landmarker.detect(enlarge(two)))
    ]
    mean = sum(moved) / max(len(moved), 1)
    return len(moved) / len(pairs), mean, float(changed)


def enlarge(image: Tensor) -> Tensor:
    """Bring a picture to the size at which filters see faces."""
    large = F.interpolate(image[None], 256, mode="bicubic", antialias=True)
    return large[0].clamp(0, 1)


def eyes(face: Landmarks) -> Tensor:
    """Return the middles of both eyes, (2, 2)."""
    return torch.stack([face.region(f"{side}_eye").mean(dim=0) for side in ("left", "right")])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
