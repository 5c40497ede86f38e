"""What a training step costs, beside a pix2pixHD-like one.

    nox -s bench -- train_step [--size 256] [--batch-size 4]

The peer's step: ResNet-9 generator, two-scale discriminator of full width (64) with instance norm
and feature matching, and VGG19 features, in float32, as in https://arxiv.org/abs/1711.11585. Ours:
se_unet_base with a preset's losses, on LPIPS-squeeze, in bfloat16. All weights are random: time
does not depend on them. Steps take turns; the ratio is the median over the rounds.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from results import write_section
from textbook_networks import ResNet9
from timing import ratio, typical
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.models import vgg19

from snowai.losses import (
    LPIPSLoss,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)
from snowai.models import EyeMaskInput, MultiScaleDiscriminator, create_model
from snowai.pairs import Pair
from snowai.train import TrainConfig, training_preset
from snowai.train.loop import Run

PEER = "pix2pixHD-like"


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        size: Side of the pictures, in pixels.
        batch_size: Pairs a step.
        threads: Of torch.
        rounds: Steps of each kind that are timed.
    """

    size: int = 256
    batch_size: int = 4
    threads: int = 2
    rounds: int = 3


class Noise(Dataset[Pair]):
    """Random pairs of one size."""

    def __init__(self, size: int) -> None:
        image = torch.rand(3, size, size)
        points = torch.rand(478, 2) * size / 4 + size / 4
        self.pair = Pair(image, image.flip(0), image[:1], points)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return 64

    def __getitem__(self, _index: int) -> Pair:
        """Return the pair."""
        return self.pair


def main(arguments: Arguments) -> None:
    """Time the steps and write the table."""
    torch.set_num_threads(arguments.threads)
    lpips = LPIPSLoss("squeeze", backbone_weights="random")
    calls = {PEER: peer_step(arguments)}
    for name in ("fast", "quality"):
        config = training_preset(
            name,
            steps=10**6,
            batch_size=arguments.batch_size,
            size=arguments.size,
            precision="bf16",
            adversarial_from=0.0,
            temporal_from=0.0,
        )
        calls[f'ours, preset "{name}"'] = our_step(config, lpips)
    for call in calls.values():
        call()
    measured = [
        {name: timed(call) for name, call in calls.items()} for _ in range(arguments.rounds)
    ]
    lines = [
        f"Batch {arguments.batch_size} at {arguments.size}, {arguments.threads} threads, "
        f"{arguments.rounds} rounds taking turns; every loss of the preset switched on. Command: "
        "`nox -s bench -- train_step`",
        "",
        "| step | ratio | seconds |",
        "|---|---|---|",
    ]
    for name in calls:
        seconds = typical(measured, name) / 1e3
        lines.append(f"| {name} | {ratio(measured, name, PEER):.3f} | {seconds:.2f} |")
    write_section("train_step", "\n".join(lines))


def our_step(config: TrainConfig, lpips: LPIPSLoss) -> Callable[[], object]:
    """Return a call that takes one step in the middle of a run."""
    network = EyeMaskInput(create_model("se_unet_base"))
    folder = Path(tempfile.gettempdir()) / "snowai-train-step"
    judges = {"perceptual": lpips, "identity": None}
    run = Run(network, Noise(config.size), folder, config, judges=judges)
    middle = config.steps // 2
    batches = run.batches(middle)
    return lambda: run.step(batches, middle)


def peer_step(arguments: Arguments) -> Callable[[], object]:
    """Return a call that takes one pix2pixHD-like step."""
    photo, styled = (torch.rand(arguments.batch_size, 3, *[arguments.size] * 2) for _ in range(2))
    generator = ResNet9()
    judge = MultiScaleDiscriminator(condition_channels=3, width=64, norm="instance")
    layers = vgg19(weights=None).features[:30].eval().requires_grad_(False)
    optimizers = [
        torch.optim.Adam(module.parameters(), 2e-4, (0.5, 0.999)) for module in (generator, judge)
    ]

    def features(image: Tensor) -> list[Tensor]:
        found = []
        for number, layer in enumerate(layers):
            image = layer(image)
            if number in (1, 6, 11, 20, 29):
                found.append(image)
        return found

    def step() -> None:
        drawn = generator(photo)
        fake = judge(drawn, photo)
        real = judge(styled, photo)
        loss = generator_loss([scale[-1] for scale in fake])
        loss = loss + 10 * feature_matching_loss(
            fake, [[layer.detach() for layer in scale] for scale in real]
        )
        with torch.no_grad():
            wanted = features(styled)
        weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
        for weight, seen, target in zip(weights, features(drawn), wanted, strict=True):
            loss = loss + 10 * weight * F.l1_loss(seen, target)
        _learn(optimizers[0], loss)
        fake = judge(drawn.detach(), photo)
        judged = discriminator_loss([s[-1] for s in judge(styled, photo)], [s[-1] for s in fake])
        _learn(optimizers[1], judged)

    return step


def _learn(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(tyro.cli(Arguments))
