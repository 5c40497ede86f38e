"""Hold a style's generator to the generator it started from: same latent, same noise."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from snowai.models import StyleGAN2Generator
from snowai.styles.config import SourceWeights

__all__ = ["source_losses"]

_STRUCTURE_LEVEL = 3  # Pictures of 32 pixels, or the largest below the last.


def source_losses(
    images: Tensor,
    ws: Tensor,
    noise: Sequence[Tensor],
    *,
    generator: StyleGAN2Generator,
    source: StyleGAN2Generator,
    weights: SourceWeights,
    perceptual: nn.Module | None = None,
    identity: nn.Module | None = None,
) -> dict[str, Tensor]:
    """Return the distances from the source that the weights ask for, each with a gradient.

    Args:
        images: The generator's pictures of ``ws`` and ``noise``, :math:`(B, 3, R, R)`.
        ws: Latents :math:`(B, n, w)`.
        noise: One map for each layer.
        generator: In training.
        source: The frozen base.
        weights: A part whose weight is 0 is not computed.
        perceptual: Called with two pictures.
        identity: Maps a picture to an embedding :math:`(B, E)`.
    """
    losses: dict[str, Tensor] = {}
    if max(weights.perceptual, weights.identity) > 0:
        with torch.no_grad():
            wanted = source.synthesis(ws.detach(), noise=noise).float()
        if weights.perceptual > 0 and perceptual is not None:
            losses["perceptual"] = perceptual(images.clamp(0, 1), wanted.clamp(0, 1))
        if weights.identity > 0 and identity is not None:
            likeness = nn.functional.cosine_similarity(identity(images), identity(wanted))
            losses["identity"] = 1 - likeness.mean()
    if weights.structure > 0:
        level = min(_STRUCTURE_LEVEL, len(source.synthesis.to_rgb) - 2)
        with torch.no_grad():
            small = next(islice(source.synthesis.growing(ws.detach(), noise=noise), level, None))
        drawn = next(islice(generator.synthesis.growing(ws, noise=noise), level, None))
        losses["structure"] = (drawn - small).float().square().mean()
    return losses
