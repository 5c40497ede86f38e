"""Look and measure."""

from snowai.analysis.distances import paired_distances
from snowai.analysis.generators import (
    PooledFeatures,
    blend_sweep,
    edit_sheet,
    frechet_distance,
    generate,
    pairs_sheet,
    samples_sheet,
)
from snowai.analysis.plots import histograms
from snowai.analysis.sheets import gallery, selection_sheet, sheet, show
from snowai.analysis.temporal import landmark_jitter, warping_error

__all__ = [
    "PooledFeatures",
    "blend_sweep",
    "edit_sheet",
    "frechet_distance",
    "gallery",
    "generate",
    "histograms",
    "landmark_jitter",
    "paired_distances",
    "pairs_sheet",
    "samples_sheet",
    "selection_sheet",
    "sheet",
    "show",
    "warping_error",
]
