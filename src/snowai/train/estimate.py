"""What a run will cost, found by a few of its steps."""

import copy
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from snowai.pairs import Pair
from snowai.train.config import TrainConfig
from snowai.train.fit import check_judges, checkpoint_activations
from snowai.train.loop import Run

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """What a run will cost on this machine, as busy as it is now.

    Args:
        seconds_before: Of a step before the discriminator and the temporal loss speak.
        seconds_after: Of a step with everything.
        seconds: Of the whole run, without validations.
        memory: Most bytes in use: the GPU's, or else this process's.
        parameters: Of the network.
    """

    seconds_before: float
    seconds_after: float
    seconds: float
    memory: int
    parameters: int

    def __str__(self) -> str:
        """Say it in a few lines."""
        hours, minutes = divmod(round(self.seconds / 60), 60)
        return (
            f"{self.parameters / 1e6:.2f} million parameters, {self.memory / 1e9:.1f} GB at most.\n"
            f"{1 / self.seconds_before:.2f} steps a second at first, "
            f"{1 / self.seconds_after:.2f} with all losses.\n"
            f"About {f'{hours} h {minutes} min' if hours else f'{minutes} min'} in all."
        )


def estimate(
    network: nn.Module,
    pairs: Dataset[Pair],
    *,
    config: TrainConfig,
    perceptual: nn.Module | None = None,
    identity: nn.Module | None = None,
    augment: nn.Module | None = None,
    steps: int = 3,
) -> Estimate:
    """Take a few steps of a run, with and without its late losses, and say what it will cost.

    The network stays as it is, and nothing is written but a folder that is removed again.

    Args:
        network: As for :func:`snowai.fit`.
        pairs: The training pairs.
        config: The run's numbers.
        perceptual: As for :func:`snowai.fit`.
        identity: As for :func:`snowai.fit`.
        augment: As for :func:`snowai.fit`.
        steps: Steps that are timed of each kind, after one that is not.

    Raises:
        ValueError: The configuration does not fit the arguments.

    Example:
        >>> pairs = snowai.PairDataset(tiny_pairs, size=64)
        >>> config = snowai.train.training_preset("fast", steps=100, batch_size=1, size=64)
        >>> network = snowai.EyeMaskInput(snowai.create_model("se_unet_tiny"))
        >>> perceptual = snowai.losses.SSIMLoss()
        >>> found = estimate(network, pairs, config=config, perceptual=perceptual, steps=1)
        >>> found.seconds > 0, found.memory > 1e6
        (True, True)
    """
    judges = check_judges(config, perceptual=perceptual, identity=identity)
    network = copy.deepcopy(network)
    if config.activation_checkpointing:
        checkpoint_activations(network)
    late = _late_share(config)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        seconds = []
        for start in (1.0, 0.0):  # Before the late losses, and with them from the first step on.
            early = replace(config, adversarial_from=start, temporal_from=start, trackers=())
            run = Run(network, pairs, Path(folder), early, judges=judges, augment=augment)
            with run.alpha:
                seconds.append(_seconds(run, steps))
        before, after = seconds[0], max(seconds)
    return Estimate(
        seconds_before=before,
        seconds_after=after,
        seconds=config.steps * ((1 - late) * before + late * after),
        memory=_memory(),
        parameters=sum(weight.numel() for weight in network.parameters()),
    )


def _late_share(config: TrainConfig) -> float:
    """Return the share of the steps that have all losses."""
    starts = [config.adversarial_from] if config.needs_discriminator else []
    if config.weights.temporal > 0:
        starts.append(config.temporal_from)
    return 1 - (sum(starts) / len(starts) if starts else 0.0)


def _seconds(run: Run, steps: int) -> float:
    """Return the mean seconds of a step in the middle of a run."""
    middle = run.config.steps // 2
    batches = run.batches(middle)
    run.step(batches, middle)
    _wait()
    start = time.perf_counter()
    for step in range(middle, middle + steps):
        run.step(batches, step)
    _wait()
    return (time.perf_counter() - start) / steps


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
