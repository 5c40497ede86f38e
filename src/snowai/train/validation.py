"""How the averaged network does: samples to look at, distances, and when to stop."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from snowai.analysis import sheet
from snowai.pairs import Pair
from snowai.train.config import TrainConfig
from snowai.train.data import Readable
from snowai.train.steps import generator_losses

__all__ = ["Progress", "draw_samples", "validate"]


@dataclass(frozen=True)
class Progress:
    """What a run remembers beside its networks.

    Args:
        best: Lowest validation distance so far.
        best_step: When that was.
        stale: Validations since then.
        stopped: Nothing got better for ``patience`` validations.
        rollbacks: How often the run diverged and went back.
        rate_factor: Share of the learning rate that is left after those.
    """

    best: float | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False
    rollbacks: int = 0
    rate_factor: float = 1.0

    def after(self, found: Mapping[str, float], step: int, *, patience: int) -> "Progress":
        """Return the progress after a validation.

        Example:
            >>> first = Progress().after({"pixel": 0.2}, 10, patience=1)
            >>> first.after({"pixel": 0.3}, 20, patience=1).stopped
            True
        """
        distance = found.get("perceptual", found["pixel"])
        if self.best is None or distance < self.best:
            return replace(self, best=distance, best_step=step, stale=0)
        stale = self.stale + 1
        return replace(self, stale=stale, stopped=0 < patience <= stale)


@torch.no_grad()
def validate(
    network: nn.Module,
    pairs: Readable,
    config: TrainConfig,
    device: torch.device,
    perceptual: nn.Module | None = None,
) -> dict[str, float]:
    """Return the mean distances of a network's pictures to their targets.

    Args:
        network: Called with (photo, eye_mask), in evaluation mode.
        pairs: Pairs that it does not learn from.
        config: Batch size and the eyes' weight.
        device: Where it is.
        perceptual: Called with (prediction, target).

    Returns:
        "pixel", "structure" and, where a perceptual distance is given, "perceptual"; the last, or
        else the first, is what the best network is chosen by.
    """
    sums: dict[str, float] = {}
    count = 0
    for batch, _ in DataLoader(pairs, batch_size=config.batch_size):
        pair = Pair(*(part.to(device) for part in batch))
        losses = generator_losses(
            network(pair.photo, pair.eye_mask).float().clamp(0, 1),
            pair,
            perceptual=perceptual,
            extra=("structure",),
            eye_gain=config.eye_gain,
            eye_grow=config.eye_grow,
        )
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + float(loss) * len(pair.photo)
        count += len(pair.photo)
    return {name: total / count for name, total in sums.items()}


@torch.no_grad()
def draw_samples(
    network: nn.Module, pairs: Readable, step: int, device: torch.device, *, count: int = 4
) -> Tensor:
    """Return a sheet of the first pairs: photo, eye mask, prediction, target."""
    rows = []
    for index in range(min(count, len(pairs))):
        pair, _ = pairs[index]
        drawn = network(pair.photo[None].to(device), pair.eye_mask[None].to(device))
        rows.append([pair.photo, pair.eye_mask, drawn[0], pair.styled])
    return sheet(rows, titles=["photo", "eye mask", f"step {step}", "target"])
