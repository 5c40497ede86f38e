"""Losses come by name and unweighted; here the run's weights add them up."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["weighted_sum"]


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Add up losses times their weights; a loss without a weight does not count.

    Example:
        >>> weighted_sum({"pixel": torch.tensor(2.0), "other": torch.tensor(9.0)}, {"pixel": 10.0})
        tensor(20.)
    """
    terms = [loss * weights[name] for name, loss in losses.items() if name in weights]
    return torch.stack(terms).sum()
