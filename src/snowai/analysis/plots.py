"""Plots: numbers that people rather look at."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["histograms"]


def histograms(
    columns: Mapping[str, Sequence[float]],
    *,
    edges: Mapping[str, Sequence[float]] | None = None,
    columns_in_a_row: int = 3,
) -> Tensor:
    """Draw a histogram of each column of numbers.

    Args:
        columns: Title -> values; nan are left out.
        edges: Title -> borders of groups, drawn as dashed lines.
        columns_in_a_row: Plots in a row.

    Returns:
        One picture (3, H, W) in [0, 1].

    Raises:
        ImportError: matplotlib is missing.
        ValueError: There is nothing to draw.

    Example:
        >>> histograms({"yaw": [0.0, 1.0, 2.0], "pitch": [0.0, 1.0, 1.0]}).shape[0]
        3
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need: pip install 'snowai[analysis]'.") from error
    if not columns:
        raise ValueError("There is nothing to draw.")
    rows = -(-len(columns) // columns_in_a_row)
    figure = Figure(figsize=(4 * columns_in_a_row, 2.6 * rows), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)  # Never pyplot: it keeps every figure and opens windows.
    for place, (title, values) in enumerate(columns.items(), start=1):
        axes = figure.add_subplot(rows, columns_in_a_row, place)
        numbers = np.asarray(values, dtype=float)
        axes.hist(numbers[np.isfinite(numbers)], bins=30, color="#4878a8")
        for edge in (edges or {}).get(title, ()):
            axes.axvline(edge, color="#c8202f", linestyle="--", linewidth=1)
        axes.set_title(title, fontsize=10)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
