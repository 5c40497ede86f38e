"""Faces from frame to frame: who is who, smoothed so that crops do not jitter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snowai.faces import Landmarks, OneEuroFilter, alignment_matrix

__all__ = ["FaceTracker", "TrackedFace"]

_FORGET = 1.0  # Seconds after which a face that was not seen again is gone.


@dataclass(frozen=True)
class TrackedFace:
    """A face in one frame of many.

    Args:
        face: Its smoothed landmarks, in pixels of the frame.
        matrix: From frame to crop pixels, (2, 3), smoothed further: the crop rests on it.
        number: The same for the same face in all frames.
    """

    face: Landmarks
    matrix: Tensor
    number: int


class FaceTracker:
    """Follow faces through a video and smooth where they are.

    Landmarks pass a one-euro filter that follows quick lids; the crop's place passes a slower one,
    so that the picture does not swim in it. Both count in face widths, so that near and far faces
    are treated alike.

    Args:
        size: Side of the crops, in pixels.
        zoom: Above 1 cuts closer; see :func:`snowai.faces.alignment_matrix`.
        smooth: Off takes the landmarks as they are: what jitters then is what smoothing saves.

    Example:
        >>> tracker = FaceTracker(256)
        >>> face = snowai.MediaPipeLandmarker().detect(snowai.image.to_tensor(astronaut))[0]
        >>> [tracked.number for tracked in tracker([face], 0.0) + tracker([face], 1 / 30)]
        [0, 0]
    """

    def __init__(self, size: int, *, zoom: float = 1.0, smooth: bool = True) -> None:
        self.size, self.zoom, self.smooth = size, zoom, smooth
        self._tracks: list[_Track] = []
        self._made = 0

    def __call__(self, faces: Sequence[Landmarks], seconds: float) -> list[TrackedFace]:
        """Take the faces that were found in a frame and return them smoothed, in their order.

        Args:
            faces: In pixels of the frame.
            seconds: When the frame was taken; later than the last.
        """
        self._tracks = [t for t in self._tracks if 0 < seconds - t.seen < _FORGET]
        free = list(self._tracks)
        found = []
        for face in faces:
            track = min(free, key=lambda t: t.distance(face), default=None)
            if track is None or track.distance(face) > 0.5:
                track = _Track(self._made)
                self._made += 1
                self._tracks.append(track)
            else:
                free.remove(track)
            found.append(track.follow(face, seconds, self))
        return found


class _Track:
    """One face through time."""

    def __init__(self, number: int) -> None:
        self.number, self.seen = number, 0.0
        self.centre, self.width = torch.zeros(2), 1.0
        self.landmarks = OneEuroFilter(min_cutoff=3.0, beta=10.0, speed_cutoff=3.0)
        self.crop = OneEuroFilter(min_cutoff=0.6, beta=3.0)

    def distance(self, face: Landmarks) -> float:
        """Return how far the face is from where this one was, in face widths."""
        return float((_centre(face) - self.centre).norm()) / self.width

    def follow(self, face: Landmarks, seconds: float, tracker: FaceTracker) -> TrackedFace:
        self.seen, self.centre = seconds, _centre(face)
        left, _, right, _ = face.box()
        if self.width == 1.0:
            self.width = max(right - left, 1.0)  # The unit must stay the same for the filters.
        if not tracker.smooth:
            matrix = alignment_matrix(face, tracker.size, zoom=tracker.zoom)
            return TrackedFace(face, matrix, self.number)
        points = self.landmarks(face.points / self.width, seconds) * self.width
        face = replace(face, points=points)
        # Where the crop's corner, x axis and so its y axis lie in the frame: three points.
        corners = _corners(alignment_matrix(face, tracker.size, zoom=tracker.zoom), tracker.size)
        corners = self.crop(corners / self.width, seconds) * self.width
        return TrackedFace(face, _from_corners(corners, tracker.size), self.number)


def _centre(face: Landmarks) -> Tensor:
    return face.points.mean(dim=0)


def _corners(matrix: Tensor, size: int) -> Tensor:
    """Return the frame's places of the crop's middle and of its right edge's middle, (2, 2)."""
    crop = matrix.new_tensor([[size / 2, size / 2], [size, size / 2]])
    places: Tensor = (crop - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T
    return places


def _from_corners(places: Tensor, size: int) -> Tensor:
    """Return the similarity that brings those two places where they belong."""
    middle, right = places
    across, down = (right - middle).tolist()
    scale = size / 2 / max(across**2 + down**2, 1e-12)
    linear = places.new_tensor([[across, down], [-down, across]]) * scale
    return torch.cat([linear, (size / 2 - linear @ middle)[:, None]], dim=1)
