"""Cut a face out upright and put it back without a seam.

Coordinates are pixels from the top left corner, pixel centres at one half, so that nothing here
needs ``align_corners=True`` and an identity crop is exact.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image, check_matrix
from snowai.faces.landmarks import Landmarks, transform_points

__all__ = ["align", "alignment_matrix", "feather_mask", "paste_back"]


def alignment_matrix(face: Landmarks, size: int, *, zoom: float = 1.0) -> Tensor:
    """Return the similarity that brings a face upright into a square crop, as FFHQ is cropped.

    Args:
        face: Landmarks of either scheme.
        size: Side of the crop, in pixels.
        zoom: Above 1 cuts closer, below 1 leaves more around the face.

    Returns:
        Matrix (2, 3) from photo pixels to crop pixels.

    Source:
        Karras et al., https://arxiv.org/abs/1812.04948, appendix C.

    Example:
        >>> face = Landmarks(torch.rand(68, 2) * 100, scheme="ibug68")
        >>> alignment_matrix(face, 256).shape
        torch.Size([2, 3])
    """
    eyes = [face.region(side).mean(dim=0) for side in ("right_eye", "left_eye")]
    mouth = face.region("mouth").mean(dim=0)
    between_eyes = eyes[1] - eyes[0]
    middle = (eyes[0] + eyes[1]) / 2
    down = mouth - middle
    # The crop's x axis: eye to eye, steadied by the direction from eyes to mouth.
    axis = between_eyes + torch.stack([down[1], -down[0]])
    length = axis.norm().clamp_min(1e-6)
    half = torch.maximum(between_eyes.norm() * 2.0, down.norm() * 1.8).clamp_min(1e-6) / zoom
    scale = size / (2 * half)
    cosine, sine = scale * axis / length
    linear = torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
    centre = middle + down * 0.1
    return torch.cat([linear, (size / 2 - linear @ centre)[:, None]], dim=1)


def align(image: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Cut square crops out of images; what lies beyond the border is reflected.

    Large faces are sampled several times a pixel and averaged, so that nothing aliases.

    Args:
        image: :math:`(B, C, H, W)`.
        matrix: :math:`(B, 2, 3)` from image pixels to crop pixels, see :func:`alignment_matrix`.
        size: Side of the crops, in pixels.

    Returns:
        Crops :math:`(B, C, S, S)`, differentiable in image and matrix.

    Example:
        >>> image = torch.rand(1, 3, 8, 8)
        >>> identity = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> torch.allclose(align(image, identity, 8), image, atol=1e-6)
        True
    """
    check_image(image, "image")
    check_matrix(matrix, "matrix")
    return _sample(image, _invert(matrix), (0, 0, size, size), "reflection")


def paste_back(
    image: Tensor,
    crop: Tensor,
    matrix: Tensor,
    *,
    mask: Tensor | None = None,
    strength: float = 1.0,
) -> Tensor:
    """Lay crops back into their images, fading out towards the crop's border.

    Only the box that the crop covers is touched.

    Args:
        image: :math:`(B, C, H, W)`.
        crop: :math:`(B, C, S, S)`.
        matrix: :math:`(B, 2, 3)` from image pixels to crop pixels.
        mask: How much of the crop shows, :math:`(B, 1, S, S)`; default :func:`feather_mask`.
        strength: 0 leaves the image, 1 shows the whole crop.

    Returns:
        New images :math:`(B, C, H, W)`, differentiable in image, crop and mask.
    """
    check_image(image, "image")
    check_image(crop, "crop", channels=image.shape[1])
    check_matrix(matrix, "matrix")
    size = crop.shape[-1]
    mask = feather_mask(size).to(crop) if mask is None else mask
    box = _covered_box(matrix, size, (image.shape[-2], image.shape[-1]))
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return image.clone()
    layers = torch.cat([crop, mask.expand(len(crop), 1, size, size)], dim=1)
    # Colours are continued beyond the border, so that only the mask decides where the crop ends.
    colours = _sample(layers[:, :-1], matrix, box, "border")
    alpha = _sample(layers[:, -1:], matrix, box, "zeros") * strength
    below = image[..., top:bottom, left:right]
    pasted = image.clone()
    pasted[..., top:bottom, left:right] = below + (colours - below) * alpha
    return pasted


def feather_mask(size: int, *, feather: float = 0.12) -> Tensor:
    """Return a mask :math:`(1, 1, S, S)` that is 1 in the middle and fades to 0 at the border.

    Args:
        size: Side, in pixels.
        feather: Width of the fade, as a share of the side.

    Example:
        >>> mask = feather_mask(64)
        >>> mask[0, 0, 32, 32].item(), mask[0, 0, 0, 32].item() < 0.02
        (1.0, True)
    """
    if not 0 < feather <= 0.5:
        raise ValueError(f"feather must be in (0, 0.5]; got {feather}.")
    centre = (torch.arange(size) + 0.5) / size
    ramp = (torch.minimum(centre, 1 - centre) / feather).clamp(0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    # Rounded corners: the fade follows the distance from the inner square.
    return (ramp[:, None] * ramp[None, :])[None, None]


def _invert(matrix: Tensor) -> Tensor:
    inverse = torch.linalg.inv(matrix[:, :, :2].float()).to(matrix.dtype)
    return torch.cat([inverse, -inverse @ matrix[:, :, 2:]], dim=2)


def _sample(image: Tensor, matrix: Tensor, box: tuple[int, int, int, int], padding: str) -> Tensor:
    """Sample ``image`` at ``matrix`` times each pixel centre of ``box``, averaging when it shrinks.

    Args:
        image: :math:`(B, C, H, W)`.
        matrix: :math:`(B, 2, 3)` from output pixels to image pixels.
        box: (left, top, right, bottom) of the output, in output pixels.
        padding: Of ``grid_sample``.
    """
    left, top, right, bottom = box
    step = float(torch.linalg.det(matrix[:, :, :2].float()).abs().max().sqrt())
    samples = min(max(math.ceil(step - 0.01), 1), 8)
    x = left + (torch.arange((right - left) * samples, device=image.device) + 0.5) / samples
    y = top + (torch.arange((bottom - top) * samples, device=image.device) + 0.5) / samples
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).to(matrix.dtype)
    places = transform_points(grid.flatten(0, 1).expand(len(matrix), -1, -1), matrix)
    size = places.new_tensor([image.shape[-1], image.shape[-2]])
    places = (places * 2 / size - 1).view(len(matrix), *grid.shape)
    sampled = F.grid_sample(
        image, places.to(image.dtype), mode="bilinear", padding_mode=padding, align_corners=False
    )
    return F.avg_pool2d(sampled, samples) if samples > 1 else sampled


def _covered_box(matrix: Tensor, size: int, bounds: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixel box of the image that the crops cover, cut to the image."""
    corners = matrix.new_tensor([[0, 0], [size, 0], [size, size], [0, size]])
    places = transform_points(corners.expand(len(matrix), -1, -1), _invert(matrix)).flatten(0, 1)
    left, top = places.amin(dim=0).floor().long().tolist()
    right, bottom = places.amax(dim=0).ceil().long().tolist()
    height, width = bounds
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)
