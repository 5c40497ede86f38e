"""Where latents come from and how they are moved: seeds, mixing, directions with a meaning."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from tqdm.auto import tqdm

from snowai._checks import check_choice
from snowai.faces import Landmarker, Landmarks
from snowai.models import StyleGAN2Generator
from snowai.styles.parts import describe_weight

__all__ = [
    "FACE_SCORES",
    "edit_latents",
    "find_directions",
    "fit_direction",
    "mix_styles",
    "read_latents",
    "sample_latents",
    "score_faces",
    "score_samples",
]


def sample_latents(
    generator: StyleGAN2Generator,
    seeds: Sequence[int],
    *,
    truncation: float = 1.0,
    label: Tensor | None = None,
) -> Tensor:
    """Return ws for seeds; a seed gives the same latent in any batch, order or process.

    Args:
        generator: Whose mapping network is asked.
        seeds: One for each latent.
        truncation: 1 leaves w, towards 0 it nears the average.
        label: :math:`(B, l)` for generators with labels.

    Returns:
        ws :math:`(B, n, w)`.

    Example:
        >>> generator = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> alone, both = sample_latents(generator, [7]), sample_latents(generator, [3, 7])
        >>> torch.allclose(alone[0], both[1])
        True
    """
    device = generator.mapping.w_avg.device
    z = torch.stack(
        [
            torch.randn(generator.z_dim, generator=torch.Generator().manual_seed(int(seed)))
            for seed in seeds
        ]
    )
    with torch.no_grad():
        ws: Tensor = generator.mapping(z.to(device), label, truncation=truncation)
    return ws


def read_latents(path: str | Path, generator: StyleGAN2Generator) -> Tensor:
    """Read the latents of a .safetensors file: inverted photos, or grown from them.

    Args:
        path: File with ``ws`` (N, n, w).
        generator: Whose latents they must be.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no latents, or another generator's.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There are no latents {path}.")
    try:
        ws: Tensor = load_file(path)["ws"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no latents 'ws' ({error}).") from None
    if ws.dim() != 3 or ws.shape[1:] != (generator.num_ws, generator.w_dim):
        raise ValueError(
            f"The latents in {path} have shape {tuple(ws.shape)}; this generator takes "
            f"(N, {generator.num_ws}, {generator.w_dim})."
        )
    return ws.float()


def mix_styles(coarse: Tensor, fine: Tensor, cut: int) -> Tensor:
    """Take the first ``cut`` ws from one latent and the others from another.

    Coarse layers hold pose and shape, fine ones colours: mixing widens a set's colours without
    moving a face.

    Args:
        coarse: :math:`(B, n, w)`.
        fine: Alike.
        cut: From 0 (all fine) to n (all coarse).

    Source:
        https://arxiv.org/abs/1812.04948, section 3.1.

    Example:
        >>> mix_styles(torch.zeros(1, 4, 2), torch.ones(1, 4, 2), 3)[0, :, 0]
        tensor([0., 0., 0., 1.])
    """
    if not 0 <= cut <= coarse.shape[1]:
        raise ValueError(f"cut must be from 0 to {coarse.shape[1]}; got {cut}.")
    return torch.cat([coarse[:, :cut], fine[:, cut:]], dim=1)


def edit_latents(
    ws: Tensor, direction: Tensor, amount: float | Tensor, *, layers: Sequence[int] | None = None
) -> Tensor:
    """Move latents along a direction, in some layers only when asked.

    Args:
        ws: :math:`(B, n, w)`; left as it is.
        direction: :math:`(w)`.
        amount: How far; one number, or one for each latent :math:`(B)`.
        layers: Indices of ws to move; default all. Early ones move shape, late ones colour.

    Example:
        >>> edit_latents(torch.zeros(1, 4, 2), torch.ones(2), 0.5, layers=[0, 1])[0, :, 0]
        tensor([0.5000, 0.5000, 0.0000, 0.0000])
    """
    count = ws.shape[1]
    chosen = list(range(count)) if layers is None else list(layers)
    if any(not 0 <= layer < count for layer in chosen):
        raise ValueError(f"layers must be from 0 to {count - 1}; got {chosen}.")
    steps = torch.as_tensor(amount, dtype=ws.dtype, device=ws.device).reshape(-1, 1, 1)
    mask = torch.zeros(1, count, 1, dtype=ws.dtype, device=ws.device)
    mask[:, chosen] = 1
    return ws + steps * mask * direction.to(ws)


def find_directions(
    generator: StyleGAN2Generator, count: int = 8, *, resolutions: Sequence[int] | None = None
) -> Tensor:
    r"""Find the directions in w that change a generator's styles most, in closed form (SeFa).

    They are the leading eigenvectors of :math:`A^T A`, where A stacks the affine layers.

    Args:
        generator: Any.
        count: How many directions.
        resolutions: Whose layers count, e.g. ``[4, 8]`` for pose and shape; default all.

    Returns:
        Unit directions :math:`(k, w)`, the strongest first.

    Source:
        Shen and Zhou, https://arxiv.org/abs/2007.06600

    Example:
        >>> generator = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128)
        >>> find_directions(generator, 3).shape
        torch.Size([3, 8])
    """
    affines = [
        weight.detach().float()
        for name, weight in generator.named_parameters()
        if name.startswith("synthesis.layers.")
        and name.endswith("affine.weight")
        and (resolutions is None or describe_weight(name)[1] in resolutions)
    ]
    if not affines:
        raise ValueError(f"The generator has no layers at {resolutions} pixels.")
    stacked = torch.cat(affines)
    stacked = stacked / stacked.norm(dim=1, keepdim=True)
    vectors: Tensor = torch.linalg.eigh(stacked.t() @ stacked).eigenvectors
    return vectors.flip(1).t()[:count].contiguous()


def fit_direction(ws: Tensor, scores: Tensor, *, ridge: float = 1e-2) -> Tensor:
    r"""Fit the direction along which a score grows, from scored samples.

    Ridge regression of the score on w; one step along the result raises the fitted score by 1.

    Args:
        ws: :math:`(N, n, w)` or :math:`(N, w)`, sampled ones.
        scores: :math:`(N)`, e.g. of :func:`score_faces`; not-a-number entries are left out.
        ridge: Strength of the ridge, in units of w's variance.

    Returns:
        Direction :math:`(w)`.

    Raises:
        ValueError: Fewer than ten scored samples, or scores that are all the same.

    Example:
        >>> ws = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        >>> direction = fit_direction(ws, 2 * ws[:, 1])
        >>> round(float(direction[1]), 1)
        0.5
    """
    points = ws[:, 0] if ws.dim() == 3 else ws
    kept = torch.isfinite(scores)
    points, values = points[kept].double(), scores[kept].double()
    if len(points) < 10:
        raise ValueError(f"A direction needs at least 10 scored samples; got {len(points)}.")
    if float(values.std()) < 1e-9:
        raise ValueError("All samples have one score, so no direction raises it.")
    points, values = points - points.mean(dim=0), values - values.mean()
    spread = points.t() @ points / len(points)
    size = spread.diagonal().mean().clamp_min(1e-12)
    eye = torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    slope: Tensor = torch.linalg.solve(
        spread + ridge * size * eye, points.t() @ values / len(points)
    )
    return (slope / slope.square().sum().clamp_min(1e-12)).to(ws.dtype)


def score_faces(images: Tensor, landmarker: Landmarker, score: str = "smile") -> Tensor:
    """Score the faces of pictures; pictures without a face give not-a-number.

    Args:
        images: :math:`(B, 3, H, W)` in [0, 1].
        landmarker: With blendshapes, e.g. :class:`snowai.MediaPipeLandmarker`.
        score: "smile" and "eyes_closed" from 0 to 1; "yaw", about -1 to 1, above 0 when the head
            turns to its left.

    Returns:
        :math:`(B)`.
    """
    check_choice(score, "score", FACE_SCORES)
    values = []
    for image in images:
        faces = landmarker.detect(image.clamp(0, 1).float().cpu())
        values.append(FACE_SCORES[score](faces[0]) if faces else float("nan"))
    return torch.tensor(values)


def score_samples(
    generator: StyleGAN2Generator,
    ws: Tensor,
    landmarker: Landmarker,
    score: str = "smile",
    *,
    size: int = 256,
) -> Tensor:
    """Draw latents and score the faces, as :func:`fit_direction` takes them.

    Args:
        generator: Draws the faces.
        ws: :math:`(N, n, w)`.
        landmarker: With blendshapes.
        score: See :func:`score_faces`.
        size: Small faces are enlarged to this side, in pixels: landmarkers miss them otherwise.

    Returns:
        :math:`(N)`; not-a-number where no face was found.
    """
    scores = []
    for latent in tqdm(torch.split(ws, 1), desc="scoring", unit="face"):
        with torch.no_grad():
            image = generator.synthesis(latent).clamp(0, 1)
        large = F.interpolate(image, (size, size), mode="bicubic", antialias=True)
        scores.append(score_faces(large, landmarker, score))
    return torch.cat(scores)


def _smile(face: Landmarks) -> float:
    return _mean_shape(face, "mouthSmileLeft", "mouthSmileRight")


def _eyes_closed(face: Landmarks) -> float:
    return _mean_shape(face, "eyeBlinkLeft", "eyeBlinkRight")


def _yaw(face: Landmarks) -> float:
    """Where the nose's tip lies between the outer ends of the eyes."""
    right, left = (face.region(eye).mean(dim=0) for eye in ("right_eye", "left_eye"))
    across = left - right
    nose = face.region("nose").mean(dim=0)
    return float(2 * ((nose - right) @ across) / (across @ across).clamp_min(1e-6) - 1)


def _mean_shape(face: Landmarks, *names: str) -> float:
    if not face.blendshapes:
        raise ValueError("This score needs a landmarker with blendshapes: MediaPipeLandmarker().")
    return sum(face.blendshapes[name] for name in names) / len(names)


FACE_SCORES: Mapping[str, Callable[[Landmarks], float]] = {
    "smile": _smile,
    "eyes_closed": _eyes_closed,
    "yaw": _yaw,
}
"""What :func:`score_faces` can measure."""
