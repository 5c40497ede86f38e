"""How the shipped filter "toon" was made, from public-domain portraits to one file of 2 MB.

    python examples/train_toon.py PORTRAITS [--work runs/toon] [--steps 3400]

Draws each portrait as a toon by code, trains se_unet_base with the eye mask on the pairs, and
writes WORK/toon.safetensors in half precision with its provenance in the header. The portraits
are the 879 official portraits that the US Government Printing Office published (public domain).
A killed run goes on where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

import snowai
from snowai import checkpoint
from snowai.image import find_images
from snowai.losses import PerceptualLoss, lite0_features
from snowai.pairs import PairDataset, draw_pairs
from snowai.train import LossWeights, TrainConfig


@dataclass(frozen=True)
class Arguments:
    """What to make the filter from.

    Args:
        portraits: Folder of photos, one face each.
        work: Folder of pairs, run and result.
        steps: Updates; a step of 4 pairs took about one second on one core.
        threads: Of torch.
    """

    portraits: tyro.conf.Positional[Path]
    work: Path = Path("runs/toon")
    steps: int = 3400
    threads: int = 2


def main(arguments: Arguments) -> None:
    """Draw, train, and write the filter."""
    torch.set_num_threads(arguments.threads)
    landmarker = snowai.MediaPipeLandmarker(max_faces=1)
    draw_pairs(find_images(arguments.portraits), arguments.work / "pairs", landmarker)
    train, test = (
        PairDataset(arguments.work / "pairs", split=split) for split in ("train", "test")
    )
    for pairs in (train, test):
        pairs.find_landmarks(landmarker)
    config = TrainConfig(
        steps=arguments.steps,
        batch_size=4,
        precision="bf16",
        decay_from=0.8,
        eye_gain=16.0,
        weights=LossWeights(pixel=20.0),
        sample_every=100,
        save_every=100,
    )
    torch.manual_seed(config.seed)
    result = snowai.fit(
        snowai.EyeMaskInput(snowai.create_model("se_unet_base")),
        train,
        arguments.work / "run",
        config=config,
        perceptual=PerceptualLoss(lite0_features()),
        samples=test,
        resume=True,
    )
    provenance = {
        "name": "toon",
        "licence": "Apache-2.0",
        "data": (
            "879 official portraits of members of the US Congress, US Government Printing Office, "
            "public domain (unitedstates/images, thumbnails by Hainish/congress-images-225x275); "
            "styled by snowai.pairs.toon"
        ),
        "pairs": len(train),
        "command": "python examples/train_toon.py PORTRAITS",
        "steps": config.steps,
        "training": config.to_dict(),
        "intended_use": "Face filter for photos and previews; mostly frontal adult faces.",
        "limits": "No closed eyes in the training data; glasses are drawn, but not always whole.",
    }
    face_filter = snowai.FaceFilter(result.network)
    path = arguments.work / "toon.safetensors"
    checkpoint.save(face_filter, path, provenance=provenance, dtype=torch.float16)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
