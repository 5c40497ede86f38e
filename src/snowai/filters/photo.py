"""PhotoFilter: a whole photo through the post-edit network, at any size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snowai.checkpoint import keeps_config
from snowai.faces import Landmarker, Landmarks, MediaPipeLandmarker, alignment_matrix, eye_mask
from snowai.filters.face import FaceFilter
from snowai.filters.result import FilterResult, check_strength, like, several
from snowai.filters.tiles import run_tiled
from snowai.hub import from_pretrained
from snowai.image import Photo, to_tensor
from snowai.models import EyeMaskInput

__all__ = ["PhotoFilter", "photo_eye_mask"]

_BLEND = 16  # Half the width in which tiles fade into each other, in pixels.
_SOFTNESS = 0.01  # Of the mask's edge, as a share of the face's crop, as in training.


@keeps_config
class PhotoFilter(nn.Module):
    """Draw a whole photo, face and background; faces can be left to a :class:`FaceFilter`.

    Photos larger than a tile are drawn in overlapping tiles that share what the network knows of
    the whole photo, so no seam shows: the joined picture equals the untiled one within rounding
    (``nox -s bench -- photo``). Memory is that of photo, mask and picture in float32 and of one
    tile: 1.0 GB for 4K, 1.5 GB for 8K.

    Args:
        network: :class:`snowai.models.EditNet` or the like, with ``context``, ``reach`` and
            ``multiple``; an :class:`snowai.EyeMaskInput` around it is taken off. With 4 channels it
            gets the eye mask of all faces.
        faces: Draws the faces, over the photo.
        tile: Side of a tile, in pixels.
        side: Draw photos whose shorter side is longer than this at this size, and enlarge the
            picture: lines then are as wide in a photo of 12 megapixels as in a small one. Without
            it every photo is drawn at its own size.

    Shape:
        - ``filter(photo)`` takes a PIL image, an array (H, W, 3), a tensor (3, H, W) or a path, or
          a list of those, and gives a :class:`FilterResult`, or a list of them.

    Raises:
        ValueError: A wrong strength, or a network or tile that does not fit.
        BadImage: A path leads to no image.

    Example:
        >>> network = snowai.models.EditNet(widths=(8, 8), blocks=1)
        >>> result = PhotoFilter(network, tile=128)(astronaut)
        >>> len(result.faces), result.image.size
        (1, (512, 512))
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        faces: FaceFilter | None = None,
        tile: int = 640,
        side: int | None = None,
    ) -> None:
        super().__init__()
        network = network.network if isinstance(network, EyeMaskInput) else network
        for name in ("context", "reach", "multiple", "in_channels"):
            if not hasattr(network, name):
                raise ValueError(
                    f"PhotoFilter draws large photos in tiles and needs a network with {name}, "
                    f"e.g. EditNet; got {type(network).__name__}."
                )
        self.network: Any = network.eval()
        self.faces, self.tile, self.side = faces, tile, side
        self.landmarker: Landmarker | None = None  # None: MediaPipe, when first needed.
        smallest = 2 * self.margin + 2 * _BLEND
        if tile < smallest:
            raise ValueError(
                f"tile must be at least {smallest} pixels for this network, which sees "
                f"{network.reach} pixels far; got {tile}."
            )

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: str | torch.device = "cpu"
    ) -> "PhotoFilter":
        """Load a filter by shipped name ("toon-photo"), file, folder or Hub id.

        Raises:
            FileNotFoundError: Nothing of that name.
            ValueError: The file is damaged, or holds something else than a photo filter.
        """
        module = from_pretrained(name, device=device)
        if not isinstance(module, cls):
            raise ValueError(f"{name} holds a {type(module).__name__}, not a PhotoFilter.")
        return module

    @property
    def margin(self) -> int:
        """What a tile sees beyond its part, in pixels."""
        return int(self.network.reach) + _BLEND

    def forward(
        self, photo: Photo | Sequence[Photo], *, strength: float = 1.0, progress: bool = False
    ) -> FilterResult | list[FilterResult]:
        """Filter one photo, or each of a list.

        Args:
            photo: What to filter; a tensor (B, 3, H, W) counts as a list.
            strength: 0 leaves the photo, 1 is the whole filter.
            progress: Show a bar over the tiles of a large photo.
        """
        check_strength(strength)
        if (photos := several(photo)) is not None:
            results = [self(one, strength=strength, progress=progress) for one in photos]
            return cast("list[FilterResult]", results)
        photo = cast("Photo", photo)
        image = to_tensor(photo).float()
        small = self._shrink(image)
        faces = self._find(small) if self.network.in_channels > 3 else []
        drawn = _resize(self.draw(small, faces, progress=progress), image)
        scale = image.shape[-1] / small.shape[-1]
        faces = [face.transform(torch.tensor([[scale, 0, 0], [0, scale, 0]])) for face in faces]
        if self.faces is not None:
            crops = self.faces.cut(image)
            drawn, faces = self.faces.lay(crops, drawn[None])[0], crops.faces
        if strength < 1:
            drawn = torch.lerp(image, drawn, strength)
        return FilterResult(like(photo, drawn), faces)

    @torch.no_grad()
    def draw(
        self, image: Tensor, faces: Sequence[Landmarks] = (), *, progress: bool = False
    ) -> Tensor:
        """Run the network on a photo, in tiles where it is large.

        Args:
            image: :math:`(3, H, W)` in [0, 1].
            faces: Whose eyes are in the mask.
            progress: Show a bar.

        Returns:
            :math:`(3, H, W)` in [0, 1].
        """
        weight = next(self.network.parameters())
        x = image[None]
        if self.network.in_channels > 3:
            mask = photo_eye_mask(faces, (image.shape[1], image.shape[2]))
            x = torch.cat([x, mask.to(image)], dim=1)
        context = self.network.context(x.to(weight))
        drawn = run_tiled(
            lambda part: self.network(part.to(weight), context).to(image),
            x,
            margin=self.margin,
            tile=self.tile,
            blend=_BLEND,
            multiple=self.network.multiple,
            progress=progress,
        )
        return drawn[0].clamp(0, 1)

    def _shrink(self, image: Tensor) -> Tensor:
        """Return the photo at the size at which it is drawn."""
        height, width = image.shape[-2:]
        if self.side is None or min(height, width) <= self.side:
            return image
        scale = self.side / min(height, width)
        return _resize(image, image.new_empty(1, round(height * scale), round(width * scale)))

    def _find(self, image: Tensor) -> list[Landmarks]:
        self.landmarker = self.landmarker or MediaPipeLandmarker()
        return self.landmarker.detect(image)


def _resize(image: Tensor, like: Tensor) -> Tensor:
    """Return an image (3, H, W) at the size of another."""
    size = (like.shape[-2], like.shape[-1])
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)


def photo_eye_mask(faces: Sequence[Landmarks], size: tuple[int, int]) -> Tensor:
    """Draw where the eyes of all faces of a photo are open, each as soft as in its crop.

    Args:
        faces: In pixels of the photo.
        size: (height, width) of the photo.

    Returns:
        :math:`(1, 1, H, W)` in [0, 1].

    Example:
        >>> photo_eye_mask([], (64, 48)).shape
        torch.Size([1, 1, 64, 48])
    """
    mask = torch.zeros(1, 1, *size)
    for face in faces:
        # A crop of one pixel's side is this much smaller than the face in the photo.
        shrunk = float(torch.linalg.det(alignment_matrix(face, 1)[:, :2]).abs().sqrt())
        soft = _SOFTNESS / max(shrunk, 1e-6)
        for box in _eye_boxes(face, size, grow=soft + 1):
            left, top, right, bottom = box
            points = face.points[None] - torch.tensor([left, top])
            height = bottom - top
            drawn = eye_mask(
                points, (height, right - left), scheme=face.scheme, softness=soft / height
            )
            part = mask[..., top:bottom, left:right]
            torch.maximum(part, drawn, out=part)
    return mask


def _eye_boxes(
    face: Landmarks, size: tuple[int, int], *, grow: float
) -> list[tuple[int, int, int, int]]:
    """Return the pixel boxes around a face's eyes that lie in the photo."""
    boxes = []
    for region in ("left_eye", "right_eye"):
        eye = face.region(region)
        left, top = (eye.amin(dim=0) - grow).floor().long().tolist()
        right, bottom = (eye.amax(dim=0) + grow).ceil().long().tolist()
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, size[1]), min(bottom, size[0])
        if left < right and top < bottom:
            boxes.append((left, top, right, bottom))
    return boxes
