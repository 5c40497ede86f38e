"""Faces: where they are, how they are cut out and put back, and what is drawn from them."""

from snowai.faces.align import align, alignment_matrix, feather_mask, paste_back
from snowai.faces.boxes import close_ups, eye_crops, region_boxes
from snowai.faces.eyelids import close_eyes, eye_openness
from snowai.faces.gaze import shift_gaze
from snowai.faces.landmarkers import (
    FaceAlignmentLandmarker,
    MediaPipeLandmarker,
    MediaPipeTracker,
    find_mediapipe_model,
)
from snowai.faces.landmarks import Landmarker, Landmarks, flip_points, transform_points
from snowai.faces.light import LIGHTS, brighten_eyes, iris_light, relight, tint_cheeks, tint_lips
from snowai.faces.masks import eye_mask, face_mask, polygon_mask
from snowai.faces.pose import head_pose
from snowai.faces.reshape import enlarge_eyes, open_mouth, slim_face, smile, widen_eyes
from snowai.faces.smoothing import OneEuroFilter
from snowai.faces.warp import FaceEdit

__all__ = [
    "LIGHTS",
    "FaceAlignmentLandmarker",
    "FaceEdit",
    "Landmarker",
    "Landmarks",
    "MediaPipeLandmarker",
    "MediaPipeTracker",
    "OneEuroFilter",
    "align",
    "alignment_matrix",
    "brighten_eyes",
    "close_eyes",
    "close_ups",
    "enlarge_eyes",
    "eye_crops",
    "eye_mask",
    "eye_openness",
    "face_mask",
    "feather_mask",
    "find_mediapipe_model",
    "flip_points",
    "head_pose",
    "iris_light",
    "open_mouth",
    "paste_back",
    "polygon_mask",
    "region_boxes",
    "relight",
    "shift_gaze",
    "slim_face",
    "smile",
    "tint_cheeks",
    "tint_lips",
    "transform_points",
    "widen_eyes",
]
