"""The numbers of a style's training."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from snowai._checks import check_choice

__all__ = ["SourceWeights", "StyleTrainConfig"]


@dataclass(frozen=True)
class SourceWeights:
    """How strongly a style's generator is held to the generator it started from.

    Args:
        perceptual: Distance of the two pictures of one latent, e.g. LPIPS.
        identity: Cosine distance of their embeddings.
        structure: Mean squared difference of the pictures at 32 pixels, before finer layers.
    """

    perceptual: float = 0.0
    identity: float = 0.0
    structure: float = 0.0


@dataclass(frozen=True)
class StyleTrainConfig:
    r"""How a generator is trained, from scratch or from a base.

    Args:
        images: Pictures that the discriminator is shown, in all.
        batch_size: Pictures in a step, on each device.
        learning_rate: Adam's, for generator and discriminator.
        projected: Weight of a second discriminator, on a trained network's features, which is
            right much sooner; 0 leaves it out.
        projected_size: Side at which it looks, in pixels.
        freeze_d: Blocks of the StyleGAN2 discriminator kept as they are, finest first (freeze-D).
        r1: Weight :math:`\gamma` of the discriminator's slope; None takes StyleGAN2-ADA's
            :math:`0.0002\,R^2 / B`.
        r1_every: Steps between two slopes (lazy regularisation).
        path: Weight of path length regularisation; 0 leaves it out.
        path_every: Steps between two path lengths.
        mixing: Probability that two latents share a picture (style mixing).
        noise: Let layers add noise. False sets its strengths to 0 for good: a generator with few
            channels learns to draw grain with it, where larger ones draw hair.
        ada_target: Wanted mean sign of the discriminator on real pictures; see AdaptiveAugment.
        ada_images: Pictures while the augmentation's probability may go from 0 to 1.
        ada_start: First probability.
        flips: Mirror pictures.
        ema_images: Half-life of the averaged generator, in pictures.
        source: Weights of what holds the generator to its base.
        snapshot_every: Pictures between two snapshots, sample sheets and saved states.
        precision: "no" for float32, "bf16" for half the memory.
        seed: Of latents, order, augmentation and noise.

    Source:
        https://arxiv.org/abs/2006.06676, freeze-D https://arxiv.org/abs/2002.10964
    """

    images: int = 20_000
    batch_size: int = 8
    learning_rate: float = 0.002
    projected: float = 0.0
    projected_size: int = 128
    freeze_d: int = 0
    r1: float | None = None
    r1_every: int = 16
    path: float = 2.0
    path_every: int = 4
    mixing: float = 0.9
    noise: bool = True
    ada_target: float = 0.6
    ada_images: int = 100_000
    ada_start: float = 0.0
    flips: bool = True
    ema_images: int = 2_000
    source: SourceWeights = field(default_factory=SourceWeights)
    snapshot_every: int = 4_000
    precision: Literal["no", "bf16"] = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.precision, "precision", ("no", "bf16"))
        for name in ("images", "batch_size", "r1_every", "path_every", "snapshot_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")

    @property
    def steps(self) -> int:
        """Steps of one device."""
        return max(self.images // self.batch_size, 1)

    def r1_weight(self, resolution: int) -> float:
        """Return ``r1``, or StyleGAN2-ADA's weight for pictures of this side when it is None."""
        return 0.0002 * resolution**2 / self.batch_size if self.r1 is None else self.r1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)
