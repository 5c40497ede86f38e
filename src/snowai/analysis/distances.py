"""How far two sets of pictures are apart, whole and inside the eyes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from snowai._checks import check_image, check_points, check_same_shape
from snowai.faces.landmarks import region_points
from snowai.faces.schemes import scheme_named
from snowai.losses import l1_loss

__all__ = ["eye_crops", "paired_distances"]

_EYE_SIDE = 1.8  # Side of an eye's box, in widths of the eye: lids, lashes and a little skin.

Distance = Callable[[Tensor, Tensor], Tensor]


def eye_crops(image: Tensor, points: Tensor, *, scheme: str, size: int = 64) -> Tensor:
    """Cut a square box around each eye.

    Args:
        image: :math:`(B, C, H, W)`.
        points: Landmarks :math:`(B, N, 2)` in pixels, finite.
        scheme: Of the points.
        size: Side of the crops, in pixels.

    Returns:
        :math:`(2 B, C, S, S)`: all left eyes, then all right eyes.

    Example:
        >>> eye_crops(torch.rand(2, 3, 64, 64), torch.rand(2, 68, 2) * 64, scheme="ibug68").shape
        torch.Size([4, 3, 64, 64])
    """
    from torchvision.ops import roi_align

    check_image(image, "image")
    check_points(points, "points", count=scheme_named(scheme).size)
    boxes = []
    for region in ("left_eye", "right_eye"):
        eye = region_points(points, region, scheme=scheme)
        centre = (eye.amax(dim=1) + eye.amin(dim=1)) / 2
        half = (eye.amax(dim=1) - eye.amin(dim=1))[:, :1] * _EYE_SIDE / 2
        index = torch.arange(len(eye), device=image.device, dtype=image.dtype)[:, None]
        boxes.append(torch.cat([index, centre - half, centre + half], dim=1))
    crops: Tensor = roi_align(image, torch.cat(boxes).to(image), (size, size), aligned=True)
    return crops


def paired_distances(
    prediction: Tensor,
    target: Tensor,
    points: Tensor,
    *,
    scheme: str = "mediapipe478",
    lpips: Distance | None = None,
) -> Mapping[str, float]:
    """Measure predictions against their targets: L1, SSIM and, when given, LPIPS.

    Args:
        prediction: :math:`(B, 3, H, W)` in [0, 1].
        target: Of the same shape.
        points: Landmarks :math:`(B, N, 2)` of the photos, in pixels.
        scheme: Of the points.
        lpips: Called with (prediction, target), e.g. :class:`snowai.LPIPSLoss`.

    Returns:
        ``l1``, ``ssim`` and ``lpips`` of the whole images, and with ``eye_`` before them of the
        boxes around the eyes.

    Example:
        >>> image, points = torch.rand(1, 3, 64, 64), torch.rand(1, 68, 2) * 64
        >>> distances = paired_distances(image, image, points, scheme="ibug68")
        >>> distances["l1"], round(distances["eye_ssim"], 3)
        (0.0, 1.0)
    """
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    check_same_shape(prediction, target, ("prediction", "target"))
    views = {
        "": (prediction, target),
        "eye_": tuple(eye_crops(image, points, scheme=scheme) for image in (prediction, target)),
    }
    measures: dict[str, Callable[..., object]] = {
        "l1": l1_loss,
        "ssim": lambda first, second: ssim(first, second, data_range=1.0),
    }
    if lpips is not None:
        measures["lpips"] = lpips
    with torch.no_grad():
        return {
            prefix + name: float(torch.as_tensor(measure(*images)))
            for prefix, images in views.items()
            for name, measure in measures.items()
        }
