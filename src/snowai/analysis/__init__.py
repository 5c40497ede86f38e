"""Look and measure."""

from snowai.analysis.sheets import sheet, show

__all__ = ["sheet", "show"]
