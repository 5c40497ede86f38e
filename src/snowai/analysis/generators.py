"""Look at generators and score them: sheets to choose a blend from, distances between sets."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snowai._checks import check_image
from snowai.analysis.sheets import sheet
from snowai.losses import lite0_features
from snowai.models import StyleGAN2Generator
from snowai.styles import BlendRecipe, blend, edit_latents, sample_latents

__all__ = [
    "PooledFeatures",
    "blend_sweep",
    "edit_sheet",
    "frechet_distance",
    "generate",
    "pairs_sheet",
    "samples_sheet",
]


def generate(
    generator: StyleGAN2Generator,
    seeds: Sequence[int],
    *,
    truncation: float = 1.0,
    batch_size: int = 16,
) -> Iterator[Tensor]:
    """Yield batches of pictures (B, 3, R, R) in [0, 1], with the generator's own noise."""
    for start in range(0, len(seeds), batch_size):
        ws = sample_latents(generator, seeds[start : start + batch_size], truncation=truncation)
        with torch.inference_mode():
            yield generator.synthesis(ws).clamp(0, 1)


def blend_sweep(
    base: StyleGAN2Generator,
    styled: StyleGAN2Generator,
    recipes: Sequence[BlendRecipe],
    seeds: Sequence[int],
    *,
    truncation: float = 0.7,
) -> Tensor:
    """Draw a sheet to choose a blend from: a row for each seed, a column for each recipe.

    Args:
        base: Draws photos; the first column.
        styled: Draws the style; the last column.
        recipes: To be compared.
        seeds: Of the latents.
        truncation: Of the latents.

    Returns:
        One picture (3, H, W).

    Example:
        >>> base = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> recipe = BlendRecipe.hard(8, resolution=16)
        >>> blend_sweep(base, base, [recipe], seeds=[1, 2]).shape
        torch.Size([3, 56, 56])
    """
    generators = [base, *(blend(base, styled, recipe) for recipe in recipes), styled]
    ws = sample_latents(base, seeds, truncation=truncation)
    noise = base.synthesis.noise_const()
    with torch.inference_mode():
        columns = [g.synthesis(ws, noise=noise).clamp(0, 1) for g in generators]
    titles = ["base", *(recipe.name for recipe in recipes), "styled"]
    return sheet([list(row) for row in zip(*columns, strict=True)], titles=titles)


def edit_sheet(
    generator: StyleGAN2Generator,
    direction: Tensor,
    seeds: Sequence[int],
    amounts: Sequence[float],
    *,
    layers: Sequence[int] | None = None,
    truncation: float = 0.7,
) -> Tensor:
    """Draw faces moved along a direction: a row for each seed, a column for each amount.

    Args:
        generator: Any.
        direction: Of w, :math:`(w)`.
        seeds: Of the latents.
        amounts: How far, in steps of the direction.
        layers: Indices of ws that move; default all.
        truncation: Of the latents.

    Example:
        >>> generator = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> edit_sheet(generator, torch.ones(8), [1, 2], [-1, 0, 1]).shape
        torch.Size([3, 56, 56])
    """
    ws = sample_latents(generator, seeds, truncation=truncation)
    with torch.inference_mode():
        columns = [
            generator.synthesis(edit_latents(ws, direction, amount, layers=layers)).clamp(0, 1)
            for amount in amounts
        ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return sheet(rows, titles=[f"{amount:+g}" for amount in amounts])


def samples_sheet(
    generator: StyleGAN2Generator, seeds: Sequence[int], *, truncation: float = 0.7
) -> Tensor:
    """Draw a sheet of a generator's pictures, eight to a row.

    Example:
        >>> generator = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> samples_sheet(generator, range(10)).shape
        torch.Size([3, 36, 156])
    """
    images = torch.cat(list(generate(generator, seeds, truncation=truncation)))
    return sheet([list(row) for row in torch.split(images, 8)])


def pairs_sheet(pairs: Sequence[tuple[Tensor, Tensor]], *, columns: int = 4) -> Tensor:
    """Lay pairs out, photo beside styled, several to a row.

    Example:
        >>> pairs_sheet([(torch.rand(3, 16, 16), torch.rand(3, 16, 16))] * 3, columns=2).shape
        torch.Size([3, 36, 76])
    """
    rows = [
        [image for pair in pairs[start : start + columns] for image in pair]
        for start in range(0, len(pairs), columns)
    ]
    return sheet(rows)


class PooledFeatures(nn.Module):
    """A picture's mean feature vector, for distances between sets of pictures.

    Args:
        features: Network from a picture with mean and std 0.5 to a list of maps, the last of
            which is pooled; default EfficientNet-Lite0 at stride 32, 320 numbers.
        size: Pictures are brought to this side first.

    Shape:
        - Image: :math:`(B, 3, H, W)` in [0, 1]. Output: :math:`(B, F)`.
    """

    def __init__(self, features: nn.Module | None = None, *, size: int = 128) -> None:
        super().__init__()
        self.features = (features or lite0_features((4,))).eval().requires_grad_(False)
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Return one vector for each picture."""
        check_image(image, "image", channels=3)
        size = (self.size, self.size)
        image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
        pooled: Tensor = self.features(image * 2 - 1)[-1].mean(dim=(2, 3))
        return pooled


def frechet_distance(
    real: Iterator[Tensor] | Sequence[Tensor],
    fake: Iterator[Tensor] | Sequence[Tensor],
    *,
    features: nn.Module | None = None,
) -> float:
    """Measure how far two sets of pictures are apart, as FID does, on the features given.

    Not the published FID unless the features are its Inception: compare only numbers of the same
    features, with as many pictures on both sides.

    Args:
        real: Batches (B, 3, H, W) in [0, 1].
        fake: Alike.
        features: Maps a batch to vectors (B, F); default :class:`PooledFeatures`, whose weights
            arrive with a package.

    Raises:
        ImportError: torchmetrics is missing.

    Source:
        Heusel et al., https://arxiv.org/abs/1706.08500
    """
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except ImportError as error:
        raise ImportError("This distance needs: pip install 'snowai[analysis]'.") from error
    metric = FrechetInceptionDistance(
        features or PooledFeatures(), normalize=True, input_img_size=(3, 64, 64)
    )
    for batches, is_real in ((real, True), (fake, False)):
        for batch in batches:
            metric.update(batch.clone(), real=is_real)
    return float(metric.compute())
