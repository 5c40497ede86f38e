"""Look and measure."""

from snowai.analysis.distances import eye_crops, paired_distances
from snowai.analysis.sheets import sheet, show

__all__ = ["eye_crops", "paired_distances", "sheet", "show"]
