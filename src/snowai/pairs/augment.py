"""One random change for the whole pair: photo, styled image, mask and points move together."""

from typing import Any

import torch
from torch import Tensor, nn

from snowai.faces.landmarks import flip_points
from snowai.pairs.dataset import Pair

__all__ = ["PairAugment"]


class PairAugment(nn.Module):
    """Flip, turn, scale, shift and recolour pairs alike; degrade the photo alone.

    Follows torch's global random state. A flip swaps left and right points.

    Args:
        scheme: Of the points.
        flip: Probability of mirroring.
        moved: Probability of turning, scaling and shifting, and of recolouring. The rest keep
            their pixels: every moved picture is a little blurred, and a network that saw no other
            draws blurred ones.
        degrees: Largest turn.
        scale: Largest change of size, as a share.
        shift: Largest shift, as a share of the side.
        colour: Largest change of brightness, contrast and saturation, as a share, of both images.
        degrade: Probability of each of sharpening, blur and noise, on the photo only: what phone
            cameras do and style pictures do not. It costs a little sharpness on clean photos.

    Shape:
        - A batch of pairs; see :class:`Pair`.

    Example:
        >>> pair = Pair(*(part[None] for part in snowai.PairDataset(tiny_pairs, size=64)[0]))
        >>> PairAugment()(pair).photo.shape
        torch.Size([1, 3, 64, 64])
    """

    def __init__(
        self,
        *,
        scheme: str = "mediapipe478",
        flip: float = 0.5,
        moved: float = 0.5,
        degrees: float = 8.0,
        scale: float = 0.1,
        shift: float = 0.04,
        colour: float = 0.1,
        degrade: float = 0.1,
    ) -> None:
        super().__init__()
        import kornia.augmentation as aug
        from kornia.constants import DataKey, Resample

        self.scheme, self.flip = scheme, flip
        keys = ["input", "input", "mask", "keypoints"]
        self.together = aug.AugmentationSequential(
            aug.RandomAffine(
                degrees,
                translate=(shift, shift),
                scale=(1 - scale, 1 + scale),
                padding_mode="reflection",
                p=moved,
            ),
            aug.ColorJiggle(colour, colour, colour, p=moved),
            data_keys=keys,
            # Masks have soft edges; kornia's default for them is the nearest pixel.
            extra_args={
                DataKey.MASK: {"resample": Resample.BILINEAR, "align_corners": False},
            },
        )
        self.camera = aug.AugmentationSequential(
            aug.RandomSharpness(2.0, p=degrade),
            aug.RandomGaussianBlur((5, 5), (0.4, 1.2), p=degrade),
            aug.RandomGaussianNoise(std=0.02, p=degrade),
            data_keys=["input"],
        )

    def forward(self, pair: Pair) -> Pair:
        """Return the changed batch; the one given stays as it is."""
        flipped = torch.rand(len(pair.photo)) < self.flip
        photo, styled, mask, points = self._flip(pair, flipped.to(pair.photo.device))
        # kornia counts pixels from their centres, we from the corner of the first.
        moved: Any = self.together(photo, styled, mask, points - 0.5)
        photo, styled, mask, points = moved
        photo = self.camera(photo).clamp(0, 1)
        return Pair(photo, styled.clamp(0, 1), mask.clamp(0, 1), points + 0.5)

    def _flip(self, pair: Pair, flipped: Tensor) -> Pair:
        width = float(pair.photo.shape[-1])
        choose = flipped.view(-1, 1, 1, 1)
        images = [torch.where(choose, part.flip(-1), part) for part in pair[:3]]
        mirrored = flip_points(pair.points, width, scheme=self.scheme)
        points = torch.where(flipped.view(-1, 1, 1), mirrored, pair.points)
        return Pair(images[0], images[1], images[2], points)
