"""Fidelity on real pairs: how near does se_unet_base come to its teacher?

    nox -s bench -- pairs_cute --data ../shared/data

Trains on the train split and reports the distances to the target on the test split, whole and
inside the eye boxes, each also as a ratio to the distance between photo and target.
The data is for measuring only: neither it, nor weights, nor the sheet enter the repository.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from results import write_section
from torch import Tensor, nn
from torch.utils.data import default_collate

from snowai.analysis import paired_distances, sheet
from snowai.faces import MediaPipeLandmarker
from snowai.image import write_image
from snowai.losses import LPIPSLoss
from snowai.models import EyeMaskInput, create_model
from snowai.pairs import CachedPairs, Pair, PairDataset
from snowai.train import TrainConfig, fit, training_preset


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        data: The folder shared/data.
        steps: Updates.
        seed: Of everything.
        threads: Of torch; leave a core to others.
        work: Folder of the run; a killed benchmark goes on from there.
    """

    data: Path = Path("../shared/data")
    steps: int = 2000
    seed: int = 0
    threads: int = 2
    work: Path = Path("runs/pairs_cute")


def main(arguments: Arguments) -> None:
    """Train what is not trained yet, measure, and write the report."""
    torch.set_num_threads(arguments.threads)
    lpips = load_lpips(arguments.data)
    train, test = (load_pairs(split, arguments.data, arguments.work) for split in ("train", "test"))
    config = training_preset(
        "fast", steps=arguments.steps, batch_size=4, precision="bf16", seed=arguments.seed
    )
    folder = arguments.work / f"base-{arguments.steps}-{arguments.seed}"
    network = train_base(train, folder, config, lpips)
    distances, rows = measure({"ours": network}, test, lpips)
    write_image(arguments.work / "sheet.png", sheet(rows, titles=[*distances, "target"]))
    write_section("pairs_cute", table(distances, config))


def load_lpips(data: Path) -> LPIPSLoss:
    """Return LPIPS on SqueezeNet's real weights."""
    weights = data / "weights" / "squeezenet1_1_imagenet.safetensors"
    return LPIPSLoss("squeeze", backbone_weights=weights)


def load_pairs(split: str, data: Path, work: Path, *, size: int = 256) -> CachedPairs:
    """Return a split with its landmarks, decoded once."""
    places = work / f"landmarks_{split}.npz"
    pairs = PairDataset(data / "pairs_cute", split=split, size=size, landmarks=places)
    pairs.find_landmarks(MediaPipeLandmarker(max_faces=1))
    return CachedPairs(pairs)


def train_base(
    pairs: CachedPairs,
    folder: Path,
    config: TrainConfig,
    lpips: LPIPSLoss,
) -> nn.Module:
    """Return se_unet_base, trained or read from its folder."""
    torch.manual_seed(config.seed)
    network = EyeMaskInput(create_model("se_unet_base"))
    return fit(network, pairs, folder, config=config, perceptual=lpips, resume=True).network


@torch.no_grad()
def measure(
    networks: Mapping[str, nn.Module], pairs: CachedPairs, lpips: LPIPSLoss, *, shown: int = 6
) -> tuple[dict[str, dict[str, float]], list[list[Tensor]]]:
    """Return the mean distances of photo and drawings to the target, and rows of a sheet."""
    sums: dict[str, dict[str, float]] = {"photo": {}} | {name: {} for name in networks}
    rows: list[list[Tensor]] = []
    for index in range(len(pairs)):
        pair = Pair(*default_collate([pairs[index]]))
        drawn = {"photo": pair.photo} | {
            name: network(pair.photo, pair.eye_mask).clamp(0, 1)
            for name, network in networks.items()
        }
        for name, image in drawn.items():
            found = paired_distances(image, pair.styled, pair.points, lpips=lpips)
            for key, value in found.items():
                sums[name][key] = sums[name].get(key, 0.0) + value / len(pairs)
        if index < shown:
            rows.append([*(image[0] for image in drawn.values()), pair.styled[0]])
    return sums, rows


def table(distances: Mapping[str, Mapping[str, float]], config: TrainConfig) -> str:
    """Return the report as Markdown."""
    names = list(distances["photo"])
    lines = [
        f'se_unet_base at 256, the preset "fast", {config.steps} steps of {config.batch_size} '
        f"pairs, bf16, seed {config.seed}, trained on a CPU; test split of pairs_cute (100 pairs). "
        "In brackets: the ratio to the distance photo-target (for SSIM: of 1 - SSIM). "
        "LPIPS-squeeze is also one of the losses.",
        "",
        f"Command: `nox -s bench -- pairs_cute --data ../shared/data --steps {config.steps}`",
        "",
        "| picture | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for name, values in distances.items():
        cells = []
        for key in names:
            away, base = values[key], distances["photo"][key]
            ratio = (1 - away) / (1 - base) if key.endswith("ssim") else away / base
            cells.append(f"{away:.4f} ({ratio:.2f})")
        title = "photo itself" if name == "photo" else name
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
