"""Filters: photo in, photo out."""

from snowai.filters.face import FaceCrops, FaceFilter
from snowai.filters.photo import PhotoFilter
from snowai.filters.result import FilterResult
from snowai.filters.tiles import run_tiled

__all__ = ["FaceCrops", "FaceFilter", "FilterResult", "PhotoFilter", "run_tiled"]
