"""One training step as pure functions: losses by name, unweighted, so they can be logged."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_choice
from snowai.faces import close_ups, eye_crops, face_mask
from snowai.faces.schemes import scheme_of_size
from snowai.losses import (
    alpha_sparsity_loss,
    colour_loss,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    l1_loss,
    r1_penalty,
    region_weight,
    rejection_loss,
    ssim_loss,
    total_variation_loss,
)
from snowai.models import FaceDiscriminator, Features
from snowai.pairs import Pair

__all__ = ["EXTRA_LOSSES", "discriminator_losses", "generator_losses"]

Gan = Literal["lsgan", "hinge", "non_saturating"]
Distance = Callable[[Tensor, Tensor], Tensor]

EXTRA_LOSSES = ("structure", "eyes", "colour", "alpha", "alpha_variation")
"""Losses that need no further network, and are computed when asked for."""

_CLOSE = 64  # Side of the close-ups of eyes and mouth, in pixels.


def generator_losses(
    prediction: Tensor,
    pair: Pair,
    *,
    discriminator: nn.Module | None = None,
    perceptual: Distance | None = None,
    identity: Distance | None = None,
    alpha: Tensor | None = None,
    extra: Collection[str] = (),
    eye_gain: float = 4.0,
    eye_grow: float = 0.0,
    gan: Gan = "lsgan",
) -> dict[str, Tensor]:
    """Return the network's losses by name.

    Args:
        prediction: The network's image :math:`(B, 3, H, W)`.
        pair: Batch that it was made from.
        discriminator: Judges (image, photo + eye mask), a
            :class:`snowai.models.FaceDiscriminator` also close-ups of eyes and mouth; without it
            there are no adversarial terms.
        perceptual: Called with (prediction, target).
        identity: Called with (prediction, photo), e.g. :class:`snowai.losses.IdentityLoss`.
        alpha: What the network's alpha was, :math:`(B, 1, H, W)`.
        extra: Of :data:`EXTRA_LOSSES`: "structure" (SSIM), "eyes" (the perceptual distance of the
            eyes' close-ups), "colour" (the face's mean colour and contrast), "alpha" (its mean) and
            "alpha_variation" (its roughness).
        eye_gain: Extra weight of the pixels in the eyes.
        eye_grow: Widen the eyes for that by this share of the height: drawn eyes are larger.
        gan: The adversarial game.

    Returns:
        "pixel", and where asked "perceptual", "identity", "adversarial", "feature_matching" and
        the extra ones.

    Raises:
        ValueError: An unknown extra loss, or one without what it needs.
    """
    weight = region_weight(_grown(pair.eye_mask, eye_grow), eye_gain)
    losses = {"pixel": l1_loss(prediction, pair.styled, weight=weight)}
    if perceptual is not None:
        losses["perceptual"] = perceptual(prediction, pair.styled)
    if identity is not None:
        losses["identity"] = identity(prediction, pair.photo)
    for name in extra:
        losses[name] = _extra_loss(name, prediction, pair, perceptual, alpha)
    if discriminator is not None:
        with _frozen(discriminator):
            fake = _judge(discriminator, prediction, pair)
        with torch.no_grad():
            real = _judge(discriminator, pair.styled, pair)
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
    with_mismatch: bool = False,
) -> dict[str, Tensor]:
    """Return the discriminator's losses by name.

    Args:
        prediction: The network's image :math:`(B, 3, H, W)`; it gets no gradient.
        pair: Batch that it was made from.
        discriminator: Judges (image, photo + eye mask), a
            :class:`snowai.models.FaceDiscriminator` also close-ups of eyes and mouth.
        gan: The adversarial game.
        with_r1: Also return the penalty on the slope at real images.
        with_mismatch: Also show real images with eye masks in wrong places, which it must reject:
            so the mask cannot be overlooked (face_reaging,
            https://github.com/timroelofs123/face_reaging).

    Returns:
        "discriminator", and where asked "r1" and "mismatch".
    """
    styled = pair.styled.detach().requires_grad_(with_r1)
    count = len(styled)
    twice = Pair(*(torch.cat([part, part]) for part in pair))
    both = _judge(discriminator, torch.cat([styled, prediction.detach()]), twice)
    real = [scale[-1][:count] for scale in both]
    fake = [scale[-1][count:] for scale in both]
    losses = {"discriminator": discriminator_loss(real, fake, kind=gan)}
    if with_r1:
        losses["r1"] = r1_penalty(real, styled)
    if with_mismatch:
        wrong = pair._replace(eye_mask=_misplaced(pair.eye_mask))
        shown = _whole(discriminator)(pair.styled, _condition(wrong))
        losses["mismatch"] = rejection_loss([scale[-1] for scale in shown], kind=gan)
    return losses


def _extra_loss(
    name: str, prediction: Tensor, pair: Pair, perceptual: Distance | None, alpha: Tensor | None
) -> Tensor:
    check_choice(name, "extra", EXTRA_LOSSES)
    if name == "structure":
        return ssim_loss(prediction, pair.styled)
    if name == "colour":
        return _face_colour(prediction, pair)
    if name == "eyes":
        if perceptual is None:
            raise ValueError('The loss "eyes" is the perceptual one, close up: give perceptual.')
        return _eye_distance(prediction, pair, perceptual)
    if alpha is None:
        raise ValueError(f'The loss "{name}" needs a network with output="residual_alpha".')
    return alpha_sparsity_loss(alpha) if name == "alpha" else total_variation_loss(alpha)


def _eye_distance(prediction: Tensor, pair: Pair, perceptual: Distance) -> Tensor:
    """Compare the eyes' close-ups, of the faces that were found."""
    known = pair.points.isfinite().all(dim=2).all(dim=1)
    if not known.any():
        return prediction.sum() * 0
    points, scheme = pair.points[known], scheme_of_size(pair.points.shape[1]).name
    close = [
        eye_crops(image[known], points, scheme=scheme, size=_CLOSE)
        for image in (prediction, pair.styled)
    ]
    return perceptual(close[0], close[1])


def _face_colour(prediction: Tensor, pair: Pair) -> Tensor:
    """Compare the faces' colours; a face that was not found has no pixels and does not count."""
    size = (prediction.shape[-2], prediction.shape[-1])
    face = face_mask(pair.points, size, scheme=scheme_of_size(pair.points.shape[1]).name)
    return colour_loss(prediction, pair.styled, weight=face)


def _judge(discriminator: nn.Module, image: Tensor, pair: Pair) -> list[Features]:
    """Ask a discriminator about images of a batch of pairs."""
    if isinstance(_bare(discriminator), FaceDiscriminator):
        scheme = scheme_of_size(pair.points.shape[1]).name
        close = close_ups(image, pair.points, scheme=scheme, size=_CLOSE)
        return list(discriminator(image, _condition(pair), close))
    return list(discriminator(image, _condition(pair)))


def _bare(discriminator: nn.Module) -> nn.Module:
    """Return the module inside the wrapper that several devices need."""
    inner = getattr(discriminator, "module", discriminator)
    return inner if isinstance(inner, nn.Module) else discriminator


def _whole(discriminator: nn.Module) -> nn.Module:
    """Return the part that sees the eye mask."""
    bare = _bare(discriminator)
    return bare.whole if isinstance(bare, FaceDiscriminator) else discriminator


def _misplaced(mask: Tensor) -> Tensor:
    """Move each mask by a tenth to a quarter of its side, to where no eyes are."""
    height, width = mask.shape[-2:]
    share = torch.empty(len(mask), 2).uniform_(0.1, 0.25) * torch.randn(len(mask), 2).sign()
    moves = (share * torch.tensor([height, width])).round().long().tolist()
    return torch.stack(
        [one.roll(move, dims=(-2, -1)) for one, move in zip(mask, moves, strict=True)]
    )


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
