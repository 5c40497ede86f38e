"""Where the face is: points with a scheme that gives them names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from snowai.faces.schemes import MEDIAPIPE_TO_IBUG68, REGIONS, scheme_named

__all__ = ["Landmarker", "Landmarks", "flip_points", "region_points", "transform_points"]


@dataclass(frozen=True)
class Landmarks:
    """The points of one face.

    Args:
        points: Tensor (N, 2) of (x, y) in pixels; (0, 0) is the image's top left corner and the
            centre of the first pixel is (0.5, 0.5).
        scheme: "mediapipe478" or "ibug68".
        blendshapes: Scores of expressions in [0, 1] by MediaPipe's names, when known.

    Raises:
        ValueError: Unknown scheme, or not its number of points.

    Example:
        >>> face = Landmarks(torch.rand(68, 2), scheme="ibug68")
        >>> face.region("left_eye").shape
        torch.Size([6, 2])
    """

    points: Tensor
    scheme: str
    blendshapes: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the number of points."""
        size = scheme_named(self.scheme).size
        if self.points.shape != (size, 2):
            raise ValueError(
                f"{self.scheme} landmarks must have shape ({size}, 2); "
                f"got {tuple(self.points.shape)}."
            )

    def region(self, name: str) -> Tensor:
        """Return the points of a region, e.g. "left_eye"; left is the person's left.

        Raises:
            ValueError: The scheme has no such region; the message lists what it has.
        """
        regions = scheme_named(self.scheme).regions
        if name not in regions:
            known = ", ".join(region for region in REGIONS if region in regions)
            raise ValueError(f"{self.scheme} landmarks have no {name!r}; they have {known}.")
        return self.points[list(regions[name])]

    def box(self) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) of all points, in pixels."""
        left, top = self.points.amin(dim=0).tolist()
        right, bottom = self.points.amax(dim=0).tolist()
        return left, top, right, bottom

    def transform(self, matrix: Tensor) -> "Landmarks":
        """Return the landmarks moved by an affine matrix (2, 3)."""
        return replace(self, points=transform_points(self.points[None], matrix[None])[0])

    def flip(self, width: float) -> "Landmarks":
        """Return the landmarks of the mirrored image; left and right change names."""
        points = flip_points(self.points[None], width, scheme=self.scheme)[0]
        return replace(self, points=points, blendshapes=_swap_sides(self.blendshapes))

    def to_ibug68(self) -> "Landmarks":
        """Return the 68 points that face-alignment would give."""
        if self.scheme == "ibug68":
            return self
        points = self.points[list(MEDIAPIPE_TO_IBUG68)]
        return replace(self, points=points, scheme="ibug68")


@runtime_checkable
class Landmarker(Protocol):
    """Finds faces; see :class:`MediaPipeLandmarker` and :class:`FaceAlignmentLandmarker`."""

    scheme: str

    def detect(self, image: Tensor) -> list[Landmarks]:
        """Return the faces of an image (3, H, W) in [0, 1], the largest first."""
        ...


def transform_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Move points (B, N, 2) by affine matrices (B, 2, 3).

    Example:
        >>> shift = torch.tensor([[[1.0, 0.0, 5.0], [0.0, 1.0, -2.0]]])
        >>> transform_points(torch.zeros(1, 1, 2), shift)
        tensor([[[ 5., -2.]]])
    """
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def flip_points(points: Tensor, width: float, *, scheme: str) -> Tensor:
    """Mirror points (B, N, 2) in an image of a width; left and right swap indices.

    Mirroring x alone would call the left eye right, and every later step would believe it.

    Example:
        >>> points = torch.rand(1, 68, 2)
        >>> twice = flip_points(flip_points(points, 1.0, scheme="ibug68"), 1.0, scheme="ibug68")
        >>> torch.allclose(twice, points)
        True
    """
    mirrored = points[:, list(scheme_named(scheme).mirror)]
    return torch.stack([width - mirrored[..., 0], mirrored[..., 1]], dim=-1)


def region_points(points: Tensor, region: str, *, scheme: str) -> Tensor:
    """Return the points (B, n, 2) of a region from points (B, N, 2) of a scheme."""
    return points[:, list(scheme_named(scheme).regions[region])]


def _swap_sides(blendshapes: Mapping[str, float]) -> dict[str, float]:
    """Exchange ...Left and ...Right."""

    def other(name: str) -> str:
        if name.endswith("Left"):
            return name.removesuffix("Left") + "Right"
        return name.removesuffix("Right") + "Left" if name.endswith("Right") else name

    return {other(name): score for name, score in blendshapes.items()}
