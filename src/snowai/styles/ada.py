r"""Adaptive discriminator augmentation: a few hundred pictures without learning them by heart.

The discriminator sees real and generated pictures only after random flips, moves and colour
changes. Each happens with probability p, below which the augmentations do not leak into the
generated pictures, and p follows how sure the discriminator is of its training pictures.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snowai._checks import check_image

__all__ = ["AdaptiveAugment"]


class AdaptiveAugment(nn.Module):
    r"""Augment pictures with probability p and steer p.

    Blit (flip, quarter turns, whole-pixel moves), geometry (scale, turn, stretch, move) and colour
    (brightness, contrast, inverted lightness, hue, saturation), with the paper's distributions.
    All are differentiable; pictures are mirrored beyond their borders. Filtering is bilinear at
    twice the size, where the paper uses a wavelet.

    Args:
        p: First probability of each augmentation.
        target: Wanted mean of :math:`\operatorname{sign} D(x)` over real pictures; above it p
            rises. 0.6 in the paper.
        images_to_full: Pictures seen while p could go from 0 to 1 (500,000 in the paper).
        flips: Mirror pictures left to right too; off for styles with a side.
        turns: Turn by quarters; the paper does, aligned faces gain nothing by it.

    Shape:
        - Input and output: :math:`(B, 3, H, W)` in [0, 1] (the output may leave the range).

    Source:
        Karras et al., https://arxiv.org/abs/2006.06676

    Example:
        >>> augment = AdaptiveAugment(p=1.0)
        >>> augment(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """

    p: Tensor
    signs: Tensor

    def __init__(
        self,
        p: float = 0.0,
        *,
        target: float = 0.6,
        images_to_full: int = 500_000,
        flips: bool = True,
        turns: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability from 0 to 1; got {p}.")
        self.target, self.images_to_full = target, images_to_full
        self.flips, self.turns = flips, turns
        self.register_buffer("p", torch.tensor(float(p)))
        self.register_buffer("signs", torch.zeros(2))  # Sum of signs, and how many.

    def forward(self, image: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the pictures, each changed in its own way."""
        check_image(image, "image", channels=3)
        p = float(self.p)
        if p == 0:
            return image
        dice = _Dice(len(image), p, image.device, generator)
        moved = _warp(image, self._blit(dice, image.shape[-1]) @ _geometry(dice))
        return _recolour(moved, _colour(dice))

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Note how sure the discriminator is of a batch of real pictures."""
        flat = real_logits.detach().float().flatten()
        self.signs += torch.stack([flat.sign().sum(), flat.new_tensor(flat.numel())])

    @torch.no_grad()
    def adjust(self, images: int) -> float:
        """Move p by what was observed; call it every few batches.

        Args:
            images: Real pictures seen since the last call.

        Returns:
            The mean sign, the paper's :math:`r_t`.
        """
        total, count = self.signs.tolist()
        sureness = float(total / max(count, 1))
        step = images / self.images_to_full
        direction = 1.0 if sureness > self.target else -1.0
        self.p.copy_((self.p + direction * step).clamp(0, 1))
        self.signs.zero_()
        return sureness

    def _blit(self, dice: "_Dice", width: int) -> Tensor:
        matrix = _identity(dice)
        if self.flips:
            matrix = _scale(1 - 2 * dice.where(dice.integers(2)), None) @ matrix
        if self.turns:
            matrix = _turn(dice.where(dice.integers(4)) * (math.pi / 2)) @ matrix
        # Coordinates run from -1 to 1, so a whole pixel is 2 / width.
        moves = [torch.round(dice.uniform(-0.125, 0.125) * width) * 2 / width for _ in range(2)]
        return _move(*dice.together(*moves)) @ matrix


class _Dice:
    """Random numbers for a batch; ``where`` keeps each sample's with probability p."""

    def __init__(
        self, batch: int, p: float, device: torch.device, generator: torch.Generator | None
    ) -> None:
        self.batch, self.p, self.device, self.generator = batch, p, device, generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(self.batch, generator=self.generator)
        return (low + (high - low) * drawn).to(self.device)

    def normal(self, std: float) -> Tensor:
        return (torch.randn(self.batch, generator=self.generator) * std).to(self.device)

    def integers(self, below: int) -> Tensor:
        return torch.floor(self.uniform(0, below))

    def where(self, value: Tensor, default: float = 0.0, *, p: float | None = None) -> Tensor:
        kept = self.uniform() < (self.p if p is None else p)
        return torch.where(kept, value, torch.full_like(value, default))

    def together(self, *values: Tensor) -> list[Tensor]:
        kept = self.uniform() < self.p
        return [torch.where(kept, value, torch.zeros_like(value)) for value in values]


def _geometry(dice: _Dice) -> Tensor:
    """Scale, turn, stretch, turn again and move, each with probability p."""
    ln2 = math.log(2)
    # Two turns around the stretch: each with 1 - sqrt(1 - p), so that one happens with p.
    p_turn = 1 - math.sqrt(1 - dice.p)
    scale = dice.where(torch.exp(dice.normal(0.2 * ln2)), 1.0)
    first = dice.where(dice.uniform(-math.pi, math.pi), p=p_turn)
    stretch = dice.where(torch.exp(dice.normal(0.2 * ln2)), 1.0)
    second = dice.where(dice.uniform(-math.pi, math.pi), p=p_turn)
    move = _move(*dice.together(dice.normal(0.25), dice.normal(0.25)))
    parts = [_scale(scale, scale), _turn(first), _scale(stretch, 1 / stretch), _turn(second), move]
    matrix = _identity(dice)
    for part in parts:
        matrix = part @ matrix
    return matrix


def _colour(dice: _Dice) -> Tensor:
    """Return a 4x4 matrix for each sample, on (R, G, B, 1) in [-1, 1]."""
    axis = torch.full((3,), 1 / math.sqrt(3), device=dice.device)  # Of lightness.
    grey = torch.outer(axis, axis).expand(dice.batch, 3, 3)
    eye = torch.eye(3, device=dice.device).expand(dice.batch, 3, 3)
    brightness = dice.where(dice.normal(0.2))
    contrast = dice.where(torch.exp(dice.normal(0.5 * math.log(2))), 1.0)
    inverted = dice.where(dice.integers(2))[:, None, None]
    hue = dice.where(dice.uniform(-math.pi, math.pi))
    saturation = dice.where(torch.exp(dice.normal(math.log(2))), 1.0)[:, None, None]
    linear = contrast[:, None, None] * eye
    linear = (eye - 2 * inverted * grey) @ linear
    linear = _around(axis, hue) @ linear
    linear = (grey + saturation * (eye - grey)) @ linear
    shift = linear @ brightness[:, None, None].expand(-1, 3, 1)
    return torch.cat([linear, shift], dim=2)


def _warp(image: Tensor, matrix: Tensor) -> Tensor:
    """Move pictures; done at twice the size, so that little sharpness is lost."""
    height, width = image.shape[-2:]
    large = F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
    theta = torch.linalg.inv(matrix)[:, :2].to(image.dtype)
    grid = F.affine_grid(theta, [len(image), 3, 2 * height, 2 * width], align_corners=False)
    # Mirrored as often as needed: grid_sample's own reflection is exact for any distance.
    moved = F.grid_sample(large, grid, padding_mode="reflection", align_corners=False)
    return F.avg_pool2d(moved, 2)


def _recolour(image: Tensor, matrix: Tensor) -> Tensor:
    signed = (image * 2 - 1).flatten(start_dim=2)
    matrix = matrix.to(image.dtype)
    mixed = torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], signed)
    return (mixed.view_as(image) + 1) / 2


def _identity(dice: _Dice) -> Tensor:
    return torch.eye(3, device=dice.device).expand(dice.batch, 3, 3)


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _scale(x: Tensor, y: Tensor | None) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, one if y is None else y, zero], [zero, zero, one]])


def _turn(angle: Tensor) -> Tensor:
    sin, cos = angle.sin(), angle.cos()
    zero, one = torch.zeros_like(sin), torch.ones_like(sin)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _move(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def _around(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotation about an axis, Rodrigues' formula."""
    x, y, z = axis.unbind()
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
    sin, cos = angle.sin()[:, None, None], angle.cos()[:, None, None]
    eye = torch.eye(3, device=axis.device)
    return eye + sin * cross + (1 - cos) * (cross @ cross)
