"""FaceFilter: every face of a photo through the real-time network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from snowai._checks import check_choice
from snowai.checkpoint import keeps_config
from snowai.faces import (
    Landmarker,
    Landmarks,
    MediaPipeLandmarker,
    align,
    alignment_matrix,
    eye_mask,
    feather_mask,
    paste_back,
)
from snowai.filters.result import FilterResult, check_strength, like, several
from snowai.hub import from_pretrained
from snowai.image import Photo, to_tensor

__all__ = ["FaceCrops", "FaceFilter"]

_BATCH = 16  # Crops in one run of the network: bounds the memory of a photo with a crowd.


class FaceCrops(NamedTuple):
    """What the network sees of a photo."""

    images: Tensor  # (F, 3, S, S) in [0, 1]
    eye_masks: Tensor  # (F, 1, S, S) in [0, 1]
    matrices: Tensor  # (F, 2, 3), from photo pixels to crop pixels
    faces: list[Landmarks]  # in photo pixels


@keeps_config
class FaceFilter(nn.Module):
    """Find every face of a photo, cut it out, run the network with its eye mask, and lay it back.

    A filter is one file: network, crop geometry and feather travel together.

    Args:
        network: Called with (image, eye_mask), e.g. :class:`snowai.EyeMaskInput`.
        size: Side of the crops, in pixels: what the network was trained on.
        zoom: Above 1 cuts closer around the face; as in training.
        feather: Width of the fade at the crop's border, as a share of the side.

    Shape:
        - ``filter(photo)`` takes a PIL image, an array (H, W, 3), a tensor (3, H, W) or a path, or
          a list of those, and gives a :class:`FilterResult`, or a list of them.

    Raises:
        ValueError: A wrong strength, or no face where ``on_missing="error"``.
        BadImage: A path leads to no image.

    Example:
        >>> toon = FaceFilter.from_pretrained("toon")
        >>> result = toon(astronaut)
        >>> len(result.faces), result.image.size
        (1, (512, 512))
    """

    def __init__(
        self, network: nn.Module, *, size: int = 256, zoom: float = 1.0, feather: float = 0.12
    ) -> None:
        super().__init__()
        if size % 32:
            raise ValueError(f"size must be a multiple of 32; got {size}.")
        feather_mask(size, feather=feather)  # Refuses a wrong feather now, not at the first photo.
        self.network = network.eval()
        self.size, self.zoom, self.feather = size, zoom, feather
        self.landmarker: Landmarker | None = None  # None: MediaPipe, when first needed.

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: str | torch.device = "cpu"
    ) -> "FaceFilter":
        """Load a filter by shipped name ("toon"), file, folder or Hub id.

        Raises:
            FileNotFoundError: Nothing of that name.
            ValueError: The file is damaged, or holds something else than a filter.
        """
        module = from_pretrained(name, device=device)
        if not isinstance(module, cls):
            raise ValueError(
                f"{name} holds a {type(module).__name__}, not a FaceFilter; "
                "wrap it: FaceFilter(network, size=...)."
            )
        return module

    def forward(
        self,
        photo: Photo | Sequence[Photo],
        *,
        strength: float = 1.0,
        on_missing: Literal["keep", "error"] = "keep",
    ) -> FilterResult | list[FilterResult]:
        """Filter one photo, or each of a list.

        Args:
            photo: What to filter; a tensor (B, 3, H, W) counts as a list.
            strength: 0 leaves the photo, 1 is the whole filter.
            on_missing: "keep" returns photos without a face unchanged; "error" raises.
        """
        check_choice(on_missing, "on_missing", ("keep", "error"))
        check_strength(strength)
        if (photos := several(photo)) is not None:
            results = [self(one, strength=strength, on_missing=on_missing) for one in photos]
            return cast("list[FilterResult]", results)
        photo = cast("Photo", photo)
        image = to_tensor(photo)
        crops = self.cut(image)
        if not crops.faces:
            if on_missing == "error":
                raise ValueError("No face was found in the photo.")
            return FilterResult(like(photo, image), [])
        filtered = self.lay(crops, image[None], strength=strength)
        return FilterResult(like(photo, filtered[0]), crops.faces)

    def cut(self, photo: Photo) -> FaceCrops:
        """Find the faces of a photo and cut out what the network sees.

        Example:
            >>> FaceFilter.from_pretrained("toon").cut(astronaut).eye_masks.shape
            torch.Size([1, 1, 256, 256])
        """
        image = to_tensor(photo).float()
        self.landmarker = self.landmarker or MediaPipeLandmarker()
        faces = self.landmarker.detect(image)
        if not faces:
            empty = image.new_zeros(0, 4, self.size, self.size)
            return FaceCrops(empty[:, :3], empty[:, 3:], image.new_zeros(0, 2, 3), [])
        matrices = torch.stack(
            [alignment_matrix(face, self.size, zoom=self.zoom) for face in faces]
        ).to(image)
        crops = torch.cat([align(image[None], matrix[None], self.size) for matrix in matrices])
        moved = [face.transform(m) for face, m in zip(faces, matrices.cpu(), strict=True)]
        points = torch.stack([face.points for face in moved]).to(image)
        masks = eye_mask(points, (self.size, self.size), scheme=self.landmarker.scheme)
        return FaceCrops(crops, masks, matrices, faces)

    def lay(self, crops: FaceCrops, photo: Tensor, *, strength: float = 1.0) -> Tensor:
        """Draw the faces that were cut out and lay them onto a photo.

        Args:
            crops: See :meth:`cut`.
            photo: :math:`(1, 3, H, W)`, the one that they were cut from, or what else became of it.
            strength: 0 leaves the photo, 1 shows the whole faces.

        Returns:
            A new photo :math:`(1, 3, H, W)`.
        """
        if not crops.faces:
            return photo.clone()
        drawn = self.draw(crops.images, crops.eye_masks)
        mask = feather_mask(self.size, feather=self.feather).to(photo)
        for crop, matrix in zip(drawn.to(photo), crops.matrices.to(photo), strict=True):
            photo = paste_back(photo, crop[None], matrix[None], mask=mask, strength=strength)
        return photo

    @torch.no_grad()
    def draw(self, images: Tensor, eye_masks: Tensor) -> Tensor:
        """Run the network on crops; device and dtype are the network's.

        Args:
            images: :math:`(F, 3, S, S)` in [0, 1].
            eye_masks: :math:`(F, 1, S, S)` in [0, 1].

        Returns:
            :math:`(F, 3, S, S)` in [0, 1].
        """
        weight = next(self.network.parameters())
        drawn = [
            self.network(image.to(weight), mask.to(weight)).clamp(0, 1)
            for image, mask in zip(
                torch.split(images, _BATCH), torch.split(eye_masks, _BATCH), strict=True
            )
        ]
        return torch.cat(drawn)
