"""snowai apply, train, models, demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tqdm.auto import tqdm
from tyro.conf import Positional, arg

from snowai.cli.words import Photos, expand, make_perceptual, say
from snowai.demo import DemoConfig
from snowai.train import TrainConfig

__all__ = ["apply", "demo", "models", "train"]


def apply(
    photos: Photos,
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    filter: Annotated[str, arg(aliases=["-f"])] = "toon",  # noqa: A002 - the word users type.
    strength: float = 1.0,
    device: str = "cpu",
) -> int:
    """Filter photos.

    Args:
        photos: Image files, or folders of them.
        out: Folder to write to; for one photo also a file name.
        filter: Shipped name, .safetensors file, folder or Hub id.
        strength: 0 leaves the photo, 1 is the whole filter.
        device: Where the network runs: cpu, cuda, mps.
    """
    from snowai.filters import FaceFilter
    from snowai.image import BadImage, read_image, write_image

    paths = expand(photos)
    face_filter = FaceFilter.from_pretrained(filter, device=device)
    failed = 0
    for path, target in zip(tqdm(paths, unit="photo"), _targets(paths, out), strict=True):
        try:
            result = face_filter(read_image(path), strength=strength)
        except (BadImage, FileNotFoundError) as error:
            say(f"snowai apply: {error}", error=True)
            failed += 1
            continue
        if not result.found:
            say(f"{path}: no face found; written unchanged.")
        write_image(target, result.image)
    say(f"{len(paths) - failed} of {len(paths)} photos written to {out}.")
    return 1 if failed else 0


def train(
    pairs: Positional[Path],
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    model: str = "se_unet_base",
    perceptual: Literal["lite0", "lpips-alex", "lpips-vgg", "lpips-squeeze"] = "lite0",
    backbone_weights: Path | None = None,
    eye_mask: bool = True,
    landmarks: Path | None = None,
    resume: bool = False,
    config: Annotated[TrainConfig, arg(name="")] = TrainConfig(),  # noqa: B008 - frozen.
) -> int:
    """Train a filter on a pair set and write OUT/filter.safetensors.

    Args:
        pairs: Folder of the pair set.
        out: Folder of the run: samples, metrics, state and the filter.
        model: Preset; see "snowai models".
        perceptual: lite0 needs no download; lpips-* may.
        backbone_weights: For lpips-*: torchvision's weights as .safetensors.
        eye_mask: Feed the eye mask; off trains the same network with an empty mask.
        landmarks: The landmarks' cache, when the pair set cannot be written.
        resume: Go on with the run in OUT.
        config: Numbers of the run.
    """
    import torch

    from snowai.checkpoint import save
    from snowai.faces import MediaPipeLandmarker
    from snowai.filters import FaceFilter
    from snowai.models import EyeMaskInput, create_model
    from snowai.pairs import PairDataset
    from snowai.train import fit

    dataset = PairDataset(pairs, split="train", size=config.size, landmarks=landmarks)
    if eye_mask:
        missed = dataset.find_landmarks(MediaPipeLandmarker(max_faces=1))
        say(f"{len(dataset)} training pairs; no face found in {missed}.")
    judge = make_perceptual(perceptual, backbone_weights) if config.weights.perceptual > 0 else None
    torch.manual_seed(config.seed)
    network = EyeMaskInput(create_model(model))
    result = fit(network, dataset, out, config=config, perceptual=judge, resume=resume)
    save(
        FaceFilter(result.network, size=config.size),
        out / "filter.safetensors",
        provenance={"pairs": str(pairs.name), "model": model, "training": config.to_dict()},
    )
    say(f"Filter: {out / 'filter.safetensors'}")
    return 0


def models() -> int:
    """List the presets with their size, and the filters that come with the package."""
    import torch

    from snowai.hub import list_shipped
    from snowai.models import create_model, list_models, model_cost

    say(f"{'preset':<16}{'M parameters':>14}{'GMAC at 256':>14}")
    for name in list_models():
        parameters, macs = model_cost(create_model(name).eval(), torch.zeros(1, 4, 256, 256))
        say(f"{name:<16}{parameters / 1e6:>14.2f}{macs / 1e9:>14.2f}")
    say(f"Shipped: {', '.join(list_shipped())}")
    return 0


def demo(
    photos: Photos = (),
    /,
    out: Annotated[Path, arg(aliases=["-o"])] = Path("demo"),
    workshop: bool = False,
    config: Annotated[DemoConfig, arg(name="")] = DemoConfig(),  # noqa: B008 - frozen.
) -> int:
    """Go from two generators to a filter on a photo, with a sheet of every stage.

    Args:
        photos: Image files with a face; default the astronaut that scikit-image carries.
        out: Folder to write.
        workshop: Show the pair workshop instead: every edit, light, preset and occluder, and a set
            that is retouched, selected and balanced.
        config: Time, size and seed.
    """
    from snowai.demo import run_demo, run_workshop

    run = run_workshop if workshop else run_demo
    for name, path in run(expand(photos), out, config=config).items():
        say(f"{name:<16}{path}")
    return 0


def _targets(photos: Sequence[Path], out: Path) -> list[Path]:
    """Return where each result goes; two photos of one name would overwrite each other."""
    from snowai.image import IMAGE_SUFFIXES

    if len(photos) == 1 and out.suffix.lower() in IMAGE_SUFFIXES:
        return [out]
    targets = [out / f"{photo.stem}.png" for photo in photos]
    if len(set(targets)) < len(targets):
        twice = next(t for t in targets if targets.count(t) > 1)
        raise ValueError(f"Two photos would both be written to {twice}; filter them separately.")
    if not photos:
        raise ValueError("Name at least one photo or folder.")
    return targets
