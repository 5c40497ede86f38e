"""The whole chain on one photo: pairs, training, a filter, and a picture that compares."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from snowai.analysis import sheet
from snowai.checkpoint import save
from snowai.faces import MediaPipeLandmarker, align, paste_back
from snowai.filters import FaceFilter
from snowai.image import read_image, to_tensor, write_image
from snowai.losses import PerceptualLoss, lite0_features
from snowai.models import EyeMaskInput, create_model
from snowai.pairs import PairDataset, draw_pairs
from snowai.train import LossWeights, TrainConfig, fit

__all__ = ["DemoConfig", "run_demo"]

_SIDE = 512  # Of the pictures in the comparison, in pixels.


@dataclass(frozen=True)
class DemoConfig:
    """The demonstration's numbers.

    Args:
        seconds: Time to train, about.
        views: Pairs drawn from each face.
        size: Side of the crops, in pixels.
        seed: Of everything random.
    """

    seconds: float = 90.0
    views: int = 24
    size: int = 256
    seed: int = 0


def run_demo(
    photos: Sequence[str | Path] = (),
    out: str | Path = "demo",
    *,
    config: DemoConfig | None = None,
) -> dict[str, Path]:
    """Draw pairs from photos, train a tiny filter on them, and compare it with the shipped one.

    Args:
        photos: Image files with a face; default scikit-image's astronaut (NASA, public domain).
        out: Folder to write: comparison.png, filter.safetensors and metrics.jsonl.
        config: Time, size and seed.

    Returns:
        What was made, by name.

    Raises:
        ValueError: No photo shows a face.
        ImportError: A package of the demo is missing.
    """
    out, config = Path(out), config or DemoConfig()
    out.mkdir(parents=True, exist_ok=True)
    paths = [Path(photo) for photo in photos] or [_astronaut(out)]
    landmarker = MediaPipeLandmarker()
    with tempfile.TemporaryDirectory(dir=out) as work:
        pairs_folder = Path(work) / "pairs"
        draw_pairs(
            paths,
            pairs_folder,
            landmarker,
            size=config.size,
            views=config.views,
            seed=config.seed,
        )
        pairs = PairDataset(pairs_folder, size=config.size)
        pairs.find_landmarks(landmarker)
        network, steps = _train(pairs, Path(work), config)
        (Path(work) / "run" / "metrics.jsonl").replace(out / "metrics.jsonl")
    trained = FaceFilter(network, size=config.size)
    provenance = {"style": "snowai.pairs.toon", "photos": [p.name for p in paths], "steps": steps}
    save(trained, out / "filter.safetensors", provenance=provenance)
    shipped = FaceFilter.from_pretrained("toon")
    trained.landmarker = shipped.landmarker = landmarker
    write_image(out / "comparison.png", _compare(paths, trained, shipped))
    return {
        "comparison": out / "comparison.png",
        "filter": out / "filter.safetensors",
        "metrics": out / "metrics.jsonl",
    }


def _astronaut(out: Path) -> Path:
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise ImportError(
            "The demo's photo comes with scikit-image: pip install 'snowai[analysis]', "
            "or name a photo of your own."
        ) from error
    write_image(out / "photo.png", to_tensor(astronaut()))
    return out / "photo.png"


def _train(pairs: PairDataset, work: Path, config: DemoConfig) -> tuple[nn.Module, int]:
    """Train for about the wanted time: a few steps tell how many that is."""
    perceptual = PerceptualLoss(lite0_features())
    trial = TrainConfig(
        steps=6,
        batch_size=2,
        size=config.size,
        precision="bf16",
        warmup=10,
        ema=0.98,
        learning_rate=3e-3,
        eye_gain=8.0,
        weights=LossWeights(pixel=20.0, adversarial=0.0, feature_matching=0.0),
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
    """Lay out photo, eye mask, just trained and shipped: the whole photo, and close up."""
    rows = []
    for path in paths:
        photo = read_image(path)
        crops = shipped.cut(photo)
        if not crops.faces:
            continue
        images: list[Tensor] = [face_filter(photo).image for face_filter in (trained, shipped)]
        mask = _whole_mask(crops.eye_masks[:1], crops.matrices[:1], photo)
        rows.append([photo, mask, *images])
        close = crops.matrices[:1] * (_SIDE / shipped.size)
        rows.append([align(image[None], close, _SIDE)[0] for image in (photo, mask, *images)])
    return sheet(rows, titles=["photo", "eye mask", "just trained", "shipped"], max_height=_SIDE)


def _whole_mask(mask: Tensor, matrix: Tensor, photo: Tensor) -> Tensor:
    """Return the crop's eye mask in the photo's place."""
    return paste_back(torch.zeros_like(photo[None, :1]), mask, matrix)[0]
