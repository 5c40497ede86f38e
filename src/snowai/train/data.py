"""The order in which pairs are seen: a function of seed and step, so a run can go on anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from snowai.pairs import Pair

__all__ = ["BatchOrder", "make_loader"]


@dataclass(frozen=True)
class BatchOrder:
    """Endless batches of indices: each epoch is a shuffle, cut alike for every process.

    Args:
        count: Number of pairs.
        batch_size: Pairs a batch and process.
        seed: Of the shuffles.
        start: First step.
        rank: This process.
        world: Processes in all.
        weights: (count,), how often each pair is drawn; without them each once an epoch.

    Example:
        >>> order = BatchOrder(count=4, batch_size=2, seed=0)
        >>> batches = iter(order)
        >>> sorted(next(batches) + next(batches))
        [0, 1, 2, 3]
    """

    count: int
    batch_size: int
    seed: int
    start: int = 0
    rank: int = 0
    world: int = 1
    weights: torch.Tensor | None = None

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of indices from step ``start`` on."""
        step, epoch, shuffled = self.start, -1, torch.empty(0, dtype=torch.long)
        while True:
            first = (step * self.world + self.rank) * self.batch_size
            batch = []
            for place in range(first, first + self.batch_size):
                if place // self.count != epoch:
                    epoch = place // self.count
                    shuffled = self._shuffle(epoch)
                batch.append(int(shuffled[place % self.count]))
            yield batch
            step += 1

    def _shuffle(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        if self.weights is None:
            return torch.randperm(self.count, generator=generator)
        return torch.multinomial(self.weights, self.count, replacement=True, generator=generator)


def make_loader(pairs: Dataset[Pair], order: BatchOrder, *, workers: int) -> "DataLoader[Pair]":
    """Return a loader that follows the order and leaves torch's random state alone."""
    return DataLoader(
        pairs,
        batch_sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )
