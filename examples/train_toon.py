"""How the shipped filters "toon" and "toon-photo" were made, from portraits to two files.

    python examples/train_toon.py PORTRAITS [--work runs/toon] [--only toon]

Draws each portrait as a toon by code, closes eyes, turns glances, adds smiles and glasses in copies
of those pairs, and cuts squares out of the whole portraits. On the faces an SE-U-Net learns "toon",
with the eye mask; on faces and squares together edit_base learns "toon-photo". The
portraits are the 879 official ones that the US Government Printing Office published (public
domain). A killed run goes on where it stopped.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro

import snowai
from snowai import checkpoint
from snowai.image import find_images
from snowai.losses import lite0_loss
from snowai.models import EyeMaskInput, SEUNet, create_model
from snowai.pairs import (
    CachedPairs,
    MixedPairs,
    PairDataset,
    Retouch,
    RetouchRecipe,
    ToonStyle,
    draw_frames,
    draw_pairs,
    retouch_pairs,
)
from snowai.train import TrainConfig, training_preset

RECIPE = RetouchRecipe(
    (
        Retouch("close_eyes", 0.7, 1.0, share=0.3),
        Retouch("wink", -1.0, 1.0, share=0.1),
        Retouch("shift_gaze", -0.9, 0.9, share=0.3),
        Retouch("smile", -0.5, 1.0, share=0.3),
        Retouch("open_mouth", 0.2, 1.0, share=0.2),
        Retouch("glasses", share=0.2),
    ),
    seed=1,
)
FACTS = {
    "licence": "Apache-2.0",
    "data": (
        "879 official portraits of members of the US Congress, US Government Printing Office, "
        "public domain (unitedstates/images, thumbnails by Hainish/congress-images-225x275); "
        "styled by snowai.pairs.toon, retouched by snowai.pairs.retouch_pairs"
    ),
    "command": "python examples/train_toon.py PORTRAITS",
}


@dataclass(frozen=True)
class Arguments:
    """What to make the filters from.

    Args:
        portraits: Folder of photos, one face each.
        work: Folder of pairs, runs and results.
        steps: Updates of "toon".
        photo_steps: Updates of "toon-photo".
        only: Make one of the two.
        threads: Of torch.
    """

    portraits: tyro.conf.Positional[Path]
    work: Path = Path("runs/toon")
    steps: int = 2000
    photo_steps: int = 1200
    only: Literal["both", "toon", "toon-photo"] = "both"
    threads: int = 2


def main(arguments: Arguments) -> None:
    """Draw, train, and write the filters."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    work, photos = arguments.work, find_images(arguments.portraits)
    landmarker = snowai.MediaPipeLandmarker(max_faces=1)
    if arguments.only != "toon-photo":
        # Laid back into a photo, a crop that is brighter all over would show as a square.
        faces = draw_faces(photos, work / "faces", ToonStyle(around=0.0), landmarker)
        config = training_preset("fast", steps=arguments.steps, batch_size=4, precision="bf16")
        config = replace(config, weights=replace(config.weights, temporal=1.0))
        # Half again as large as se_unet_base: 0.43 GMAC, for stills as well as for previews.
        network = SEUNet(4, widths=(24, 40, 56, 96, 144), depths=(2, 2, 3, 3))
        trained = train(network, faces, work / "toon-run", config)
        ship(snowai.FaceFilter(trained), work / "toon.safetensors", config)
    if arguments.only != "toon":
        sets = draw_faces(photos, work / "pairs", ToonStyle(), landmarker)
        draw_frames(photos[::3], work / "frames", landmarker)  # Enough: backgrounds repeat.
        sets.append(load(work / "frames", landmarker))
        config = training_preset(
            "fast", steps=arguments.photo_steps, batch_size=3, precision="bf16", learning_rate=2e-3
        )
        trained = train(create_model("edit_base"), sets, work / "photo-run", config)
        # Lines are as wide in a photo of 12 megapixels as in a portrait.
        ship(snowai.PhotoFilter(trained, side=720), work / "toon-photo.safetensors", config)


def draw_faces(
    photos: list[Path], root: Path, style: ToonStyle, landmarker: snowai.MediaPipeLandmarker
) -> list[CachedPairs]:
    """Return the faces of all photos, drawn, and a retouched copy of them."""
    copy = root.with_name(f"{root.name}-retouched")
    draw_pairs(photos, root, landmarker, style=style)
    retouch_pairs(root, copy, RECIPE, landmarker)
    return [load(root, landmarker), load(copy, landmarker)]


def load(root: Path, landmarker: snowai.MediaPipeLandmarker) -> CachedPairs:
    """Return the training pairs with their landmarks, decoded once."""
    pairs = PairDataset(root, split="train")
    pairs.find_landmarks(landmarker)
    return CachedPairs(pairs, root / "train.cache")


def train(
    network: torch.nn.Module,
    sets: list[CachedPairs],
    folder: Path,
    config: TrainConfig,
) -> EyeMaskInput:
    """Return the network as it has learnt."""
    return snowai.fit(
        EyeMaskInput(network),
        MixedPairs(sets),
        folder,
        config=replace(config, sample_every=100, save_every=100),
        perceptual=lite0_loss(),
        resume=True,
    ).network


def ship(made: torch.nn.Module, path: Path, config: TrainConfig) -> None:
    """Write a filter in half precision, with all that is known of it."""
    facts = FACTS | {
        "name": path.stem,
        "steps": config.steps,
        "training": config.to_dict(),
        "intended_use": "Photos and previews of people; mostly frontal adult faces.",
        "limits": "Learnt from drawings made by code; no children and few profiles among them.",
    }
    checkpoint.save(made, path, provenance=facts, dtype=torch.float16)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
