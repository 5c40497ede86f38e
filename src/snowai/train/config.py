"""What a training run is: plain numbers, which a file can hold and a command line can set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from torch import nn

from snowai._checks import check_choice
from snowai.models import ComponentDiscriminator, FaceDiscriminator, MultiScaleDiscriminator
from snowai.train.steps import EXTRA_LOSSES

__all__ = ["PRESETS", "DiscriminatorConfig", "LossWeights", "TrainConfig", "training_preset"]


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts; 0 leaves it out.

    Args:
        pixel: L1 distance to the styled image.
        perceptual: Distance in a trained network's features, on LPIPS's scale.
        eyes: The same of the eyes' close-ups.
        structure: One minus SSIM.
        adversarial: The discriminator's verdict.
        feature_matching: Distance in the discriminator's features.
        temporal: How much a moved photo's picture differs from the moved picture: flicker. It runs
            the network a second time.
        identity: Distance to the photo in a face recogniser's embedding.
        colour: Distance of the face's mean colour and contrast.
        alpha: How much of the picture the network changes.
        alpha_variation: How rough that is.
    """

    pixel: float = 10.0
    perceptual: float = 10.0
    eyes: float = 0.0
    structure: float = 0.0
    adversarial: float = 0.2
    feature_matching: float = 2.0
    temporal: float = 0.0
    identity: float = 0.0
    colour: float = 0.0
    alpha: float = 0.0
    alpha_variation: float = 0.0


@dataclass(frozen=True)
class DiscriminatorConfig:
    """How the discriminator is built; it sees image, photo and eye mask.

    Args:
        width: Channels of its first layer.
        scales: Sizes at which it looks, 1 to 3.
        n_layers: Layers of stride 2.
        norm: "spectral", "instance" or "none".
        se: Squeeze-and-excitation in its layers.
        shared: One set of weights for all sizes.
        components: Heads that judge eyes and mouth close up.
        mismatch: Weight of real images with a misplaced eye mask, which it must reject; 0 is off.
    """

    width: int = 32
    scales: int = 2
    n_layers: int = 3
    norm: Literal["spectral", "instance", "none"] = "spectral"
    se: bool = False
    shared: bool = False
    components: bool = False
    mismatch: float = 0.0

    def build(self) -> nn.Module:
        """Make the discriminator, with fresh weights."""
        shape: dict[str, Any] = {
            "width": self.width,
            "n_layers": self.n_layers,
            "norm": self.norm,
            "se": self.se,
        }
        whole = MultiScaleDiscriminator(
            condition_channels=4, scales=self.scales, shared=self.shared, **shape
        )
        if not self.components:
            return whole
        return FaceDiscriminator(whole, ComponentDiscriminator(**shape))


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Args:
        steps: Updates in all.
        batch_size: Pairs a batch and process.
        accumulate: Batches a step: one update learns from all of them, and memory holds one.
        size: Side of the images, in pixels; a multiple of 32.
        learning_rate: Of the network, after the warm-up. The default holds from 32 to 512 pixels
            and for batches of 2 to 16 (``nox -s bench -- learning_rate``).
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
        temporal_from: Share of the steps after which the temporal loss rises linearly.
        precision: "no" (float32) or "bf16" (mixed; nearly twice as fast where it is native).
        compile: Run the network through ``torch.compile``: slow to start, faster on GPUs.
        activation_checkpointing: Compute the network's inner features twice instead of keeping
            them, for networks that offer it (:class:`snowai.models.EditNet`).
        workers: Processes that read pairs; 0 reads in this one.
        bad_pairs: What a pair that cannot be read does: "error" stops, "skip" takes the next one,
            names it and counts.
        rollbacks: How often a run that diverges may go back to its last state, with half the
            learning rate, before it gives up.
        patience: Validations without a better one after which the run stops; 0 never stops it.
        trackers: Names of accelerate's trackers that get the metrics, e.g. tensorboard, wandb.
        seed: Of everything random.
        log_every: Steps between lines of metrics.jsonl.
        sample_every: Steps between sample sheets.
        save_every: Steps between checkpoints.
        validate_every: Steps between validations, when there are pairs for them.
        weights: Of the losses.
        discriminator: Its shape.

    Raises:
        ValueError: A number is out of its range.
    """

    steps: int = 5_000
    batch_size: int = 8
    accumulate: int = 1
    size: int = 256
    learning_rate: float = 8e-3
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
    temporal_from: float = 0.5
    precision: Literal["no", "bf16"] = "no"
    compile: bool = False
    activation_checkpointing: bool = False
    workers: int = 0
    bad_pairs: Literal["error", "skip"] = "error"
    rollbacks: int = 3
    patience: int = 0
    trackers: tuple[str, ...] = ()
    seed: int = 0
    log_every: int = 10
    sample_every: int = 500
    save_every: int = 500
    validate_every: int = 500
    weights: LossWeights = field(default_factory=LossWeights)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.size % 32 or self.size <= 0:
            raise ValueError(f"size must be a positive multiple of 32; got {self.size}.")
        counts = ("steps", "batch_size", "accumulate", "log_every", "sample_every", "save_every")
        for name in (*counts, "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in (
            "decay_from",
            "adversarial_from",
            "adversarial_warmup",
            "temporal_from",
            "ema",
        ):
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

    @property
    def extra_losses(self) -> tuple[str, ...]:
        """Names of the weighted losses that need no further network."""
        return tuple(name for name in EXTRA_LOSSES if getattr(self.weights, name) > 0)

    def to_dict(self) -> dict[str, object]:
        """Return the config as plain values, for headers and logs."""
        return asdict(self)


PRESETS: Mapping[str, TrainConfig] = {
    # Pixels, structure and eyes; no discriminator: the fewest seconds a step.
    "fast": TrainConfig(
        weights=LossWeights(eyes=2.0, structure=5.0, adversarial=0.0, feature_matching=0.0)
    ),
    # For the filter that ships: eyes and mouth judged close up, eyes where the mask is, no flicker.
    "quality": TrainConfig(
        weights=LossWeights(eyes=2.0, structure=5.0, temporal=2.0),
        discriminator=DiscriminatorConfig(se=True, components=True, mismatch=0.5),
    ),
    # Disney's face re-ageing network: L1 1, LPIPS 1, GAN 0.05.
    "fran": TrainConfig(
        eye_gain=0.0,
        weights=LossWeights(pixel=1.0, perceptual=1.0, adversarial=0.05, feature_matching=0.0),
    ),
}
"""Named recipes; "fran" is Zoss et al., https://doi.org/10.1145/3550454.3555520."""


def training_preset(name: str, **changes: Any) -> TrainConfig:
    """Return a named recipe with some numbers changed.

    Args:
        name: "fast", "quality" or "fran".
        changes: Fields of :class:`TrainConfig`.

    Raises:
        ValueError: There is no such preset.

    Example:
        >>> training_preset("fran", steps=1000).weights.adversarial
        0.05
    """
    check_choice(name, "name", PRESETS)
    return replace(PRESETS[name], **changes)
