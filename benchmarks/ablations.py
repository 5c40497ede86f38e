"""What each part is worth: one change at a time around the preset "fast", on pairs_cute.

    nox -s bench -- ablations --data ../shared/data [--arms base "no eye mask"] [--seeds 0 1 2]

Short runs of se_unet_base at 128 pixels: all arms see the same pairs in the same order for each
seed. The table has the distances to the target on the test split and, for LPIPS and SSIM, the
difference to the base with its 95 % interval over the seeds (Student's t on the paired
differences). Finished runs are kept, so arms and seeds can be added.
The data is for measuring only: neither it nor weights enter the repository.
"""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from pairs_cute import load_lpips, load_pairs, measure
from results import write_section
from scipy.stats import t as student
from torch import Tensor, nn
from torch.utils.data import Subset
from variants import VARIANTS

from snowai._files import write_text
from snowai.checkpoint import keeps_config
from snowai.losses import LPIPSLoss
from snowai.models import EyeMaskInput
from snowai.pairs import CachedPairs, PairAugment
from snowai.train import TrainConfig, fit, training_preset


@keeps_config
class RGBInput(nn.Module):
    """Leave the mask out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, _eye_mask: Tensor | None = None) -> Tensor:
        """Run the network on the photo alone."""
        output: Tensor = self.network(image)
        return output


@dataclass(frozen=True)
class Arm:
    """One change.

    Args:
        network: Which of VARIANTS.
        config: Fields of the training's configuration.
        weights: Of the losses.
        mask: Whether the network sees the eye mask.
        pairs: How many pairs it learns from; 0 is all.
        augment: Arguments of PairAugment.
    """

    network: str = "base"
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    mask: bool = True
    pairs: int = 0
    augment: Mapping[str, Any] = field(default_factory=dict)


ARMS: Mapping[str, Arm] = {
    "base": Arm(),
    "issue A's recipe": Arm(
        config={"learning_rate": 1e-3},
        weights={"structure": 0.0, "eyes": 0.0},
        augment={"moved": 1.0, "degrade": 0.2},
    ),
    "no eye mask": Arm(mask=False),
    "no LPIPS": Arm(weights={"perceptual": 0.0, "eyes": 0.0}),
    "no SSIM": Arm(weights={"structure": 0.0}),
    "no LPIPS of the eyes": Arm(weights={"eyes": 0.0}),
    "eyes weigh as the rest": Arm(config={"eye_gain": 0.0}, weights={"eyes": 0.0}),
    "adversarial and feature matching": Arm(weights={"adversarial": 0.2, "feature_matching": 2.0}),
    "feature matching": Arm(weights={"feature_matching": 2.0}),
    "adversarial": Arm(weights={"adversarial": 0.2}),
    "every photo moved": Arm(augment={"moved": 1.0, "degrade": 0.2}),
    "100 pairs": Arm(pairs=100),
    "300 pairs": Arm(pairs=300),
    "600 pairs": Arm(pairs=600),
    **{name: Arm(network=name) for name in VARIANTS if name != "base"},
}


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        data: The folder shared/data.
        arms: Names of ARMS; none is all.
        seeds: Each arm is trained once with each.
        steps: Updates of each run.
        size: Side of the pictures, in pixels.
        threads: Of torch.
        work: Folder of the runs.
    """

    data: Path = Path("../shared/data")
    arms: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 300
    size: int = 128
    threads: int = 2
    work: Path = Path("runs/ablations")


def main(arguments: Arguments) -> None:
    """Train and measure what is not there yet, and write the table of all that is."""
    torch.set_num_threads(arguments.threads)
    lpips = load_lpips(arguments.data)
    train, test = (
        load_pairs(split, arguments.data, arguments.work, size=arguments.size)
        for split in ("train", "test")
    )
    for seed in arguments.seeds:
        for name in arguments.arms or ARMS:
            path = result_path(name, seed, arguments)
            if not path.is_file():
                network = train_arm(name, seed, train, lpips, arguments)
                found, _ = measure({name: network}, test, lpips)
                write_text(path, json.dumps(found[name]))
                write_text(arguments.work / "photo.json", json.dumps(found["photo"]))
    write_section("ablations", table(arguments))


def train_arm(
    name: str, seed: int, pairs: CachedPairs, lpips: LPIPSLoss, arguments: Arguments
) -> nn.Module:
    """Return an arm's network."""
    arm = ARMS[name]
    config: TrainConfig = training_preset(
        "fast",
        steps=arguments.steps,
        batch_size=4,
        size=arguments.size,
        precision="bf16",
        ema=0.99,
        seed=seed,
        sample_every=10_000,
        save_every=10_000,
        validate_every=10_000,
    )
    config = replace(config, **arm.config, weights=replace(config.weights, **arm.weights))
    torch.manual_seed(seed)
    inner = VARIANTS[arm.network](4 if arm.mask else 3)
    network = EyeMaskInput(inner) if arm.mask else RGBInput(inner)
    folder = arguments.work / f"{slug(name)}-{arguments.size}-{arguments.steps}-{seed}"
    some = Subset(pairs, range(arm.pairs)) if arm.pairs else pairs
    judge = lpips if config.weights.perceptual > 0 else None
    augment = PairAugment(**arm.augment)
    return fit(
        network, some, folder, config=config, perceptual=judge, augment=augment, resume=True
    ).network


def table(arguments: Arguments) -> str:
    """Return the report as Markdown."""
    base = results("base", arguments)
    photo = json.loads((arguments.work / "photo.json").read_text())
    lines = [
        f"se_unet_base at {arguments.size}, {arguments.steps} steps of 4 pairs, bf16, the preset "
        f'"fast" with one change; test split of pairs_cute. The photo itself: LPIPS '
        f"{photo['lpips']:.4f}, LPIPS in the eye boxes {photo['eye_lpips']:.4f}, SSIM "
        f"{photo['ssim']:.4f}. In brackets: difference to the base, with the 95 % interval over "
        "the seeds.",
        "",
        "Command: `nox -s bench -- ablations --data ../shared/data`",
        "",
        "| change | seeds | LPIPS | LPIPS, eyes | SSIM |",
        "|---|---|---|---|---|",
    ]
    for name in ARMS:
        found = results(name, arguments)
        if found:
            cells = [cell(found, base, key) for key in ("lpips", "eye_lpips", "ssim")]
            lines.append(f"| {name} | {len(found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(
    found: Mapping[int, Mapping[str, float]], base: Mapping[int, Mapping[str, float]], key: str
) -> str:
    """Return a mean over the seeds and its difference to the base's."""
    mean = statistics.fmean(row[key] for row in found.values())
    gaps = [row[key] - base[seed][key] for seed, row in found.items() if seed in base]
    if len(gaps) < 2 or not any(gaps):
        return f"{mean:.4f}"
    reach = float(student.ppf(0.975, len(gaps) - 1)) * statistics.stdev(gaps) / math.sqrt(len(gaps))
    return f"{mean:.4f} ({statistics.fmean(gaps):+.4f} ± {reach:.4f})"


def results(name: str, arguments: Arguments) -> dict[int, dict[str, float]]:
    """Return what was measured of an arm, by seed."""
    paths = {seed: result_path(name, seed, arguments) for seed in range(100)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.is_file()}


def result_path(name: str, seed: int, arguments: Arguments) -> Path:
    """Return where an arm's distances are kept."""
    kind = f"{slug(name)}-{arguments.size}-{arguments.steps}-{seed}"
    return arguments.work / f"{kind}.json"


def slug(name: str) -> str:
    """Return a name for files."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
