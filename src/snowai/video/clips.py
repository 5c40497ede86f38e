"""Video files: decoded, filtered frame by frame, encoded again, with their sound kept."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from snowai._files import atomic_path
from snowai.filters import FaceFilter
from snowai.image import BadImage
from snowai.video.frames import Draw, Frame, FrameFilter

__all__ = ["VIDEO_SUFFIXES", "VideoResult", "filter_video"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class VideoResult:
    """What became of a clip.

    Args:
        path: The new file.
        frames: Frames written.
        with_face: Frames in which a face was found.
    """

    path: Path
    frames: int
    with_face: int


def filter_video(
    source: str | Path,
    target: str | Path,
    face_filter: FaceFilter,
    *,
    strength: float = 1.0,
    landmarks_every: int = 1,
    draw: Draw | None = None,
    quality: int = 18,
    progress: bool = True,
) -> VideoResult:
    """Filter the faces of a video file.

    The picture is encoded as H.264; sound is copied as it is, times and turns of the frames too.
    The new file appears whole or not at all.

    Args:
        source: File to read: whatever FFmpeg reads.
        target: File to write, ending in .mp4, .mov or .mkv.
        face_filter: What to do with the faces.
        strength: 0 leaves the frames, 1 is the whole filter.
        landmarks_every: Look for faces in every n-th frame only.
        draw: Runs the network instead; see :class:`FrameFilter`.
        quality: H.264's constant rate factor, 0 (largest) to 51.
        progress: Show a bar.

    Raises:
        FileNotFoundError: There is no such file.
        BadImage: The file is no video, or damaged.
        ValueError: A target of another kind, or the source itself.
        ImportError: PyAV is missing.
    """
    source, target = Path(source), Path(target)
    _check(source, target)
    path = FrameFilter(face_filter, landmarks_every=landmarks_every, draw=draw)
    with_face = written = 0
    with atomic_path(target) as draft, ExitStack() as stack:
        reader = stack.enter_context(_open(source))
        writer = stack.enter_context(_av().open(str(draft), "w", format=_FORMATS[target.suffix]))
        copier = _Copier(reader, writer, quality, source)
        bar = tqdm(
            total=copier.frames or None, desc=source.name, unit="frame", disable=not progress
        )
        for frame, seconds, original in copier.read():
            filtered = path(frame, seconds, strength=strength)
            copier.write(filtered, original)
            written += 1
            with_face += bool(path.faces)
            bar.update()
        copier.finish()
        bar.close()
        if not written:
            raise BadImage(f"{source} holds no frame that can be decoded.")
    return VideoResult(target, written, with_face)


_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


class _Copier:
    """One file's streams going over into another: sound as it is, the picture by way of arrays."""

    def __init__(self, reader: Any, writer: Any, quality: int, source: Path) -> None:
        if not reader.streams.video:
            raise BadImage(f"{source} holds no video.")
        self.reader, self.writer, self.source = reader, writer, source
        self.picture = reader.streams.video[0]
        self.picture.thread_type = "AUTO"
        self.rate = self.picture.average_rate or 30
        self.frames = self.picture.frames
        # Width and height come with the first frame: it may be turned.
        self.encoded = writer.add_stream("libx264", rate=self.rate)
        self.encoded.options = {"crf": str(quality), "preset": "veryfast"}
        self.sounds = {
            stream.index: writer.add_stream_from_template(stream) for stream in reader.streams.audio
        }
        self._waiting: list[Any] | None = []  # Sound that comes before the first frame.
        self._last = -1.0

    def read(self) -> Iterator[tuple[Frame, float, Any]]:
        """Yield frames upright, their seconds, and the frames that they come from."""
        errors = _av().FFmpegError
        try:
            for packet in self.reader.demux():
                if packet.stream.index in self.sounds:
                    self._copy(packet)
                elif packet.stream is self.picture:
                    yield from map(self._array, packet.decode())
        except errors as error:
            raise BadImage(f"{self.source} is damaged: {error}.") from error

    def write(self, frame: Frame, original: Any) -> None:
        """Encode a frame at the time of the one that it was made from."""
        height, width = frame.shape[:2]
        if self._waiting is not None:
            self._begin(height, width)
        made = _av().VideoFrame.from_ndarray(frame, format="rgb24")
        made = made.reformat(
            format=self.encoded.pix_fmt,
            dst_colorspace=original.colorspace,
        )
        made.pts, made.time_base = original.pts, original.time_base
        self.writer.mux(self.encoded.encode(made))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._waiting is None:
            self.writer.mux(self.encoded.encode(None))

    def _begin(self, height: int, width: int) -> None:
        """Settle the encoder's size and colours; the first packet opens it for good."""
        self.encoded.width, self.encoded.height = width, height
        # Half-size colour planes need even sides.
        even = width % 2 == 0 and height % 2 == 0
        self.encoded.pix_fmt = "yuv420p" if even else "yuv444p"
        self.encoded.time_base = self.picture.time_base
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(self.encoded.codec_context, name, getattr(self.picture.codec_context, name))
        waiting, self._waiting = self._waiting or [], None
        for packet in waiting:
            self.writer.mux(packet)

    def _array(self, frame: Any) -> tuple[Frame, float, Any]:
        pixels = frame.to_ndarray(format="rgb24")
        turned = np.rot90(pixels, round(frame.rotation / 90) % 4)
        seconds = float(frame.time) if frame.time is not None else self._last + 1 / self.rate
        self._last = max(seconds, self._last + 0.001)  # Trackers want time to pass.
        return np.ascontiguousarray(turned), self._last, frame

    def _copy(self, packet: Any) -> None:
        if packet.dts is None:
            return  # The empty packet that ends a stream.
        packet.stream = self.sounds[packet.stream.index]
        if self._waiting is None:
            self.writer.mux(packet)
        else:
            self._waiting.append(packet)


def _check(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"There is no video file {source}.")
    if target.suffix not in _FORMATS:
        raise ValueError(f"{target} must end in one of {', '.join(_FORMATS)}.")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the video itself; write to another file.")


def _open(source: Path) -> Any:
    try:
        return _av().open(str(source))
    except _av().FFmpegError as error:
        raise BadImage(f"{source} is no video that can be read: {error}.") from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError("Video files need PyAV: pip install 'snowai[video]'.") from error
    return av
