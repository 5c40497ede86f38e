"""Large images tile by tile: what a network does to the whole, in the memory of a part."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from snowai._checks import check_image

__all__ = ["run_tiled"]


def run_tiled(
    function: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    margin: int,
    tile: int = 512,
    blend: int = 16,
    multiple: int = 1,
    progress: bool = False,
) -> Tensor:
    r"""Apply a function to overlapping tiles and join the results without a seam.

    Neighbours share a border of twice the blend, in which one fades into the other:

    .. math:: y = \sum_k w_k\, f(x_k), \quad \sum_k w_k = 1

    Where the margin is at least the function's reach plus the blend, both agree there, and the
    result is the untiled one but for rounding.

    Args:
        function: Called with a tile :math:`(1, C, h, w)`; gives :math:`(1, C', h, w)`.
        image: :math:`(1, C, H, W)`.
        margin: What a tile sees beyond the part that counts, in pixels.
        tile: Largest side of a tile, margins included, in pixels.
        blend: Half the width of the fade, in pixels; at most the margin.
        multiple: Tiles begin at multiples of this, as a network's strides want it.
        progress: Show a bar, where there are several tiles.

    Returns:
        :math:`(1, C', H, W)`.

    Raises:
        ValueError: The tile is too small for its margins, or the blend wider than the margin.

    Example:
        >>> image = torch.rand(1, 3, 100, 130)
        >>> twice = run_tiled(lambda part: part * 2, image, margin=8, tile=48, blend=4)
        >>> torch.allclose(twice, image * 2)
        True
    """
    check_image(image, "image")
    margin = -(-margin // multiple) * multiple
    step = (tile - 2 * margin) // multiple * multiple
    if step < max(2 * blend, 1):
        raise ValueError(
            f"tile must be at least {2 * margin + max(2 * blend, multiple)} pixels, for a margin "
            f"of {margin} on each side and a blend of {blend}; got {tile}."
        )
    if blend > margin:
        raise ValueError(f"blend must be at most the margin, {margin}; got {blend}.")
    if max(image.shape[-2:]) <= tile:
        return function(image)
    rows, columns = (list(_spans(length, step, margin, blend=blend)) for length in image.shape[-2:])
    joined: Tensor | None = None
    grid = [(row, column) for row in rows for column in columns]
    for row, column in tqdm(grid, desc="tiles", disable=not progress):
        drawn = function(image[..., row.start : row.end, column.start : column.end])
        if joined is None:
            joined = drawn.new_zeros(1, drawn.shape[1], *image.shape[-2:])
        weight = row.weight(drawn)[:, None] * column.weight(drawn)
        joined[..., row.start : row.end, column.start : column.end] += drawn * weight
    return image if joined is None else joined


class _Span(NamedTuple):
    """A tile along one side: pixels ``start`` to ``end``, of which ``first`` to ``last`` count."""

    start: int
    end: int
    first: int
    last: int
    length: int
    blend: int

    def weight(self, like: Tensor) -> Tensor:
        """Return how much each pixel counts; neighbours' weights add up to 1."""
        places = torch.arange(self.start, self.end, device=like.device, dtype=like.dtype) + 0.5
        weight = torch.ones_like(places)
        for edge, sign in ((self.first, 1), (self.last, -1)):
            if 0 < edge < self.length:
                weight = weight * (
                    (0.5 + sign * (places - edge) / (2 * max(self.blend, 0.25))).clamp(0, 1)
                )
        return weight


def _spans(length: int, step: int, margin: int, *, blend: int) -> Iterator[_Span]:
    for first in range(0, length, step):
        last = min(first + step, length)
        yield _Span(max(first - margin, 0), min(last + margin, length), first, last, length, blend)
