"""How far two sets of pictures are apart, whole and inside the eyes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from snowai._checks import check_same_shape
from snowai.faces import eye_crops
from snowai.losses import l1_loss

__all__ = ["paired_distances"]

Distance = Callable[[Tensor, Tensor], Tensor]


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
