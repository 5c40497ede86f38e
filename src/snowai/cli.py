"""The command line: every subcommand is one library call."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from torch import nn
from tqdm.auto import tqdm
from tyro.conf import Positional, arg

from snowai.demo import DemoConfig
from snowai.train import TrainConfig

__all__ = ["main"]

Photos = Positional[tuple[Path, ...]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 well, 1 some photos failed, 2 an error.

    Errors are one sentence on standard error; ``--debug`` shows where they come from.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return int(
            _app().cli(prog="snowai", description="Build AI face filters.", args=arguments) or 0
        )
    except KeyboardInterrupt:
        _say("snowai: stopped.", error=True)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if debug:
            raise
        command = " ".join(word for word in arguments[:1] if not word.startswith("-"))
        _say(f"snowai {command}: {error}", error=True)
        return 2


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

    paths = _expand(photos)
    face_filter = FaceFilter.from_pretrained(filter, device=device)
    failed = 0
    for path, target in zip(tqdm(paths, unit="photo"), _targets(paths, out), strict=True):
        try:
            result = face_filter(read_image(path), strength=strength)
        except (BadImage, FileNotFoundError) as error:
            _say(f"snowai apply: {error}", error=True)
            failed += 1
            continue
        if not result.found:
            _say(f"{path}: no face found; written unchanged.")
        write_image(target, result.image)
    _say(f"{len(paths) - failed} of {len(paths)} photos written to {out}.")
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
        _say(f"{len(dataset)} training pairs; no face found in {missed}.")
    judge = _perceptual(perceptual, backbone_weights) if config.weights.perceptual > 0 else None
    torch.manual_seed(config.seed)
    network = EyeMaskInput(create_model(model))
    result = fit(network, dataset, out, config=config, perceptual=judge, resume=resume)
    save(
        FaceFilter(result.network, size=config.size),
        out / "filter.safetensors",
        provenance={"pairs": str(pairs.name), "model": model, "training": config.to_dict()},
    )
    _say(f"Filter: {out / 'filter.safetensors'}")
    return 0


def check(pairs: Positional[Path], /) -> int:
    """Check a pair set before training on it.

    Args:
        pairs: Folder with photo/, styled/ and, if you like, metadata.jsonl.
    """
    from snowai.pairs import check_pairs, read_pairs

    records = read_pairs(pairs)
    check_pairs(pairs, tqdm(records, unit="pair"))
    counts = {split: sum(r.split == split for r in records) for split in ("train", "val", "test")}
    _say(f"{len(records)} pairs: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 0


def draw(
    photos: Photos,
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    size: int = 256,
    views: int = 1,
    seed: int = 0,
) -> int:
    """Make a pair set from photos, drawn as toons by code.

    Args:
        photos: Image files, or folders of them.
        out: Folder of the pair set.
        size: Side of the crops, in pixels.
        views: Pairs for each face: the first upright, the others turned and shifted.
        seed: Of the views.
    """
    from snowai.faces import MediaPipeLandmarker
    from snowai.pairs import draw_pairs

    records = draw_pairs(
        _expand(photos), out, MediaPipeLandmarker(), size=size, views=views, seed=seed
    )
    _say(f"{len(records)} pairs in {out}.")
    return 0


def models() -> int:
    """List the presets with their size, and the filters that come with the package."""
    import torch

    from snowai.hub import list_shipped
    from snowai.models import create_model, list_models, model_cost

    _say(f"{'preset':<16}{'M parameters':>14}{'GMAC at 256':>14}")
    for name in list_models():
        parameters, macs = model_cost(create_model(name).eval(), torch.zeros(1, 4, 256, 256))
        _say(f"{name:<16}{parameters / 1e6:>14.2f}{macs / 1e9:>14.2f}")
    _say(f"Shipped filters: {', '.join(list_shipped())}")
    return 0


def demo(
    photos: Photos = (),
    /,
    out: Annotated[Path, arg(aliases=["-o"])] = Path("demo"),
    config: Annotated[DemoConfig, arg(name="")] = DemoConfig(),  # noqa: B008 - frozen.
) -> int:
    """Train a tiny filter on one photo and compare it with the shipped one.

    Args:
        photos: Image files with a face; default the astronaut that scikit-image carries.
        out: Folder to write.
        config: Time, size and seed.
    """
    from snowai.demo import run_demo

    for name, path in run_demo(_expand(photos), out, config=config).items():
        _say(f"{name:<12}{path}")
    return 0


def _app() -> tyro.extras.SubcommandApp:
    app, pairs = tyro.extras.SubcommandApp(), tyro.extras.SubcommandApp()
    app.command(apply)
    app.command(train)
    app.command(models)
    app.command(demo)
    pairs.command(check)
    pairs.command(draw)
    app.command(pairs, name="pairs")
    return app


def _perceptual(name: str, weights: Path | None) -> nn.Module:
    from snowai.losses import LPIPSLoss, PerceptualLoss, lite0_features

    if name == "lite0":
        return PerceptualLoss(lite0_features())
    return LPIPSLoss(name.removeprefix("lpips-"), backbone_weights=weights)


def _expand(photos: Sequence[Path]) -> list[Path]:
    """Replace folders by the images in them."""
    from snowai.image import find_images

    return [
        path for photo in photos for path in (find_images(photo) if photo.is_dir() else [photo])
    ]


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


def _say(text: str, *, error: bool = False) -> None:
    tqdm.write(text, file=sys.stderr if error else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
