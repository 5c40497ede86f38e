"""The whole chain, from generators to a photo: samples, blend, pairs, training, a filter."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from snowai.analysis import blend_sweep, pairs_sheet, samples_sheet, sheet
from snowai.checkpoint import save
from snowai.demo.photos import choose_photos
from snowai.faces import MediaPipeLandmarker, align, paste_back
from snowai.filters import FaceFilter, PhotoFilter
from snowai.image import read_image, write_image
from snowai.losses import lite0_loss
from snowai.models import EyeMaskInput, create_model, stylegan2_resolutions
from snowai.pairs import PairDataset, PairRecord, RenderPlan, render_pairs
from snowai.styles import BlendRecipe, load_generator
from snowai.train import fit, training_preset

__all__ = ["DemoConfig", "run_demo"]

_SIDE = 512  # Of the pictures in the comparison, in pixels.


@dataclass(frozen=True)
class DemoConfig:
    """The demonstration's numbers.

    Args:
        base: Generator that draws photos: a shipped name or a file.
        styled: The same, taught a style.
        cut: Resolution from which the styled generator's layers are taken.
        pairs: Pairs rendered.
        seconds: Time to train, about.
        size: Side of the pairs and of the filter's crops, in pixels.
        seed: Of everything random.
    """

    base: str = "portraits"
    styled: str = "portraits-toon"
    cut: int = 8
    pairs: int = 200
    seconds: float = 240.0
    size: int = 256
    seed: int = 0


def run_demo(
    photos: Sequence[str | Path] = (),
    out: str | Path = "demo",
    *,
    config: DemoConfig | None = None,
) -> dict[str, Path]:
    """Blend two generators, render pairs, train a tiny filter on them and try it on photos.

    Args:
        photos: Image files with a face; default scikit-image's astronaut (NASA, public domain).
        out: Folder to write: sheets of samples, blends and pairs, comparison.png,
            filter.safetensors and metrics.jsonl.
        config: Generators, time, size and seed.

    Returns:
        What was made, by name.

    Raises:
        ValueError: No photo shows a face.
        FileNotFoundError: A generator is missing.
        ImportError: A package of the demo is missing.
    """
    out, config = Path(out), config or DemoConfig()
    out.mkdir(parents=True, exist_ok=True)
    paths = choose_photos(photos, out)
    landmarker = MediaPipeLandmarker()
    shipped = FaceFilter.from_pretrained("toon")
    shipped.landmarker = landmarker
    if not any(shipped.cut(read_image(path)).faces for path in paths):
        raise ValueError(f"No face was found in {', '.join(path.name for path in paths)}.")
    made = _draw_generators(out, config)
    with tempfile.TemporaryDirectory(dir=out) as work:
        pairs_folder = Path(work) / "pairs"
        records = render_pairs(_plan(config), pairs_folder)
        made["pairs"] = _draw_pairs(records, pairs_folder, out)
        pairs = PairDataset(pairs_folder, size=config.size)
        pairs.find_landmarks(landmarker)
        network, steps = _train(pairs, Path(work), config)
        (Path(work) / "run" / "metrics.jsonl").replace(out / "metrics.jsonl")
    trained = FaceFilter(network, size=config.size)
    provenance = {"base": config.base, "styled": config.styled, "cut": config.cut, "steps": steps}
    save(trained, out / "filter.safetensors", provenance=provenance)
    trained.landmarker = landmarker
    write_image(out / "comparison.png", _compare(paths, trained, shipped))
    return made | {
        "comparison": out / "comparison.png",
        "filter": out / "filter.safetensors",
        "metrics": out / "metrics.jsonl",
    }


def _draw_generators(out: Path, config: DemoConfig) -> dict[str, Path]:
    """Write sheets of both generators' pictures and of the blends between them."""
    base, styled = load_generator(config.base), load_generator(config.styled)
    seeds = range(config.seed, config.seed + 32)
    made = {}
    for name, generator in (("base", base), ("styled", styled)):
        made[f"{name} samples"] = out / f"{name}_samples.png"
        write_image(made[f"{name} samples"], samples_sheet(generator, seeds))
    side = base.resolution
    recipes = [BlendRecipe.hard(size, resolution=side) for size in stylegan2_resolutions(side)[1:]]
    made["blend sweep"] = out / "blend_sweep.png"
    write_image(made["blend sweep"], blend_sweep(base, styled, recipes, seeds[:6]))
    return made


def _plan(config: DemoConfig) -> RenderPlan:
    recipe = BlendRecipe.hard(config.cut, resolution=load_generator(config.base).resolution)
    return RenderPlan(
        config.base,
        config.styled,
        config.pairs,
        seed=config.seed,
        blend=recipe,
        truncation=0.8,
        size=config.size,
    )


def _draw_pairs(records: Sequence[PairRecord], root: Path, out: Path) -> Path:
    shown = [(read_image(root / r.photo), read_image(root / r.styled)) for r in records[:24]]
    write_image(out / "pairs.png", pairs_sheet(shown))
    return out / "pairs.png"


def _train(pairs: PairDataset, work: Path, config: DemoConfig) -> tuple[nn.Module, int]:
    """Train for about the wanted time: a few steps tell how many that is."""
    perceptual = lite0_loss()
    trial = training_preset(
        "fast",
        steps=6,
        batch_size=2,
        size=config.size,
        precision="bf16",
        warmup=10,
        ema=0.98,
        sample_every=10_000,
        save_every=10_000,
        seed=config.seed,
    )
    torch.manual_seed(config.seed)
    network = EyeMaskInput(create_model("se_unet_tiny"))
    fit(network, pairs, work / "warm-up", config=trial, perceptual=perceptual)
    start = time.perf_counter()
    fit(network, pairs, work / "trial", config=trial, perceptual=perceptual)
    steps = max(round(config.seconds / (time.perf_counter() - start) * trial.steps), 20)
    result = fit(
        network, pairs, work / "run", config=replace(trial, steps=steps), perceptual=perceptual
    )
    return result.network, steps


def _compare(paths: Sequence[Path], trained: FaceFilter, shipped: FaceFilter) -> Tensor:
    """Lay out photo, eye mask and filters, just trained and shipped: whole, and close up."""
    whole = PhotoFilter.from_pretrained("toon-photo")
    whole.landmarker = shipped.landmarker
    filters = {"just trained": trained, "toon": shipped, "toon-photo": whole}
    rows = []
    for path in paths:
        photo = read_image(path)
        crops = shipped.cut(photo)
        if not crops.faces:
            continue
        images: list[Tensor] = [chosen(photo).image for chosen in filters.values()]
        mask = _whole_mask(crops.eye_masks[:1], crops.matrices[:1], photo)
        rows.append([photo, mask, *images])
        close = crops.matrices[:1] * (_SIDE / shipped.size)
        rows.append([align(image[None], close, _SIDE)[0] for image in (photo, mask, *images)])
    return sheet(rows, titles=["photo", "eye mask", *filters], max_height=_SIDE)


def _whole_mask(mask: Tensor, matrix: Tensor, photo: Tensor) -> Tensor:
    """Return the crop's eye mask in the photo's place."""
    return paste_back(torch.zeros_like(photo[None, :1]), mask, matrix)[0]
