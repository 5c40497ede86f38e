"""One training step as pure functions: losses by name, unweighted, so they can be logged."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai.losses import (
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    l1_loss,
    r1_penalty,
    region_weight,
)
from snowai.models import Features
from snowai.pairs import Pair

__all__ = ["discriminator_losses", "generator_losses"]

Gan = Literal["lsgan", "hinge", "non_saturating"]


def generator_losses(
    prediction: Tensor,
    pair: Pair,
    *,
    discriminator: nn.Module | None = None,
    perceptual: nn.Module | None = None,
    eye_gain: float = 4.0,
    eye_grow: float = 0.0,
    gan: Gan = "lsgan",
) -> dict[str, Tensor]:
    """Return the network's losses by name.

    Args:
        prediction: The network's image :math:`(B, 3, H, W)`.
        pair: Batch that it was made from.
        discriminator: Judges (image, photo + eye mask); without it there are no adversarial terms.
        perceptual: Called with (prediction, target).
        eye_gain: Extra weight of the pixels in the eyes.
        eye_grow: Widen the eyes for that by this share of the height: drawn eyes are larger.
        gan: The adversarial game.

    Returns:
        "pixel", and where asked "perceptual", "adversarial", "feature_matching".
    """
    weight = region_weight(_grown(pair.eye_mask, eye_grow), eye_gain)
    losses = {"pixel": l1_loss(prediction, pair.styled, weight=weight)}
    if perceptual is not None:
        losses["perceptual"] = perceptual(prediction, pair.styled)
    if discriminator is not None:
        condition = _condition(pair)
        with _frozen(discriminator):
            fake: list[Features] = discriminator(prediction, condition)
        with torch.no_grad():
            real: list[Features] = discriminator(pair.styled, condition)
        losses["adversarial"] = generator_loss([scale[-1] for scale in fake], kind=gan)
        losses["feature_matching"] = feature_matching_loss(fake, real)
    return losses


def discriminator_losses(
    prediction: Tensor,
    pair: Pair,
    *,
    discriminator: nn.Module,
    gan: Gan = "lsgan",
    with_r1: bool = False,
) -> dict[str, Tensor]:
    """Return the discriminator's losses by name.

    Args:
        prediction: The network's image :math:`(B, 3, H, W)`; it gets no gradient.
        pair: Batch that it was made from.
        discriminator: Judges (image, photo + eye mask).
        gan: The adversarial game.
        with_r1: Also return the penalty on the slope at real images.

    Returns:
        "discriminator", and where asked "r1".
    """
    condition = _condition(pair)
    styled = pair.styled.detach().requires_grad_(with_r1)
    count = len(styled)
    both = discriminator(
        torch.cat([styled, prediction.detach()]), torch.cat([condition, condition])
    )
    real = [scale[-1][:count] for scale in both]
    fake = [scale[-1][count:] for scale in both]
    losses = {"discriminator": discriminator_loss(real, fake, kind=gan)}
    if with_r1:
        losses["r1"] = r1_penalty(real, styled)
    return losses


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Keep gradients from a module's weights for a while: it is asked here, and does not learn."""
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for weight in learning:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in learning:
            weight.requires_grad_(True)


def _grown(mask: Tensor, share: float) -> Tensor:
    """Widen a mask by a share of its height."""
    reach = round(mask.shape[-2] * share)
    return F.max_pool2d(mask, 2 * reach + 1, stride=1, padding=reach) if reach else mask


def _condition(pair: Pair) -> Tensor:
    return torch.cat([pair.photo, pair.eye_mask], dim=1)
