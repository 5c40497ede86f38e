"""Faces: where they are, how they are cut out and put back, and what is drawn from them."""

from snowai.faces.align import align, alignment_matrix, feather_mask, paste_back
from snowai.faces.landmarkers import (
    FaceAlignmentLandmarker,
    MediaPipeLandmarker,
    find_mediapipe_model,
)
from snowai.faces.landmarks import Landmarker, Landmarks, flip_points, transform_points
from snowai.faces.light import iris_light
from snowai.faces.masks import eye_mask, face_mask, polygon_mask
from snowai.faces.reshape import enlarge_eyes

__all__ = [
    "FaceAlignmentLandmarker",
    "Landmarker",
    "Landmarks",
    "MediaPipeLandmarker",
    "align",
    "alignment_matrix",
    "enlarge_eyes",
    "eye_mask",
    "face_mask",
    "feather_mask",
    "find_mediapipe_model",
    "flip_points",
    "iris_light",
    "paste_back",
    "polygon_mask",
    "transform_points",
]
