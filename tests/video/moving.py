"""A clip to test with: a photo under a moving, slightly noisy camera, with a tone."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image


def moving_frames(
    photo: Image.Image, *, count: int = 24, size: tuple[int, int] = (256, 320), noise: float = 3.0
) -> Iterator[np.ndarray]:
    """Yield frames (H, W, 3) in which the camera drifts by fractions of a pixel."""
    picture, chance = np.asarray(photo), np.random.default_rng(0)
    height, width = size
    for number in range(count):
        x, y = 40 + 0.7 * number, 10 + 4 * np.sin(number / 5)
        scale = 0.9 + 0.001 * number
        matrix = np.float32([[scale, 0, -x * scale], [0, scale, -y * scale]])
        frame = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        grain = chance.normal(0, noise, frame.shape)
        yield np.clip(frame + grain, 0, 255).astype(np.uint8)


def write_clip(
    path: Path,
    frames: Iterator[np.ndarray],
    *,
    rate: int = 24,
    tone: bool = True,
    planes: str = "yuv420p",
    **options: int,
) -> Path:
    """Write frames to a video file, with a tone of as many seconds."""
    frames = list(frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = planes
        stream.options = {"crf": "12"}
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        sound = container.add_stream("aac", rate=16000) if tone else None
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
        if sound is not None:
            seconds = len(frames) / rate
            wave = np.sin(np.arange(int(16000 * seconds)) / 16000 * 2 * np.pi * 440)
            samples = av.AudioFrame.from_ndarray(
                wave[None].astype(np.float32), format="fltp", layout="mono"
            )
            samples.sample_rate = 16000
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
    return path


def read_clip(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Return a file's frames and their seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [f.time for f in frames]
