"""What a training run is: plain numbers, which a file can hold and a command line can set."""

from dataclasses import asdict, dataclass, field
from typing import Literal

__all__ = ["DiscriminatorConfig", "LossWeights", "TrainConfig"]


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts; 0 leaves it out.

    Args:
        pixel: L1 distance to the styled image.
        perceptual: Distance in a trained network's features.
        adversarial: The discriminator's verdict.
        feature_matching: Distance in the discriminator's features.
    """

    pixel: float = 10.0
    perceptual: float = 1.0
    adversarial: float = 0.2
    feature_matching: float = 2.0


@dataclass(frozen=True)
class DiscriminatorConfig:
    """How the discriminator is built; it sees image, photo and eye mask.

    Args:
        width: Channels of its first layer.
        scales: Sizes at which it looks, 1 to 3.
        n_layers: Layers of stride 2.
        norm: "spectral", "instance" or "none".
        se: Squeeze-and-excitation in its layers.
    """

    width: int = 32
    scales: int = 2
    n_layers: int = 3
    norm: Literal["spectral", "instance", "none"] = "spectral"
    se: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Args:
        steps: Updates in all.
        batch_size: Pairs a step and process.
        size: Side of the images, in pixels; a multiple of 32.
        learning_rate: Of the network, after the warm-up.
        discriminator_learning_rate: Of the discriminator.
        warmup: Steps over which the learning rates rise from 0.
        decay_from: Share of the steps after which they fall linearly to 0.
        adversarial_from: Share of the steps before the discriminator speaks.
        adversarial_warmup: Share of the steps over which its weights then rise from 0.
        gan: The adversarial game.
        r1: Weight gamma of the penalty on the discriminator's slope, every 16th step; 0 is off.
        eye_gain: Extra weight of the pixels in the eyes.
        eye_grow: How far around the eyes that reaches, as a share of the height.
        clip: Largest norm of the gradients.
        ema: Decay of the averaged weights, which are the ones that are kept.
        precision: "no" (float32) or "bf16" (mixed; nearly twice as fast where it is native).
        workers: Processes that read pairs; 0 reads in this one.
        seed: Of everything random.
        log_every: Steps between lines of metrics.jsonl.
        sample_every: Steps between sample sheets.
        save_every: Steps between checkpoints.
        weights: Of the losses.
        discriminator: Its shape.

    Raises:
        ValueError: A number is out of its range.
    """

    steps: int = 20_000
    batch_size: int = 8
    size: int = 256
    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 2e-4
    warmup: int = 100
    decay_from: float = 0.5
    adversarial_from: float = 0.2
    adversarial_warmup: float = 0.05
    gan: Literal["lsgan", "hinge", "non_saturating"] = "lsgan"
    r1: float = 0.0
    eye_gain: float = 4.0
    eye_grow: float = 0.03
    clip: float = 1.0
    ema: float = 0.999
    precision: Literal["no", "bf16"] = "no"
    workers: int = 0
    seed: int = 0
    log_every: int = 10
    sample_every: int = 500
    save_every: int = 500
    weights: LossWeights = field(default_factory=LossWeights)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.size % 32 or self.size <= 0:
            raise ValueError(f"size must be a positive multiple of 32; got {self.size}.")
        for name in ("steps", "batch_size", "log_every", "sample_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("decay_from", "adversarial_from", "adversarial_warmup", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1]; got {getattr(self, name)}.")

    @property
    def needs_discriminator(self) -> bool:
        """Whether any loss asks the discriminator."""
        return self.weights.adversarial > 0 or self.weights.feature_matching > 0

    def learning_rate_factor(self, step: int) -> float:
        """Return the share of the learning rates that holds at a step (counted from 0).

        Example:
            >>> config = TrainConfig(steps=100, warmup=10, decay_from=0.5)
            >>> [config.learning_rate_factor(step) for step in (0, 9, 30, 75)]
            [0.1, 1.0, 1.0, 0.5]
        """
        rise = min((step + 1) / max(self.warmup, 1), 1.0)
        start = self.decay_from * self.steps
        fall = 1 - max(step - start, 0) / max(self.steps - start, 1)
        return max(min(rise, fall), 0.0)

    def to_dict(self) -> dict[str, object]:
        """Return the config as plain values, for headers and logs."""
        return asdict(self)
