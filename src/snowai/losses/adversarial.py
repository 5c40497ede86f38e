"""Adversarial losses: the student against the discriminator."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai._checks import check_choice

__all__ = [
    "AdversarialLoss",
    "Kind",
    "adversarial_warmup",
    "discriminator_loss",
    "generator_loss",
    "path_lengths",
    "r1_penalty",
    "rejection_loss",
]

Kind = Literal["lsgan", "hinge", "non_saturating"]
_KINDS = ("lsgan", "hinge", "non_saturating")
Logits = Tensor | Sequence[Tensor]


def generator_loss(fake_logits: Logits, *, kind: Kind = "lsgan") -> Tensor:
    r"""How far the discriminator is from taking the fakes for real.

    lsgan :math:`(d - 1)^2`, hinge :math:`-d`, non-saturating :math:`\log(1 + e^{-d})`.

    Args:
        fake_logits: Logits of generated images, one tensor or one for each scale.
        kind: Of the game.

    Returns:
        Scalar: the mean over each map, averaged over scales.

    Source:
        https://arxiv.org/abs/1611.04076, https://arxiv.org/abs/1705.02894,
        https://arxiv.org/abs/1406.2661

    Example:
        >>> generator_loss(torch.ones(2, 1, 4, 4))
        tensor(0.)
    """
    check_choice(kind, "kind", _KINDS)
    return _mean_over_scales([_as_real(d, kind, for_generator=True) for d in _scales(fake_logits)])


def discriminator_loss(real_logits: Logits, fake_logits: Logits, *, kind: Kind = "lsgan") -> Tensor:
    """How far the discriminator is from telling real and generated images apart.

    Args:
        real_logits: Logits of real images, one tensor or one for each scale.
        fake_logits: Logits of generated images, alike; detach the images, not the logits.
        kind: Of the game.

    Example:
        >>> discriminator_loss(torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
        tensor(0.)
    """
    check_choice(kind, "kind", _KINDS)
    real = [_as_real(d, kind, for_generator=False) for d in _scales(real_logits)]
    return (_mean_over_scales(real) + rejection_loss(fake_logits, kind=kind)) / 2


def rejection_loss(logits: Logits, *, kind: Kind = "lsgan") -> Tensor:
    """How far the discriminator is from taking all of these for generated.

    The half of :func:`discriminator_loss` for fakes, e.g. for real pictures with a wrong condition.

    Args:
        logits: One tensor or one for each scale.
        kind: Of the game.

    Example:
        >>> rejection_loss(torch.ones(2, 1, 4, 4))
        tensor(1.)
    """
    check_choice(kind, "kind", _KINDS)
    return _mean_over_scales([_as_fake(d, kind) for d in _scales(logits)])


def r1_penalty(real_logits: Logits, real_images: Tensor) -> Tensor:
    r"""Penalise the discriminator's slope at real images, :math:`\|\nabla_x D(x)\|^2`.

    Args:
        real_logits: Logits of ``real_images``, computed with gradient.
        real_images: :math:`(B, C, H, W)` with ``requires_grad``.

    Returns:
        Scalar, averaged over the batch; the paper multiplies it by gamma / 2.

    Source:
        Mescheder et al., https://arxiv.org/abs/1801.04406

    Example:
        >>> image = torch.zeros(1, 1, 1, 1, requires_grad=True)
        >>> r1_penalty(3 * image, image).item()
        9.0
    """
    if not real_images.requires_grad:
        raise ValueError("real_images must require a gradient: call requires_grad_() before D.")
    total = torch.stack([logits.sum() for logits in _scales(real_logits)]).sum()
    (slope,) = torch.autograd.grad(total, real_images, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, ws: Tensor) -> Tensor:
    r"""How far the picture moves for a step in the latent, :math:`\|J_w^T y\|_2`, one a sample.

    StyleGAN2 pulls these towards their running mean, so that equal steps change pictures equally:
    ``((path_lengths(images, ws) - mean) ** 2).mean()``. The result carries a gradient.

    Args:
        images: :math:`(B, C, H, W)`, computed from ``ws``.
        ws: :math:`(B, n, w)` with ``requires_grad``, one w for each layer.

    Source:
        Karras et al., https://arxiv.org/abs/1912.04958, section 3.2.

    Example:
        >>> ws = torch.zeros(2, 1, 4, requires_grad=True)
        >>> path_lengths(ws.sum() + torch.zeros(2, 3, 8, 8), ws).shape
        torch.Size([2])
    """
    if not ws.requires_grad:
        raise ValueError("ws must require a gradient: take it from mapping(z) under grad mode.")
    noise = torch.randn_like(images) / math.sqrt(images.shape[-2] * images.shape[-1])
    (slope,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return slope.square().sum(dim=2).mean(dim=1).sqrt()


def adversarial_warmup(step: int, *, start: int, length: int) -> float:
    """Return the factor of the adversarial terms: 0 until ``start``, then linearly to 1.

    A student that cannot draw yet learns nothing from a critic.

    Example:
        >>> [adversarial_warmup(step, start=10, length=10) for step in (0, 10, 15, 20, 99)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    return min(max((step - start) / max(length, 1), 0.0), 1.0)


class AdversarialLoss(nn.Module):
    """Module form: ``loss(fake)`` for the generator, ``loss(fake, real)`` for the discriminator."""

    def __init__(self, kind: Kind = "lsgan") -> None:
        super().__init__()
        check_choice(kind, "kind", _KINDS)
        self.kind: Kind = kind

    def forward(self, fake_logits: Logits, real_logits: Logits | None = None) -> Tensor:
        """Return the generator's loss, or the discriminator's when real logits are given."""
        if real_logits is None:
            return generator_loss(fake_logits, kind=self.kind)
        return discriminator_loss(real_logits, fake_logits, kind=self.kind)


def _as_real(logits: Tensor, kind: Kind, *, for_generator: bool) -> Tensor:
    if kind == "lsgan":
        return (logits - 1).square().mean()
    if kind == "non_saturating":
        return F.softplus(-logits).mean()
    return -logits.mean() if for_generator else F.relu(1 - logits).mean()


def _as_fake(logits: Tensor, kind: Kind) -> Tensor:
    if kind == "lsgan":
        return logits.square().mean()
    return (F.softplus(logits) if kind == "non_saturating" else F.relu(1 + logits)).mean()


def _scales(logits: Logits) -> list[Tensor]:
    return [logits] if isinstance(logits, Tensor) else list(logits)


def _mean_over_scales(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()
