"""Training: pure steps, a loop that survives, and a state that goes on bit by bit."""

from snowai.runs import DivergedError
from snowai.train.config import (
    PRESETS,
    DiscriminatorConfig,
    LossWeights,
    TrainConfig,
    training_preset,
)
from snowai.train.estimate import Estimate, estimate
from snowai.train.fit import fit
from snowai.train.loop import FitResult
from snowai.train.steps import discriminator_losses, generator_losses

__all__ = [
    "PRESETS",
    "DiscriminatorConfig",
    "DivergedError",
    "Estimate",
    "FitResult",
    "LossWeights",
    "TrainConfig",
    "discriminator_losses",
    "estimate",
    "fit",
    "generator_losses",
    "training_preset",
]
