"""The order in which pairs are seen: a function of seed and step, so a run can go on anywhere."""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import cast

import torch
from torch.utils.data import DataLoader, Dataset

from snowai.image import BadImage
from snowai.pairs import Pair

__all__ = ["BatchOrder", "Readable", "make_loader"]


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


class Readable(Dataset[tuple[Pair, int]]):
    """Pairs, each with -1; in place of one that cannot be read the next one, with the bad index.

    Args:
        pairs: Any pairs.
        skip: Off: one that cannot be read is an error.

    Raises:
        BadImage: None can be read, or one cannot and ``skip`` is off.
    """

    def __init__(self, pairs: Dataset[Pair], *, skip: bool) -> None:
        self.pairs, self.count, self.skip = pairs, len(cast("Sized", pairs)), skip

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.count

    def __getitem__(self, index: int) -> tuple[Pair, int]:
        """Read one pair, or the next that can be read."""
        for step in range(self.count):
            try:
                return self.pairs[(index + step) % self.count], index if step else -1
            except (BadImage, FileNotFoundError):
                if not self.skip:
                    raise
        raise BadImage("None of the pairs can be read.")


def make_loader(
    pairs: Dataset[tuple[Pair, int]], order: BatchOrder, *, workers: int
) -> "DataLoader[tuple[Pair, int]]":
    """Return a loader that follows the order and leaves torch's random state alone."""
    return DataLoader(
        pairs,
        batch_sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )
