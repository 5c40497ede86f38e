"""snowai style and snowai convert: generators from reading to choosing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import Positional, arg

from snowai.cli.words import Photos, choose_recipe, expand, make_perceptual, say
from snowai.hub import find_checkpoint
from snowai.models import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    grow_discriminator,
    grow_generator,
    stylegan2_resolutions,
)
from snowai.styles import StyleTrainConfig, load_discriminator, load_generator

__all__ = ["blend", "convert", "direction", "grow_latents", "invert", "sample", "score", "train"]


def convert(
    source: Positional[Path],
    target: Positional[Path],
    /,
    bgr: bool = False,
    half: bool = False,
) -> int:
    """Read a StyleGAN2 of another library and write it as .safetensors; nothing in it is run.

    Args:
        source: .pt (rosinality), .pkl (NVIDIA) or .pth (MMGeneration).
        target: File for the generator; the discriminator goes beside it as NAME-discriminator.
        bgr: The network draws blue, green, red.
        half: Store half precision.
    """
    from snowai._files import sha256_of
    from snowai.checkpoint import save
    from snowai.styles import read_stylegan2

    foreign = read_stylegan2(source, bgr=bgr)
    dtype = torch.float16 if half else None
    facts = {"converted from": source.name, "sha256": sha256_of(source), **foreign.found}
    save(foreign.generator, target, provenance=facts, dtype=dtype)
    if foreign.discriminator is not None:
        beside = target.with_name(f"{target.stem}-discriminator.safetensors")
        save(foreign.discriminator, beside, provenance=facts, dtype=dtype)
    for name, value in foreign.found.items():
        say(f"{name:<14}{value}")
    return 0


def train(
    sources: Positional[tuple[str, ...]],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    discriminator: str | None = None,
    resolution: int | None = None,
    channel_base: int = 16384,
    channel_max: int = 512,
    latent_size: int = 512,
    mapping_layers: int = 8,
    align: bool = False,
    perceptual: Literal["lite0", "lpips-alex", "lpips-vgg", "lpips-squeeze"] = "lite0",
    backbone_weights: Path | None = None,
    resume: bool = False,
    config: Annotated[StyleTrainConfig, arg(name="")] = StyleTrainConfig(),  # noqa: B008 - frozen.
) -> int:
    """Teach a generator a style: snowai style train [BASE] PICTURES.

    Args:
        sources: The base generator (a file or a shipped name) and the folder of pictures; the
            folder alone trains from scratch.
        out: Folder of the run: generator, snapshots, samples, metrics.
        discriminator: The base's discriminator; default discriminator.safetensors beside the base.
        resolution: Side of the pictures. A base of half that size is grown.
        channel_base: From scratch: channels times resolution.
        channel_max: From scratch: channels at most.
        latent_size: From scratch: of z and w.
        mapping_layers: From scratch: of the mapping network.
        align: Cut out faces as filters will; pictures without a face are left out.
        perceptual: For source.perceptual; lite0 needs no download.
        backbone_weights: For lpips-*: torchvision's weights as .safetensors.
        resume: Go on with the run in OUT.
        config: Numbers of the run.
    """
    from snowai.faces import MediaPipeLandmarker
    from snowai.styles import load_pictures, train_style

    if len(sources) not in (1, 2):
        raise ValueError(f"Name a base and a folder of pictures, or a folder; got {sources}.")
    torch.manual_seed(config.seed)
    judge: StyleGAN2Discriminator | None = None
    if len(sources) == 2:
        generator = load_generator(sources[0])
        judge = load_discriminator(sources[0], discriminator)
        if resolution == 2 * generator.resolution:
            generator = grow_generator(generator)
            judge = None if judge is None else grow_discriminator(judge)
        elif resolution not in (None, generator.resolution):
            raise ValueError(
                f"{sources[0]} draws {generator.resolution} pixels; resolution may be that, or "
                f"twice it to grow the generator. Got {resolution}."
            )
    else:
        generator = StyleGAN2Generator(
            resolution or 128,
            z_dim=latent_size,
            w_dim=latent_size,
            mapping_layers=mapping_layers,
            channel_base=channel_base,
            channel_max=channel_max,
        )
    pictures = load_pictures(
        sources[-1],
        generator.resolution,
        landmarker=MediaPipeLandmarker(max_faces=1) if align else None,
    )
    say(f"{len(pictures)} pictures of {generator.resolution} pixels.")
    result = train_style(
        generator,
        pictures,
        out,
        discriminator=judge,
        config=config,
        perceptual=make_perceptual(perceptual, backbone_weights)
        if config.source.perceptual > 0
        else None,
        resume=resume,
    )
    say(f"{'part':<14}{'drift':>8}")
    for name, value in result.drift.items():
        say(f"{name:<14}{value:>8.3f}")
    say(f"Generator: {out / 'generator.safetensors'}; choose a snapshot by {out / 'samples'}.")
    return 0


def blend(
    base: Positional[str],
    styled: Positional[str],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    cut: int | None = None,
    width: float = 0.0,
    recipe: Path | None = None,
    seeds: int = 6,
) -> int:
    """Blend two generators, or draw a sheet of blends to choose from.

    Without cut or recipe, OUT is a .png: a row for each seed, a column for each cut. With one,
    OUT is the blended generator, and the recipe lies beside it as JSON.

    Args:
        base: Generator that draws photos.
        styled: The same, taught a style.
        out: .png for a sheet, .safetensors for a generator.
        cut: The base below this resolution, styled from it on.
        width: Of a soft cut, in octaves; 0 for a hard one.
        recipe: JSON file of a recipe, in place of cut and width.
        seeds: Rows of the sheet.
    """
    from snowai._files import sha256_of, write_text
    from snowai.analysis import blend_sweep
    from snowai.checkpoint import save
    from snowai.image import write_image
    from snowai.styles import BlendRecipe
    from snowai.styles import blend as blend_generators

    one, two = load_generator(base), load_generator(styled)
    side = one.resolution
    chosen = choose_recipe(cut, recipe, resolution=side, width=width)
    if chosen is None:
        cuts = stylegan2_resolutions(side)[1:]
        recipes = [BlendRecipe.hard(size, resolution=side) for size in cuts]
        recipes.append(BlendRecipe.sigmoid(cuts[len(cuts) // 2], resolution=side))
        write_image(out, blend_sweep(one, two, recipes, range(seeds)))
        say(f"Choose a cut by {out}, then run it again with --cut N -o NAME.safetensors.")
        return 0
    files = {"base": find_checkpoint(base), "styled": find_checkpoint(styled)}
    facts = {name: {"file": path.name, "sha256": sha256_of(path)} for name, path in files.items()}
    save(blend_generators(one, two, chosen), out, provenance={"blend": chosen.to_json(), **facts})
    write_text(out.with_suffix(".json"), chosen.to_json() + "\n")
    say(f"Blended generator: {out}")
    return 0


def sample(
    generator: Positional[str],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    count: int = 32,
    seed: int = 0,
    truncation: float = 0.7,
) -> int:
    """Draw a sheet of a generator's pictures.

    Args:
        generator: A file or a shipped name.
        out: Picture to write.
        count: Pictures on the sheet.
        seed: The first; the others follow.
        truncation: 1 for the widest variety.
    """
    from snowai.analysis import samples_sheet
    from snowai.image import write_image

    seeds = range(seed, seed + count)
    write_image(out, samples_sheet(load_generator(generator), seeds, truncation=truncation))
    say(f"{count} pictures: {out}")
    return 0


def score(
    generator: Positional[str],
    pictures: Positional[Path],
    /,
    count: int | None = None,
    truncation: float = 1.0,
) -> int:
    """Measure how far a generator's pictures are from a folder's, as FID does, on lite0's features.

    The distance between the two halves of the folder is printed beside it: less is not to be had.

    Args:
        generator: A file or a shipped name.
        pictures: Folder of real pictures, aligned as the generator's are.
        count: Pictures to draw; default as many as the folder has.
        truncation: Of the latents.
    """
    from snowai.analysis import frechet_distance, generate
    from snowai.styles import load_pictures

    network = load_generator(generator)
    real = load_pictures(pictures, network.resolution).float() / 255
    drawn = generate(network, range(count or len(real)), truncation=truncation)
    say(f"{'generator':<12}{frechet_distance(torch.split(real, 32), drawn):>10.1f}")
    halves = frechet_distance(torch.split(real[::2], 32), torch.split(real[1::2], 32))
    say(f"{'two halves':<12}{halves:>10.1f}")
    return 0


def direction(
    generator: Positional[str],
    score: Positional[Literal["smile", "eyes_closed", "yaw"]],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    samples: int = 500,
    reach: float = 0.5,
    layers: tuple[int, ...] = (),
    size: int = 256,
) -> int:
    """Fit a direction of the latents to a score, for "snowai pairs render --edits".

    Writes OUT as JSON, and beside it a sheet: rows of faces moved from -REACH to REACH.

    Args:
        generator: A file or a shipped name.
        score: What MediaPipe measures on the samples.
        out: .json file.
        samples: Faces drawn and scored.
        reach: Largest change of the score, either way.
        layers: Indices of ws that move; default all.
        size: Faces are scored at this side, in pixels.
    """
    from snowai._files import write_text
    from snowai.analysis import edit_sheet
    from snowai.faces import MediaPipeLandmarker
    from snowai.image import write_image
    from snowai.pairs import Edit
    from snowai.styles import fit_direction, sample_latents, score_samples

    network, landmarker = load_generator(generator), MediaPipeLandmarker(max_faces=1)
    ws = sample_latents(network, range(samples))
    scores = score_samples(network, ws, landmarker, score, size=size)
    found = fit_direction(ws, scores)
    edit = Edit(score, found.tolist(), -reach, reach, layers)
    write_text(out, json.dumps(asdict(edit)) + "\n")
    amounts = [reach * step / 2 for step in range(-2, 3)]
    picture = edit_sheet(network, found, range(4), amounts, layers=list(layers) or None)
    write_image(out.with_suffix(".png"), picture)
    scored = int(torch.isfinite(scores).sum())
    say(f"{score} fitted on {scored} of {samples} faces: {out}; look at {out.with_suffix('.png')}.")
    return 0


def invert(
    generator: Positional[str],
    photos: Photos,
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    space: Literal["w", "w+"] = "w+",
    steps: int = 300,
) -> int:
    """Find the latents of photos; what is done already is kept.

    Args:
        generator: A file or a shipped name.
        photos: Image files, or folders of them.
        out: Gets NAME.safetensors and NAME.png (photo beside inversion).
        space: w is closer to the generator's own faces, w+ closer to the photo.
        steps: Of the search.
    """
    from snowai.faces import MediaPipeLandmarker
    from snowai.styles import InvertConfig, invert_folder

    config = InvertConfig(space=space, steps=steps)
    written, faceless = invert_folder(
        load_generator(generator),
        expand(photos),
        out,
        MediaPipeLandmarker(max_faces=1),
        config=config,
    )
    for path in faceless:
        say(f"{path}: no face found; left out.")
    say(f"{len(written)} photos inverted in {out}.")
    return 0


def grow_latents(
    generator: Positional[str],
    inversions: Positional[Path],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    count: int = 1000,
    spread: float = 0.5,
    seed: int = 0,
) -> int:
    """Grow many latents from a folder of inverted photos, for "snowai pairs render --latents".

    Args:
        generator: Whose latents they are.
        inversions: Folder of "snowai style invert".
        out: .safetensors file.
        count: Latents.
        spread: 0 stays between the photos, 1 moves as far as random latents lie apart.
        seed: Of the growth.
    """
    from safetensors.torch import save as to_safetensors

    from snowai._files import write_bytes
    from snowai.styles import grow_seeds

    files = sorted(inversions.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{inversions} holds no inversions; see: snowai style invert.")
    ws = grow_seeds(load_generator(generator), files, count, spread=spread, seed=seed)
    write_bytes(out, to_safetensors({"ws": ws.contiguous()}))
    say(f"{count} latents from {len(files)} photos: {out}")
    return 0
