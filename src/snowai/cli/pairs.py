"""snowai pairs, where pairs are made: check, draw, render, rerender, retouch."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tqdm.auto import tqdm
from tyro.conf import Positional, arg

from snowai.cli.words import Photos, choose_recipe, expand, run_sharded, say

__all__ = ["check", "draw", "render", "rerender", "retouch"]


def check(pairs: Positional[Path], /) -> int:
    """Check a pair set before training on it.

    Args:
        pairs: Folder with photo/, styled/ and, if you like, metadata.jsonl.
    """
    from snowai.pairs import check_pairs, read_pairs

    records = read_pairs(pairs)
    check_pairs(pairs, tqdm(records, unit="pair"))
    counts = {split: sum(r.split == split for r in records) for split in ("train", "val", "test")}
    say(f"{len(records)} pairs: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 0


def draw(
    photos: Photos,
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    style: Literal["toon", "comic", "poster", "watercolour"] = "toon",
    size: int = 256,
    views: int = 1,
    frames: bool = False,
    seed: int = 0,
    shard: str | None = None,
    ray_workers: int = 0,
) -> int:
    """Make a pair set from photos, drawn by code.

    Args:
        photos: Image files, or folders of them.
        out: Folder of the pair set.
        style: How they are drawn; snowai.pairs.STYLES has the numbers of each.
        size: Side of the crops, in pixels.
        views: Pairs for each face: the first upright, the others turned and shifted.
        frames: Cut squares out of whole photos instead of faces: for the post-edit network.
        seed: Of the views.
        shard: i/N draws every N-th photo from the i-th on; default from RANK and WORLD_SIZE, or
            SLURM.
        ray_workers: Draw with this many Ray workers instead.
    """
    from snowai.faces import MediaPipeLandmarker
    from snowai.pairs import STYLES, draw_frames, draw_pairs

    task = partial(
        draw_frames if frames else draw_pairs,
        expand(photos),
        out,
        MediaPipeLandmarker(),
        style=STYLES[style](),
        size=size,
        views=views,
        seed=seed,
    )
    records = run_sharded(task, shard, ray_workers)
    say(f"{len(records)} pairs in {out}.")
    return 0


def render(
    base: Positional[str],
    styled: Positional[str],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    count: int = 1000,
    seed: int = 0,
    cut: int | None = None,
    recipe: Path | None = None,
    truncation: float = 0.8,
    noise: Literal["const", "random", "none"] = "const",
    colour_layers: int = 0,
    edits: tuple[Path, ...] = (),
    latents: Path | None = None,
    size: int | None = None,
    shard: str | None = None,
    ray_workers: int = 0,
    device: str = "cpu",
) -> int:
    """Render a pair set from two generators; what is there already is kept.

    Args:
        base: Generator that draws photos: a file or a shipped name.
        styled: Generator that draws styled pictures, blended already unless cut or recipe is given.
        out: Folder of the pair set.
        count: Pairs.
        seed: Of the set.
        cut: Blend on the way: the base below this resolution, styled from it on.
        recipe: Blend on the way by this JSON file; see "snowai style blend".
        truncation: 1 for the widest variety, 0.7 for safer faces.
        noise: const, random (fresh for each pair, alike in both pictures) or none.
        colour_layers: This many of the last layers take their colours from a second latent.
        edits: JSON files of "snowai style direction": attributes that vary over the pairs.
        latents: .safetensors with latents of "snowai style grow", in place of random ones.
        size: Side of the pictures; default the generator's.
        shard: i/N renders every N-th pair from the i-th on; default from RANK and WORLD_SIZE, or
            SLURM.
        ray_workers: Render with this many Ray workers instead.
        device: Where the generators run.
    """
    from snowai.pairs import Edit, RenderPlan, render_pairs
    from snowai.styles import load_generator

    plan = RenderPlan(
        base,
        styled,
        count,
        seed=seed,
        blend=choose_recipe(cut, recipe, resolution=load_generator(base).resolution),
        truncation=truncation,
        noise=noise,
        colour_layers=colour_layers,
        edits=tuple(Edit.from_json(path.read_text()) for path in edits),
        latents=None if latents is None else str(latents),
        size=size,
    )
    run_sharded(partial(render_pairs, plan, out, device=device), shard, ray_workers)
    say(f"Pairs of {out} are rendered.")
    return 0


def rerender(
    pairs: Positional[Path],
    name: Positional[str],
    /,
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    base: str | None = None,
    styled: str | None = None,
    device: str = "cpu",
) -> int:
    """Render one pair of a set again, the same bytes on the same machine.

    Args:
        pairs: Folder of the pair set.
        name: Of the pair, as its files are called.
        out: Folder to write photo/ and styled/ to; default the set itself.
        base: Where the base's checkpoint is now, when it was moved.
        styled: Where the styled one is now.
        device: As when it was rendered.
    """
    from snowai.image import write_image
    from snowai.pairs import rerender_pair

    folder = pairs if out is None else out
    images = rerender_pair(pairs, name, base=base, styled=styled, device=device)
    for kind, image in zip(("photo", "styled"), images, strict=True):
        write_image(folder / kind / f"{name}.png", image)
    say(f"{name} is rendered again in {folder}.")
    return 0


def retouch(
    pairs: Positional[Path],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    recipe: Path | None = None,
    close_eyes: float = 0.0,
    wink: float = 0.0,
    smile: float = 0.0,
    open_mouth: float = 0.0,
    shift_gaze: float = 0.0,
    glasses: float = 0.0,
    medical_mask: float = 0.0,
    microphone: float = 0.0,
    fringe: float = 0.0,
    iris_light: float = 0.0,
    seed: int = 0,
    shard: str | None = None,
    ray_workers: int = 0,
) -> int:
    """Write a copy of a pair set in which some faces close their eyes, smile or wear glasses.

    Geometry changes in both pictures of a pair, light in the styled one alone. The numbers are
    shares of the pairs; a recipe says more, see snowai.pairs.RetouchRecipe.

    Args:
        pairs: Folder of the pair set; it stays as it is.
        out: Folder of the new one; a killed run goes on there.
        recipe: JSON file with edits, in place of the shares below.
        close_eyes: Share of the pairs whose eyes are closed, e.g. 0.05.
        wink: Share with one eye closed.
        smile: Share with another mouth, from sad to a broad smile.
        open_mouth: Share with an open mouth.
        shift_gaze: Share that looks aside.
        glasses: Share that wears glasses; one in five are sunglasses.
        medical_mask: Share that wears a mask.
        microphone: Share with a microphone before the chin.
        fringe: Share whose own hair hangs over the forehead.
        iris_light: Share with a catch light in the styled eyes.
        seed: Of which pairs get what.
        shard: i/N does every N-th pair from the i-th on; default from RANK and WORLD_SIZE, or
            SLURM.
        ray_workers: Retouch with this many Ray workers instead.
    """
    from snowai.faces import MediaPipeLandmarker
    from snowai.pairs import Retouch, RetouchRecipe, retouch_pairs

    if recipe is not None:
        chosen = RetouchRecipe.from_json(recipe.read_text())
    else:
        wanted = (
            Retouch("smile", -0.5, 1.0, smile),
            Retouch("open_mouth", 0.2, 1.0, open_mouth),
            Retouch("shift_gaze", -0.9, 0.9, shift_gaze, {"angle": 0.0}),
            Retouch("wink", -1.0, 1.0, wink),
            Retouch("close_eyes", 0.9, 1.0, close_eyes),
            Retouch("iris_light", 0.5, 0.9, iris_light),
            Retouch("fringe", share=fringe),
            Retouch("medical_mask", share=medical_mask),
            Retouch("glasses", share=glasses),
            Retouch("microphone", share=microphone),
        )
        chosen = RetouchRecipe(tuple(edit for edit in wanted if edit.share > 0), seed)
    if not chosen.edits:
        raise ValueError(
            "There is nothing to do: give shares, e.g. --close-eyes 0.05, or --recipe."
        )
    landmarker = MediaPipeLandmarker(max_faces=1)
    task = partial(retouch_pairs, pairs, out, chosen, landmarker)
    records = run_sharded(task, shard, ray_workers)
    changed = sum(bool(record.facts["retouch"]) for record in records)
    say(f"{len(records)} pairs in {out}, {changed} of them retouched.")
    return 0
