"""Which learning rate holds from 32 to 512 pixels? The default must not be far from the best.

    nox -s bench -- learning_rate --data ../shared/data

se_unet_base on pairs_cute with the preset "fast", a short run for every size and rate; the figure
is the L1 distance to the target on 40 test pairs, as a ratio to the photo's own.
The data is for measuring only: neither it nor weights enter the repository.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from pairs_cute import load_lpips, load_pairs, measure, train_base
from results import write_section
from torch.utils.data import Subset

from snowai._files import write_text
from snowai.train import TrainConfig, training_preset

STEPS: Mapping[int, tuple[int, int]] = {  # Size: steps, batch size.
    32: (200, 16),
    64: (200, 8),
    128: (150, 4),
    256: (80, 4),
    512: (40, 2),
}


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        data: The folder shared/data.
        rates: Learning rates.
        sizes: Sides of the pictures, of STEPS.
        threads: Of torch.
        work: Folder of the runs; a killed benchmark goes on from there.
    """

    data: Path = Path("../shared/data")
    rates: tuple[float, ...] = (2e-3, 4e-3, 8e-3, 16e-3)
    sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    threads: int = 2
    work: Path = Path("runs/learning_rate")


def main(arguments: Arguments) -> None:
    """Train and measure what is not there yet, and write the table."""
    torch.set_num_threads(arguments.threads)
    lpips = load_lpips(arguments.data)
    ratios: dict[int, dict[float, float]] = {}
    for size in arguments.sizes:
        train, test = (
            load_pairs(split, arguments.data, arguments.work, size=size)
            for split in ("train", "test")
        )
        ratios[size] = {}
        for rate in arguments.rates:
            path = arguments.work / f"{size}-{rate:g}.json"
            if not path.is_file():
                network = train_base(train, path.with_suffix(""), config(size, rate), lpips)
                found, _ = measure({"ours": network}, Subset(test, range(40)), lpips)
                write_text(path, json.dumps(found))
            found = json.loads(path.read_text())
            ratios[size][rate] = found["ours"]["l1"] / found["photo"]["l1"]
    write_section("learning_rate", table(ratios, arguments))


def config(size: int, rate: float) -> TrainConfig:
    """Return a short run."""
    steps, batch = STEPS[size]
    return training_preset(
        "fast",
        steps=steps,
        batch_size=batch,
        size=size,
        learning_rate=rate,
        precision="bf16",
        warmup=10,
        ema=0.95,
        sample_every=10_000,
        save_every=10_000,
    )


def table(ratios: Mapping[int, Mapping[float, float]], arguments: Arguments) -> str:
    """Return the report as Markdown; the best of each size is bold."""
    lines = [
        "L1 distance to the target as a ratio to the photo's own after a short run "
        "(steps and batch in brackets); lower is better. Command: "
        "`nox -s bench -- learning_rate --data ../shared/data`",
        "",
        "| size | " + " | ".join(f"{rate:g}" for rate in arguments.rates) + " |",
        "|---|" + "---|" * len(arguments.rates),
    ]
    for size, found in ratios.items():
        best = min(found.values())
        cells = [f"**{x:.3f}**" if x == best else f"{x:.3f}" for x in found.values()]
        lines.append(
            f"| {size} ({STEPS[size][0]} x {STEPS[size][1]}) | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
