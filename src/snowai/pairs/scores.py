"""What is measured of a pair: do both pictures show one face, in one place, well drawn?"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from snowai._checks import check_image, check_same_shape
from snowai.faces import Landmarker, Landmarks, eye_openness
from snowai.faces.landmarks import region_points
from snowai.faces.warp import face_axes
from snowai.losses import PerceptualLoss, lite0_features

__all__ = ["SCORES", "PairScorer", "Score", "difference_hash", "hash_distance"]

_HASH_SIDE = 16  # 512 bits: aligned faces are too much alike for the usual 64.


class Score(NamedTuple):
    """What a score says.

    Args:
        meaning: In words.
        wrong: On which side pairs are bad: "high", "low" or "both".
        slack: Differences from the middle half of a set that say nothing, however even the set.
    """

    meaning: str
    wrong: Literal["high", "low", "both"]
    slack: float


SCORES: Mapping[str, Score] = {
    "eyes_apart": Score("the eyes lie in other places", "high", 0.02),
    "mouth_apart": Score("the mouth lies in another place or has another shape", "high", 0.01),
    "jaw_apart": Score("the jaw lies in another place or has another shape", "high", 0.02),
    "openness_apart": Score("the eyes are open to another degree", "both", 0.03),
    "distance": Score("the pictures are nearly the same, or have little in common", "both", 0.05),
    "sharpness": Score("the styled picture is blurred or rough", "both", 0.3),
    "photo_sharpness": Score("the photo is blurred or rough", "both", 0.3),
    "light": Score("the styled picture is too dark or too bright", "both", 0.05),
    "photo_light": Score("the photo is too dark or too bright", "both", 0.05),
    "clipped": Score("much of the styled picture is plain black or white", "high", 0.02),
    "artefacts": Score("the teacher's discriminator finds the styled picture odd", "high", 0.5),
}
"""Every score by name. Distances of points are counted in distances of the eyes."""


class PairScorer:
    """Measure pairs.

    Args:
        landmarker: Finds the faces.
        distance: Called with (photo, styled), (1, 3, H, W) each, e.g.
            :class:`snowai.PerceptualLoss`; without it pairs have no "distance".
        discriminator: The teacher's, e.g. of :func:`snowai.styles.load_discriminator`; maps
            pictures to how real they look. Without it there are no "artefacts".
    """

    def __init__(
        self,
        landmarker: Landmarker,
        *,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
        discriminator: Any = None,
    ) -> None:
        self.landmarker, self.distance, self.discriminator = landmarker, distance, discriminator

    @classmethod
    def with_lite0(cls, landmarker: Landmarker, *, discriminator: Any = None) -> "PairScorer":
        """Return a scorer whose distance is EfficientNet-Lite0's, at strides 8 and 16.

        Deep enough to know another person, not so deep that all styles look alike.

        Raises:
            ImportError: The package with the weights is missing.
        """
        distance = PerceptualLoss(lite0_features((2, 3)))
        return cls(landmarker, distance=distance, discriminator=discriminator)

    @property
    def extras(self) -> set[str]:
        """The scores that depend on what this scorer was given."""
        extras = {"distance": self.distance, "artefacts": self.discriminator}
        return {name for name, given in extras.items() if given is not None}

    @torch.no_grad()
    def __call__(self, photo: Tensor, styled: Tensor) -> dict[str, Any]:
        """Return the scores of a pair (3, H, W) in [0, 1].

        Returns:
            The :data:`SCORES` that could be measured; "faces", 2 when one was found in both
            pictures; and "hash", of the photo.
        """
        pair = photo[None], styled[None]
        for image, name in zip(pair, ("photo", "styled"), strict=True):
            check_image(image, name, channels=3)
        check_same_shape(*pair, ("photo", "styled"))
        found = [self.landmarker.detect(image) for image in (photo, styled)]
        scores: dict[str, Any] = {"faces": sum(bool(faces) for faces in found)}
        if all(found):
            scores |= _geometry(found[0][0], found[1][0])
        if self.distance is not None:
            scores["distance"] = float(self.distance(*pair))
        if self.discriminator is not None:
            side = self.discriminator.resolution
            small = F.interpolate(pair[1], (side, side), mode="bilinear", antialias=True)
            scores["artefacts"] = -float(self.discriminator(small))
        for prefix, image in (("photo_", pair[0]), ("", pair[1])):
            scores[f"{prefix}sharpness"] = _sharpness(image)
            scores[f"{prefix}light"] = float(image.mean())
        ends = (pair[1].amax(dim=1) < 0.004) | (pair[1].amin(dim=1) > 0.996)
        scores["clipped"] = float(ends.float().mean())
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in scores.items()}
        return rounded | {"hash": difference_hash(photo)}


def _geometry(photo: Landmarks, styled: Landmarks) -> dict[str, float]:
    points = [face.points[None] for face in (photo, styled)]
    scheme = photo.scheme
    unit = face_axes(points[0], scheme=scheme)[2]
    apart = (points[0] - points[1]) / unit
    centres = torch.stack(
        [region_points(apart, eye, scheme=scheme).mean(dim=1) for eye in ("left_eye", "right_eye")]
    )
    wider = eye_openness(points[1], scheme=scheme) - eye_openness(points[0], scheme=scheme)
    return {
        "eyes_apart": _mean_length(centres),
        "mouth_apart": _mean_length(region_points(apart, "mouth", scheme=scheme)),
        "jaw_apart": _mean_length(region_points(apart, "jaw", scheme=scheme)),
        # Of the eye that differs more; below 0 the styled eye is the more closed one.
        "openness_apart": float(wider[0, wider[0].abs().argmax()]),
    }


def _mean_length(offsets: Tensor) -> float:
    return float(offsets.norm(dim=-1).mean())


def _sharpness(image: Tensor) -> float:
    """Return the logarithm of the mean energy of the Laplacian: about 1 a halving of detail."""
    fine = kornia.filters.laplacian(kornia.color.rgb_to_grayscale(image), 3)
    return math.log2(float(fine.square().mean()) + 1e-8) / 2


def difference_hash(image: Tensor) -> str:
    """Return a picture's difference hash: is it brighter to the right, and further down?

    Pictures that differ by scale, light or compression have nearly the same hash.

    Args:
        image: (3, H, W) in [0, 1].

    Returns:
        512 bits as 128 hexadecimal digits.

    Example:
        >>> image = torch.rand(3, 64, 64)
        >>> hash_distance(difference_hash(image), difference_hash(image * 0.5))
        0
    """
    grey = kornia.color.rgb_to_grayscale(image[None])
    brighter = []
    for down, right in ((0, 1), (1, 0)):
        size = (_HASH_SIDE + down, _HASH_SIDE + right)
        small = F.interpolate(grey, size, mode="bilinear", antialias=True)[0, 0]
        brighter += (small.diff(dim=right) > 0).flatten().tolist()
    return f"{int(''.join('01'[bit] for bit in brighter), 2):0{len(brighter) // 4}x}"


def hash_distance(one: str, other: str) -> int:
    """Return how many bits of two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
