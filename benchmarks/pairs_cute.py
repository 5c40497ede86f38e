"""Fidelity on real pairs: does the eye mask help? The baseline that later networks must beat.

    nox -s bench -- pairs_cute --data ../shared/data

Trains se_unet_base with and without the eye mask as input: same pairs, steps, seed, losses (the
loss weighs the eyes alike in both). Reports the distances to the target on the test split, whole
and inside the eye boxes, each also as a ratio to the distance between photo and target.
The data is for measuring only: neither it, nor weights, nor the sheet enter the repository.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from results import write_section
from torch import Tensor, nn
from torch.utils.data import default_collate

from snowai import checkpoint
from snowai.analysis import paired_distances, sheet
from snowai.faces import MediaPipeLandmarker
from snowai.image import write_image
from snowai.losses import LPIPSLoss
from snowai.models import EyeMaskInput, create_model
from snowai.pairs import Pair, PairDataset
from snowai.train import LossWeights, TrainConfig, fit


@checkpoint.keeps_config
class RGBInput(nn.Module):
    """Leave the mask out: the comparison's other arm."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, _eye_mask: Tensor | None = None) -> Tensor:
        """Run the network on the photo alone."""
        output: Tensor = self.network(image)
        return output


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        data: The folder shared/data.
        steps: Updates of each arm.
        batch_size: Pairs a step.
        seed: Of both arms.
        threads: Of torch; leave a core to others.
        work: Folder of the runs; a killed benchmark goes on from there.
        arms: Which inputs to train, "mask" and "rgb".
    """

    data: Path = Path("../shared/data")
    steps: int = 1500
    batch_size: int = 4
    seed: int = 0
    threads: int = 2
    work: Path = Path("runs/pairs_cute")
    arms: tuple[str, ...] = ("mask", "rgb")


def main(arguments: Arguments) -> None:
    """Train what is not trained yet, measure, and write the report."""
    torch.set_num_threads(arguments.threads)
    weights = arguments.data / "weights" / "squeezenet1_1_imagenet.safetensors"
    lpips = LPIPSLoss("squeeze", backbone_weights=weights)
    sets = {
        split: PairDataset(
            arguments.data / "pairs_cute",
            split=split,
            landmarks=arguments.work / f"landmarks_{split}.npz",
        )
        for split in ("train", "test")
    }
    for pairs in sets.values():
        pairs.find_landmarks(MediaPipeLandmarker(max_faces=1))
    networks = {arm: train(arm, sets["train"], lpips, arguments) for arm in arguments.arms}
    report(networks, sets["test"], lpips, arguments)


def train(arm: str, pairs: PairDataset, lpips: LPIPSLoss, arguments: Arguments) -> nn.Module:
    """Return an arm's network, trained or read from its folder."""
    folder = arguments.work / f"{arm}-{arguments.steps}-{arguments.seed}"
    config = TrainConfig(
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        precision="bf16",
        eye_grow=0.0,
        seed=arguments.seed,
        weights=LossWeights(perceptual=10.0, adversarial=0.0, feature_matching=0.0),
        sample_every=100,
        save_every=100,
    )
    torch.manual_seed(arguments.seed)
    mask = arm == "mask"
    inner = create_model("se_unet_base", in_channels=4 if mask else 3)
    network = EyeMaskInput(inner) if mask else RGBInput(inner)
    return fit(network, pairs, folder, config=config, perceptual=lpips, resume=True).network


@torch.no_grad()
def report(
    networks: Mapping[str, nn.Module], pairs: PairDataset, lpips: LPIPSLoss, arguments: Arguments
) -> None:
    """Measure on the test split and write table and sheet."""
    sums: dict[str, dict[str, float]] = {"photo": {}} | {arm: {} for arm in networks}
    rows: list[Sequence[Tensor]] = []
    for index in range(len(pairs)):
        pair = Pair(*default_collate([pairs[index]]))
        drawn = {"photo": pair.photo} | {
            arm: network(pair.photo, pair.eye_mask).clamp(0, 1) for arm, network in networks.items()
        }
        for arm, image in drawn.items():
            found = paired_distances(image, pair.styled, pair.points, lpips=lpips)
            for name, value in found.items():
                sums[arm][name] = sums[arm].get(name, 0.0) + value / len(pairs)
        if index < 6:
            rows.append([*(image[0] for image in drawn.values()), pair.styled[0]])
    write_image(arguments.work / "sheet.png", sheet(rows, titles=[*sums, "target"]))
    write_section("pairs_cute", table(sums, arguments))


def table(sums: Mapping[str, Mapping[str, float]], arguments: Arguments) -> str:
    """Return the report as Markdown."""
    titles = {"photo": "photo itself", "mask": "RGB + eye mask", "rgb": "RGB only"}
    names = list(sums["photo"])
    lines = [
        f"se_unet_base at 256, {arguments.steps} steps of {arguments.batch_size} pairs, bf16, seed "
        f"{arguments.seed}, L1 (eyes x5) + LPIPS-squeeze, no discriminator; test split of "
        "pairs_cute (100 pairs). In brackets: the ratio to the distance photo-target "
        "(for SSIM: of 1 - SSIM). LPIPS is also what was trained on.",
        "",
        f"Command: `nox -s bench -- pairs_cute --data ../shared/data --steps {arguments.steps}`",
        "",
        "| input | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for arm, values in sums.items():
        cells = []
        for name in names:
            away, base = values[name], sums["photo"][name]
            ratio = (1 - away) / (1 - base) if name.endswith("ssim") else away / base
            cells.append(f"{away:.4f} ({ratio:.2f})")
        lines.append(f"| {titles[arm]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
