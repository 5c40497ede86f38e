"""Video: frames in, frames out, with faces that hold still."""

from snowai.video.clips import VideoResult, filter_video
from snowai.video.frames import FrameFilter, filter_frames
from snowai.video.tracking import FaceTracker, TrackedFace

__all__ = [
    "FaceTracker",
    "FrameFilter",
    "TrackedFace",
    "VideoResult",
    "filter_frames",
    "filter_video",
]
