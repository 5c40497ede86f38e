"""Training: pure steps, a loop that survives, and a state that goes on bit by bit."""

from snowai.train.config import DiscriminatorConfig, LossWeights, TrainConfig
from snowai.train.loop import DivergedError, FitResult, fit
from snowai.train.steps import discriminator_losses, generator_losses

__all__ = [
    "DiscriminatorConfig",
    "DivergedError",
    "FitResult",
    "LossWeights",
    "TrainConfig",
    "discriminator_losses",
    "fit",
    "generator_losses",
]
