"""Find the latents of photos, tune a generator to them, and grow few into many."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from tqdm.auto import tqdm

from snowai._checks import check_choice, check_image
from snowai._files import write_bytes
from snowai.faces import Landmarker, align, alignment_matrix
from snowai.image import find_images, read_image, write_image
from snowai.losses import PerceptualLoss, lite0_features
from snowai.models import StyleGAN2Generator
from snowai.styles.latents import read_latents, sample_latents

__all__ = [
    "Inversion",
    "InvertConfig",
    "grow_seeds",
    "invert",
    "invert_folder",
    "tune_generator",
]

_SAMPLES = 1_000  # Latents that tell where faces lie in w.


@dataclass(frozen=True)
class InvertConfig:
    """How a photo is projected.

    Args:
        space: "w" finds one latent, close to what the generator draws by itself; "w+" one for
            each layer, closer to the photo and less editable.
        steps: Of Adam.
        learning_rate: Its largest value; it rises over the first 5 % and falls over the last 25 %.
        noise: Optimise the noise maps too, and keep them white.
        noise_weight: Of what keeps them white.
        pixel: Weight of the mean squared difference beside the perceptual one.
        latent_noise: Noise added to w early on, in deviations of w, against bad ends.
        nearness: Weight of w's squared distance from the average, in deviations.
        seed: Of the noise.

    Source:
        https://arxiv.org/abs/1912.04958, appendix D.
    """

    space: Literal["w", "w+"] = "w+"
    steps: int = 300
    learning_rate: float = 0.1
    noise: bool = True
    noise_weight: float = 1e3
    pixel: float = 1.0
    latent_noise: float = 0.05
    nearness: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.space, "space", ("w", "w+"))

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        place = step / max(self.steps, 1)
        fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - place) / 0.25))
        return self.learning_rate * fall * min(1.0, place / 0.05 + 1 / max(self.steps, 1))


@dataclass(frozen=True)
class Inversion:
    """What was found for a batch of photos.

    Args:
        ws: :math:`(B, n, w)`.
        noise: One map :math:`(B, 1, R, R)` for each layer.
        images: What the generator draws from them, :math:`(B, 3, R, R)` in [0, 1].
        distance: The perceptual distance reached, of the whole batch.
    """

    ws: Tensor
    noise: list[Tensor]
    images: Tensor
    distance: float


def invert(
    generator: StyleGAN2Generator,
    photos: Tensor,
    *,
    perceptual: nn.Module | None = None,
    config: InvertConfig | None = None,
    progress: bool = True,
) -> Inversion:
    """Find latents whose pictures look like the photos.

    Args:
        generator: Left as it is.
        photos: :math:`(B, 3, R, R)` in [0, 1], aligned as the generator's pictures are.
        perceptual: Called with (prediction, target); default EfficientNet-Lite0's features.
        config: The numbers.
        progress: Show a bar.

    Raises:
        ValueError: The photos are not of the generator's size.
    """
    check_image(photos, "photos", channels=3)
    side = generator.resolution
    if photos.shape[-2:] != (side, side):
        raise ValueError(
            f"photos must be {side}x{side}, aligned as the generator's pictures are; got "
            f"{photos.shape[-1]}x{photos.shape[-2]}. Use align() first, or invert_folder()."
        )
    config = config or InvertConfig()
    perceptual = perceptual or PerceptualLoss(lite0_features((0, 1, 2))).to(photos.device)
    generator = copy.deepcopy(generator).eval().requires_grad_(False)
    source = torch.Generator().manual_seed(config.seed)
    average, deviation = _spread(generator)
    count = 1 if config.space == "w" else generator.num_ws
    latent = average.expand(len(photos), count, -1).clone().requires_grad_(True)
    noise = generator.synthesis.draw_noise(len(photos), generator=source)
    learnt = [latent, *(x.requires_grad_(config.noise) for x in noise)]
    optimizer = torch.optim.Adam([x for x in learnt if x.requires_grad], betas=(0.9, 0.999))
    for step in tqdm(range(config.steps), desc="inverting", disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step)
        fading = max(0.0, 1 - step / config.steps / 0.75) ** 2
        shake = torch.randn(latent.shape, generator=source).to(latent) * deviation
        ws = (latent + config.latent_noise * fading * shake).expand(-1, generator.num_ws, -1)
        images = generator.synthesis(ws, noise=noise)
        loss = perceptual(images, photos) + config.pixel * F.mse_loss(images, photos)
        loss = loss + config.nearness * ((latent - average) / deviation).square().mean()
        if config.noise:
            loss = loss + config.noise_weight * _colour_of_noise(noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if config.noise:
            _whiten(noise)
    with torch.no_grad():
        ws = latent.detach().expand(-1, generator.num_ws, -1).clone()
        kept = [x.detach() for x in noise]
        images = generator.synthesis(ws, noise=kept).clamp(0, 1)
        return Inversion(ws, kept, images, float(perceptual(images, photos)))


def tune_generator(
    generator: StyleGAN2Generator,
    inversion: Inversion,
    photos: Tensor,
    *,
    perceptual: nn.Module | None = None,
    steps: int = 100,
    learning_rate: float = 3e-4,
    locality: float = 0.1,
    reach: float = 30.0,
    seed: int = 0,
    progress: bool = True,
) -> StyleGAN2Generator:
    r"""Tune a generator until the inverted latents give the photos themselves (PTI).

    A locality term keeps the pictures of other latents where they were: between the pivot and a
    random latent, ``reach`` away from it, tuned and old generator must agree.

    Args:
        generator: Left as it is.
        inversion: The pivots, from :func:`invert`.
        photos: Those that were inverted.
        perceptual: Called with (prediction, target); default EfficientNet-Lite0's features.
        steps: Of Adam.
        learning_rate: Of Adam.
        locality: Weight of the locality term; 0 leaves it out.
        reach: Distance from the pivot at which it is measured.
        seed: Of the random latents.
        progress: Show a bar.

    Returns:
        A tuned copy.

    Source:
        Roich et al., https://arxiv.org/abs/2106.05744
    """
    perceptual = perceptual or PerceptualLoss(lite0_features((0, 1, 2))).to(photos.device)
    old = copy.deepcopy(generator).eval().requires_grad_(False)
    tuned = copy.deepcopy(generator).eval().requires_grad_(False)
    tuned.synthesis.requires_grad_(True)
    optimizer = torch.optim.Adam(tuned.synthesis.parameters(), lr=learning_rate)
    for step in tqdm(range(steps), desc="tuning", disable=not progress):
        images = tuned.synthesis(inversion.ws, noise=inversion.noise)
        loss = perceptual(images, photos) + F.mse_loss(images, photos)
        if locality > 0:
            away = _step_away(old, inversion.ws, reach, seed=seed + step)
            with torch.no_grad():
                wanted = old.synthesis(away, noise=inversion.noise)
            drawn = tuned.synthesis(away, noise=inversion.noise)
            moved = perceptual(drawn, wanted) + F.mse_loss(drawn, wanted)
            loss = loss + locality * moved
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return tuned.requires_grad_(False)


def invert_folder(
    generator: StyleGAN2Generator,
    photos: str | Path | Sequence[Path],
    out: str | Path,
    landmarker: Landmarker,
    *,
    perceptual: nn.Module | None = None,
    config: InvertConfig | None = None,
) -> tuple[list[Path], list[Path]]:
    """Invert the largest face of each photo; what is done already is kept.

    Args:
        generator: Whose latents are looked for.
        photos: A folder, or image files.
        out: Gets NAME.safetensors (ws, noise) and NAME.png (photo beside inversion).
        landmarker: Finds the faces.
        perceptual: See :func:`invert`.
        config: See :func:`invert`.

    Returns:
        The files written, and the photos without a face.

    Raises:
        ValueError: No photo has a face.
        BadImage: A file is no image (named).
    """
    paths = find_images(photos) if isinstance(photos, str | Path) else list(photos)
    out = Path(out)
    written: list[Path] = []
    faceless: list[Path] = []
    for path in tqdm(paths, desc="inverting", unit="photo"):
        target = out / f"{path.stem}.safetensors"
        if not target.is_file():
            image = read_image(path)
            faces = landmarker.detect(image)
            if not faces:
                faceless.append(path)
                continue
            matrix = alignment_matrix(faces[0], generator.resolution)
            crop = align(image[None], matrix[None], generator.resolution)
            found = invert(generator, crop, perceptual=perceptual, config=config, progress=False)
            write_image(out / f"{path.stem}.png", torch.cat([crop[0], found.images[0]], dim=2))
            noise = {f"noise.{index}": x.contiguous() for index, x in enumerate(found.noise)}
            write_bytes(target, to_safetensors({"ws": found.ws.contiguous(), **noise}))
        written.append(target)
    if not written:
        names = ", ".join(path.name for path in faceless[:5])
        raise ValueError(f"No face was found in {len(paths)} photos ({names}); nothing to invert.")
    return written, faceless


def grow_seeds(
    generator: StyleGAN2Generator,
    ws: Tensor | Sequence[str | Path],
    count: int,
    *,
    spread: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """Grow many latents from a few inverted photos, all of them still faces.

    Each is a random mean of some photos, moved by a part of a random latent's own offset, and
    drawn back when it lies further from the average than the generator's own latents do.

    Args:
        generator: Whose latents they are.
        ws: :math:`(B, n, w)`, or files of :func:`invert_folder`.
        count: How many.
        spread: 0 stays between the photos, 1 moves as far as random latents lie apart.
        seed: Of all that is random; latent i does not depend on ``count``.

    Returns:
        :math:`(N, n, w)`; the photos' own latents come first.

    Example:
        >>> generator = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> grow_seeds(generator, sample_latents(generator, [1, 2]), 5).shape
        torch.Size([5, 6, 8])
    """
    if not isinstance(ws, Tensor):
        ws = torch.cat([read_latents(path, generator) for path in ws])
    if ws.dim() != 3 or len(ws) == 0:
        raise ValueError(f"ws must be (B, n, w) with at least one latent; got {tuple(ws.shape)}.")
    average, deviation = _spread(generator)
    samples = sample_latents(generator, range(_SAMPLES))
    farthest = torch.quantile(((samples - average) / deviation).norm(dim=2), 0.95)
    grown = list(ws[:count])
    for index in range(len(grown), count):
        dice = torch.Generator().manual_seed((seed << 32) + index)
        # Exponential shares, normalised, are uniform over all means of the photos.
        shares = torch.empty(len(ws)).exponential_(generator=dice).to(ws)
        mean = torch.tensordot(shares / shares.sum(), ws, dims=1)
        own = samples[int(torch.randint(_SAMPLES, (), generator=dice))] - average
        latent = mean + spread * own
        offset = (latent - average) / deviation
        length = offset.norm(dim=1, keepdim=True)
        grown.append(average + deviation * offset * (farthest / length).clamp(max=1.0))
    return torch.stack(grown)


def _spread(generator: StyleGAN2Generator) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of w."""
    points = sample_latents(generator, range(_SAMPLES))[:, 0]
    return points.mean(dim=0), points.std(dim=0).clamp_min(1e-6)


def _step_away(generator: StyleGAN2Generator, ws: Tensor, reach: float, *, seed: int) -> Tensor:
    offset = sample_latents(generator, [seed]) - ws
    length: Tensor = offset.flatten(1).norm(dim=1).clamp_min(1e-6)
    return ws + reach * offset / length[:, None, None]


def _colour_of_noise(noise: Sequence[Tensor]) -> Tensor:
    """Measure how far noise maps are from white, at all sizes down to 8 pixels."""
    total = noise[0].new_zeros(())
    for x in noise:
        while True:
            for shift in (2, 3):
                total = total + (x * torch.roll(x, 1, dims=shift)).mean().square()
            if x.shape[-1] <= 8:
                break
            x = F.avg_pool2d(x, 2)  # noqa: PLW2901
    return total


@torch.no_grad()
def _whiten(noise: Sequence[Tensor]) -> None:
    for x in noise:
        x.sub_(x.mean(dim=(2, 3), keepdim=True))
        x.div_(x.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp_min(1e-6))
