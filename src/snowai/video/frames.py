"""The frame path: bytes in, bytes out, and never more of the frame touched than the face."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snowai.faces import Landmarks, MediaPipeTracker, feather_mask
from snowai.faces.masks import round_contour
from snowai.filters import FaceFilter
from snowai.models import prepare_for_inference
from snowai.video.tracking import FaceTracker, TrackedFace

__all__ = ["FrameFilter", "draw_eyes", "filter_frames"]

Frame = NDArray[np.uint8]
Draw = Callable[[Tensor, Tensor], Tensor]

_SOFTNESS = 0.01  # Half width of the mask's edge, as a share of the side: what training used.
_SUBPIXELS = 4  # Bits: OpenCV draws at sixteenths of a pixel.
_FINER = 4  # Pixels of the grid on which the mask's edge is measured, to one of the mask's.


class FrameFilter:
    """Filter frames one after the other: a :class:`snowai.FaceFilter` at the speed of video.

    Each frame goes through landmarks, crop, mask, network and paste-back in bytes and inside the
    face's box only (``nox -s bench -- frame`` tells what each costs). Faces are tracked and
    smoothed, see :class:`FaceTracker`.

    Args:
        face_filter: Network, crop size and feather.
        draw: Runs the network instead, e.g. in ONNX Runtime: called with crops
            :math:`(F, 3, S, S)` and eye masks :math:`(F, 1, S, S)` in [0, 1].
        landmarks_every: Look for faces in every n-th frame only; between, they stay where they
            were. 2 saves half of the dearest step at the cost of a frame's delay.
        max_faces: Faces found at most.
        smooth: Off takes landmarks as they are found.

    Raises:
        ValueError: ``landmarks_every`` is below 1.
        ImportError: MediaPipe is missing.

    Example:
        >>> frames = FrameFilter(snowai.FaceFilter.from_pretrained("toon"))
        >>> frames(np.asarray(astronaut), 0.0).shape, len(frames.faces)
        ((512, 512, 3), 1)
    """

    def __init__(
        self,
        face_filter: FaceFilter,
        *,
        draw: Draw | None = None,
        landmarks_every: int = 1,
        max_faces: int = 4,
        smooth: bool = True,
    ) -> None:
        if landmarks_every < 1:
            raise ValueError(f"landmarks_every must be at least 1; got {landmarks_every}.")
        self.size, self.landmarks_every = face_filter.size, landmarks_every
        self.draw = draw or _Folded(face_filter)
        self.landmarker = MediaPipeTracker(max_faces=max_faces)
        self.tracker = FaceTracker(self.size, zoom=face_filter.zoom, smooth=smooth)
        mask = feather_mask(self.size, feather=face_filter.feather)[0, 0]
        self._feather: NDArray[np.float32] = mask.numpy()
        self._seen = 0
        self.faces: list[TrackedFace] = []
        """The faces of the last frame."""

    def __call__(self, frame: Frame, seconds: float, *, strength: float = 1.0) -> Frame:
        """Return the filtered frame; the given one is left alone.

        Args:
            frame: (H, W, 3), bytes, RGB.
            seconds: When it was taken; later than the last.
            strength: 0 leaves the frame, 1 is the whole filter.
        """
        self.faces = self.find(frame, seconds)
        filtered = frame.copy()
        if self.faces and strength > 0:
            crops, masks = self.cut(frame, self.faces)
            drawn = self.run(crops, masks)
            for tracked, picture in zip(self.faces, drawn, strict=True):
                self.lay(filtered, picture, tracked.matrix.numpy(), strength=strength)
        return filtered

    def find(self, frame: Frame, seconds: float) -> list[TrackedFace]:
        """Return the frame's faces, looking only when it is time to."""
        looks = self._seen % self.landmarks_every == 0
        self._seen += 1
        return self.tracker(self.landmarker.track(frame, seconds), seconds) if looks else self.faces

    def cut(self, frame: Frame, faces: list[TrackedFace]) -> tuple[Frame, NDArray[np.float32]]:
        """Return crops (F, S, S, 3) and eye masks (F, S, S)."""
        import cv2

        crops = np.empty((len(faces), self.size, self.size, 3), np.uint8)
        masks = np.empty((len(faces), self.size, self.size), np.float32)
        for crop, mask, tracked in zip(crops, masks, faces, strict=True):
            matrix = _of_centres(tracked.matrix.numpy())
            source, matrix = _halved(frame, matrix)
            cv2.warpAffine(
                source,
                matrix,
                (self.size, self.size),
                dst=crop,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            )
            draw_eyes(tracked.face.transform(tracked.matrix), mask)
        return crops, masks

    def run(self, crops: Frame, masks: NDArray[np.float32]) -> Frame:
        """Return the drawn crops (F, S, S, 3)."""
        # numpy, not torch: torch's threads would have to share the cores with the runtime's.
        images = crops.transpose(0, 3, 1, 2).astype(np.float32)
        images *= 1 / 255
        drawn = self.draw(torch.from_numpy(images), torch.from_numpy(masks)[:, None])
        levels = drawn.detach().numpy() * 255
        levels += 0.5
        picture: Frame = np.clip(levels, 0, 255, out=levels).astype(np.uint8)
        return np.ascontiguousarray(picture.transpose(0, 2, 3, 1))

    def lay(
        self, frame: Frame, crop: Frame, matrix: NDArray[np.float32], *, strength: float = 1.0
    ) -> None:
        """Lay a crop (S, S, 3) onto a frame, in place, inside the box that it covers."""
        import cv2

        left, top, right, bottom = _box(matrix, self.size, (frame.shape[0], frame.shape[1]))
        if left >= right or top >= bottom:
            return
        moved = _of_centres(matrix).copy()
        moved[:, 2] += moved[:, :2] @ np.array([left, top], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (right - left, bottom - top)
        colours = cv2.warpAffine(crop, moved, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(self._feather, moved, size, flags=flags)
        if strength < 1:
            alpha *= strength
        below = frame[top:bottom, left:right]
        frame[top:bottom, left:right] = cv2.blendLinear(colours, below, alpha, 1 - alpha)


def filter_frames(
    frames: Iterable[Frame],
    face_filter: FaceFilter,
    *,
    rate: float = 30.0,
    strength: float = 1.0,
    landmarks_every: int = 1,
    draw: Draw | None = None,
) -> Iterator[Frame]:
    """Filter frames as they come, e.g. from a webcam; see ``examples/webcam.py``.

    Args:
        frames: (H, W, 3) each, bytes, RGB.
        face_filter: What to do with the faces.
        rate: Frames a second.
        strength: 0 leaves the frames, 1 is the whole filter.
        landmarks_every: Look for faces in every n-th frame only.
        draw: Runs the network instead; see :class:`FrameFilter`.

    Example:
        >>> toon = snowai.FaceFilter.from_pretrained("toon")
        >>> frames = [np.asarray(astronaut)] * 2
        >>> [frame.shape for frame in filter_frames(frames, toon)]
        [(512, 512, 3), (512, 512, 3)]
    """
    path = FrameFilter(face_filter, landmarks_every=landmarks_every, draw=draw)
    for number, frame in enumerate(frames):
        yield path(frame, number / rate, strength=strength)


class _Folded:
    """The filter's network made ready to run, on whatever device it is."""

    def __init__(self, face_filter: FaceFilter) -> None:
        self.network = prepare_for_inference(face_filter.network)
        self.weight = next(face_filter.network.parameters())

    @torch.inference_mode()
    def __call__(self, images: Tensor, eye_masks: Tensor) -> Tensor:
        """Return the pictures, on the CPU."""
        drawn: Tensor = self.network(images.to(self.weight), eye_masks.to(self.weight))
        return drawn.float().cpu()


def draw_eyes(face: Landmarks, mask: NDArray[np.float32]) -> None:
    """Draw where the eyes are open into a mask (S, S), as :func:`snowai.faces.eye_mask` does.

    Distances to the edge are found on a grid four times as fine instead of by formula: within 0.02
    of it on average along the edges, in a quarter of a millisecond.
    """
    import cv2

    mask[:] = 0
    soft = _SOFTNESS * mask.shape[0]
    bounds = np.array(mask.shape[::-1])
    for region in ("left_eye", "right_eye"):
        contour = round_contour(face.region(region)[None])[0].numpy()
        low = np.clip(np.floor(contour.min(axis=0) - soft - 1), 0, bounds).astype(int)
        high = np.clip(np.ceil(contour.max(axis=0) + soft + 1), 0, bounds).astype(int)
        if (high <= low).any():
            continue
        inside = np.zeros(((high - low) * _FINER)[::-1], np.uint8)
        fixed = np.round(((contour - low) * _FINER - 0.5) * 2**_SUBPIXELS).astype(np.int32)
        cv2.fillPoly(inside, [fixed], 255, shift=_SUBPIXELS)
        distance = cv2.distanceTransform(255 - inside, cv2.DIST_L2, 3)
        distance -= cv2.distanceTransform(inside, cv2.DIST_L2, 3)
        fine = np.clip(0.5 - distance / (2 * soft * _FINER), 0, 1)
        drawn = cv2.resize(fine, (high - low).tolist(), interpolation=cv2.INTER_AREA)
        part = mask[low[1] : high[1], low[0] : high[0]]
        np.maximum(part, drawn, out=part)


def _of_centres(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Return a matrix for OpenCV, which has the first pixel's centre at 0 instead of one half."""
    moved = np.asarray(matrix, np.float32).copy()
    moved[:, 2] += moved[:, :2] @ np.array([0.5, 0.5], np.float32) - 0.5
    return moved


def _halved(frame: Frame, matrix: NDArray[np.float32]) -> tuple[Frame, NDArray[np.float32]]:
    """Halve frames with large faces until a crop's pixel is less than two of theirs."""
    import cv2

    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    while scale <= 0.5 and min(frame.shape[:2]) >= 2:
        height, width = frame.shape[0] // 2, frame.shape[1] // 2
        frame = cv2.resize(
            frame[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA
        )
        # The first pixel's centre moves from 0 to 0.5, in old pixels.
        matrix = np.concatenate(
            [matrix[:, :2] * 2, matrix[:, 2:] + matrix[:, :2].sum(axis=1, keepdims=True) / 2],
            axis=1,
        )
        scale *= 2
    return frame, matrix


def _box(
    matrix: NDArray[np.float32], size: int, bounds: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the pixel box of the frame that a crop covers, cut to the frame."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    places = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    left, top = np.floor(places.min(axis=0)).astype(int)
    right, bottom = np.ceil(places.max(axis=0)).astype(int)
    return max(left, 0), max(top, 0), min(right, bounds[1]), min(bottom, bounds[0])
