"""snowai apply, models, demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from torch import nn
from tqdm.auto import tqdm
from tyro.conf import arg

from snowai.cli.words import Photos, expand, say
from snowai.demo import DemoConfig
from snowai.video.clips import VIDEO_SUFFIXES

__all__ = ["apply", "demo", "models"]


def apply(
    photos: Photos,
    /,
    out: Annotated[Path, arg(aliases=["-o"])],
    filter: Annotated[str, arg(aliases=["-f"])] = "toon",  # noqa: A002 - the word users type.
    strength: float = 1.0,
    landmarks_every: int = 1,
    device: str = "cpu",
) -> int:
    """Filter photos and video clips.

    Args:
        photos: Image files, clips (.mp4, .mov, .mkv ...), or folders of images.
        out: Folder to write to; for one photo or clip also a file name.
        filter: Shipped name, .safetensors file, folder or Hub id: of a filter for faces, or for
            whole photos ("toon-photo").
        strength: 0 leaves the photo, 1 is the whole filter.
        landmarks_every: In clips, look for faces in every n-th frame only.
        device: Where the network runs: cpu, cuda, mps.
    """
    from snowai.filters import FaceFilter, PhotoFilter
    from snowai.hub import from_pretrained
    from snowai.image import BadImage

    paths = expand(photos)
    chosen = from_pretrained(filter, device=device)
    if not isinstance(chosen, FaceFilter | PhotoFilter):
        raise ValueError(f"{filter} holds a {type(chosen).__name__}, not a filter.")
    failed = 0
    for path, target in zip(tqdm(paths, unit="photo"), _targets(paths, out), strict=True):
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                _apply_to_clip(path, target, chosen, strength, landmarks_every)
            else:
                _apply_to_photo(path, target, chosen, strength)
        except (BadImage, FileNotFoundError) as error:
            say(f"snowai apply: {error}", error=True)
            failed += 1
    say(f"{len(paths) - failed} of {len(paths)} written to {out}.")
    return 1 if failed else 0


def _apply_to_photo(path: Path, target: Path, chosen: nn.Module, strength: float) -> None:
    from snowai.filters import FaceFilter
    from snowai.image import read_image, write_image

    result = chosen(read_image(path), strength=strength)
    if isinstance(chosen, FaceFilter) and not result.found:
        say(f"{path}: no face found; written unchanged.")
    write_image(target, result.image)


def _apply_to_clip(
    path: Path, target: Path, chosen: nn.Module, strength: float, every: int
) -> None:
    from snowai.filters import FaceFilter
    from snowai.video import filter_video

    if not isinstance(chosen, FaceFilter):
        raise ValueError(
            f"{path} is a clip, and {type(chosen).__name__} draws photos: frame by frame it would "
            "be slow and flicker. Use a filter for faces."
        )
    result = filter_video(path, target, chosen, strength=strength, landmarks_every=every)
    say(f"{path}: a face in {result.with_face} of {result.frames} frames.")


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
    """Return where each result goes; two of one name would overwrite each other."""
    from snowai.image import IMAGE_SUFFIXES

    if not photos:
        raise ValueError("Name at least one photo or folder.")
    if len(photos) == 1 and out.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        return [out]
    targets = [out / f"{photo.stem}{_suffix(photo)}" for photo in photos]
    if len(set(targets)) < len(targets):
        twice = next(t for t in targets if targets.count(t) > 1)
        raise ValueError(f"Two photos would both be written to {twice}; filter them separately.")
    return targets


def _suffix(path: Path) -> str:
    return ".mp4" if path.suffix.lower() in VIDEO_SUFFIXES else ".png"
