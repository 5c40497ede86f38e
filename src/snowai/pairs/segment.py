"""Regions: a picture as a patchwork of flat surfaces, found by selective search or superpixels."""

import heapq
from typing import Any, NamedTuple

import kornia
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snowai._checks import check_image

__all__ = ["adaptive_colours", "selective_search", "superpixels"]

_WEIGHT = 4.0  # Of colour and texture, against size.
_BINS = 25  # Of each histogram.
_SCALE = 50.0  # Felzenszwalb's k: higher ones begin with larger regions.
_FINER = 10  # First regions have at least a tenth of the wanted ones' mean size: speed.

Labels = NDArray[np.int64]


def selective_search(image: Tensor, *, regions: int = 200, sigma: float = 0.8) -> Tensor:
    r"""Cut pictures into regions of like colour and texture, by hierarchical grouping.

    Felzenszwalb's segmentation gives a few thousand first regions; then the two most alike
    neighbours become one, over and over, until ``regions`` are left. How alike two are:

    .. math:: s = -4 \sum_f \int |C^f_i - C^f_j| - \frac{n_i + n_j}{n}
              - \frac{n_{box} - n_i - n_j}{n}

    with the cumulative histograms :math:`C` of Lab colours and edges :math:`f`, sizes :math:`n`,
    and the box around both. (The paper intersects histograms; a difference of cumulative ones also
    knows how far two colours are apart, so that white never joins black.) Ties go to the region
    whose first pixel is further up, so a picture gives the same regions every time.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        regions: How many are left in each picture, at most.
        sigma: Smoothing before, in pixels at 256.

    Returns:
        Labels :math:`(B, 1, H, W)`, int64, from 0, numbered in reading order of their first pixels.

    Source:
        Uijlings et al., https://doi.org/10.1007/s11263-013-0620-5; Felzenszwalb and Huttenlocher,
        https://doi.org/10.1023/B:VISI.0000022288.19776.77

    Example:
        >>> labels = selective_search(torch.rand(1, 3, 32, 32), regions=5)
        >>> labels.shape, int(labels.max()) <= 4
        (torch.Size([1, 1, 32, 32]), True)
    """
    check_image(image, "image", channels=3)
    if regions < 1:
        raise ValueError(f"regions must be at least 1; got {regions}.")
    scale = max(image.shape[-2:]) / 256
    cut = [_search(picture, regions, sigma * scale) for picture in image.detach().float().cpu()]
    return torch.stack(cut).to(image.device)


def superpixels(image: Tensor, count: int = 400, *, compactness: float = 10.0) -> Tensor:
    """Cut pictures into about ``count`` pieces of even size, by SLIC.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        count: Pieces wanted.
        compactness: Higher ones are squarer, lower ones follow edges.

    Returns:
        Labels :math:`(B, 1, H, W)`, int64, from 0.

    Source:
        Achanta et al., https://doi.org/10.1109/TPAMI.2012.120

    Example:
        >>> superpixels(torch.rand(1, 3, 32, 32), 16).shape
        torch.Size([1, 1, 32, 32])
    """
    check_image(image, "image", channels=3)
    segmentation = _skimage()
    pictures = image.detach().float().cpu().permute(0, 2, 3, 1).numpy()
    cut = [
        segmentation.slic(picture, count, compactness=compactness, start_label=0, channel_axis=-1)
        for picture in pictures
    ]
    return torch.from_numpy(np.stack(cut)[:, None].astype(np.int64)).to(image.device)


def adaptive_colours(
    image: Tensor, labels: Tensor, *, low: float = 20 / 255, high: float = 40 / 255
) -> Tensor:
    r"""Fill each region with one colour, a mix of its mean and its median.

    .. math:: c = \theta\, \text{mean} + (1 - \theta)\, \text{median},\qquad
              \theta = \text{clamp}\left(\frac{high - \sigma}{high - low}, 0, 1\right)

    A mean greys out regions of two colours; a median stays one of them. So the more a region's
    colours vary (standard deviation :math:`\sigma`), the more of the median.

    Args:
        image: :math:`(B, 3, H, W)` in [0, 1].
        labels: :math:`(B, 1, H, W)`, int64, from 0.
        low: Deviation up to which the mean is taken.
        high: Deviation from which the median is.

    Source:
        After the adaptive colouring of Wang and Yu, White-box cartoonization,
        https://doi.org/10.1109/CVPR42600.2020.00811

    Example:
        >>> image = torch.rand(1, 3, 8, 8)
        >>> flat = adaptive_colours(image, torch.zeros(1, 1, 8, 8, dtype=torch.int64))
        >>> bool((flat == flat[..., :1, :1]).all())
        True
    """
    check_image(image, "image", channels=3)
    return torch.stack(
        [
            _fill(picture, cut[0], low, high)
            for picture, cut in zip(image, labels.to(image.device), strict=True)
        ]
    )


def _fill(image: Tensor, labels: Tensor, low: float, high: float) -> Tensor:
    count = int(labels.max()) + 1
    where, colours = labels.flatten(), image.flatten(1)
    size = torch.bincount(where, minlength=count).clamp_min(1).to(image)
    mean = _sums(colours, where, count) / size
    spread = ((_sums(colours.square(), where, count) / size - mean.square()).clamp_min(0)).sqrt()
    mix = ((high - spread.mean(dim=0)) / (high - low)).clamp(0, 1)
    median = torch.stack([_medians(channel, where, size) for channel in colours])
    return torch.lerp(median, mean, mix)[:, where].view_as(image)


def _sums(values: Tensor, where: Tensor, count: int) -> Tensor:
    total = values.new_zeros(len(values), count)
    return total.index_add(1, where, values)


def _medians(values: Tensor, where: Tensor, size: Tensor) -> Tensor:
    """Return each region's lower median: sort by value, then by region, keeping the order."""
    order = values.argsort(stable=True)
    order = order[where[order].argsort(stable=True)]
    starts = size.cumsum(0) - size
    return values[order][(starts + (size - 1) // 2).long().clamp_max(len(values) - 1)]


class _Region(NamedTuple):
    size: int
    box: tuple[int, int, int, int]  # Top, left, bottom, right.
    counts: NDArray[np.float64]  # (features, bins): how many pixels fall into each bin.


def _search(image: Tensor, regions: int, sigma: float) -> Tensor:
    first = _felzenszwalb(image, sigma, regions)
    owner = _group(_describe(image, first), _neighbours(first), regions, first.size)
    return torch.from_numpy(_in_reading_order(owner[first]))[None]


def _felzenszwalb(image: Tensor, sigma: float, regions: int) -> Labels:
    """Over-segment: by OpenCV's contributed modules if they are there, else by scikit-image."""
    picture = image.permute(1, 2, 0).numpy()
    least = max(picture.shape[0] * picture.shape[1] // (regions * _FINER), 4)
    try:
        from cv2 import ximgproc
    except ImportError:
        segmentation = _skimage()
        cut = segmentation.felzenszwalb(picture, scale=_SCALE, sigma=sigma, min_size=least)
    else:
        graph = ximgproc.segmentation.createGraphSegmentation(sigma, _SCALE, least)
        cut = graph.processImage((picture * 255).round().astype(np.uint8))
    return _in_reading_order(np.asarray(cut))


def _in_reading_order(labels: NDArray[Any]) -> Labels:
    """Number regions 0, 1, 2 ... in the order in which reading the picture meets them."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[first.argsort()] = np.arange(len(first))
    return place[inverse].reshape(labels.shape)


def _describe(image: Tensor, labels: Labels) -> dict[int, _Region]:
    from scipy.ndimage import find_objects

    features = _features(image)
    count, where = int(labels.max()) + 1, labels.ravel()
    counts = [np.bincount(where * _BINS + bins, minlength=count * _BINS) for bins in features]
    tables = np.stack([c.reshape(count, _BINS) for c in counts], axis=1).astype(float)
    boxes = [(r.start, c.start, r.stop, c.stop) for r, c in find_objects(labels + 1)]
    sizes = np.bincount(where)
    return {i: _Region(int(sizes[i]), boxes[i], tables[i]) for i in range(count)}


def _features(image: Tensor) -> list[Labels]:
    """Return Lab colour and edges along both axes, each (H W,) sorted into bins."""
    lightness, a, b = kornia.color.rgb_to_lab(image[None])[0]
    edges = kornia.filters.spatial_gradient(image[None])[0].mean(dim=0)
    shares = (lightness / 100, a / 200 + 0.5, b / 200 + 0.5, *(edges * 2 + 0.5))
    return [(s.clamp(0, 0.999) * _BINS).long().flatten().numpy() for s in shares]


def _neighbours(labels: Labels) -> dict[int, set[int]]:
    beside: dict[int, set[int]] = {int(label): set() for label in np.unique(labels)}
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        pairs = np.stack([one[one != other], other[one != other]], axis=1)
        for first, second in np.unique(pairs, axis=0).tolist():
            beside[first].add(second)
            beside[second].add(first)
    return beside


def _group(
    regions: dict[int, _Region], beside: dict[int, set[int]], wanted: int, pixels: int
) -> Labels:
    """Join the most alike neighbours until ``wanted`` are left; return each region's owner."""
    owner = np.arange(len(regions))
    queue = [
        (-_alike(regions[one], regions[other], pixels), one, other)
        for one, others in beside.items()
        for other in others
        if one < other
    ]
    heapq.heapify(queue)
    new = len(regions)
    while len(regions) > wanted and queue:
        _, one, other = heapq.heappop(queue)
        if one not in regions or other not in regions:
            continue  # One of them has been joined to a third.
        regions[new] = _join(regions.pop(one), regions.pop(other))
        owner = np.append(owner, new)
        owner[[one, other]] = new
        beside[new] = (beside.pop(one) | beside.pop(other)) - {one, other}
        for third in beside[new]:
            beside[third] = beside[third] - {one, other} | {new}
            heapq.heappush(queue, (-_alike(regions[third], regions[new], pixels), third, new))
        new += 1
    for index in reversed(range(len(owner))):  # Owners come after those they own.
        owner[index] = owner[owner[index]]
    return owner


def _join(one: _Region, other: _Region) -> _Region:
    top, left, bottom, right = zip(one.box, other.box, strict=True)
    box = (min(top), min(left), max(bottom), max(right))
    return _Region(one.size + other.size, box, one.counts + other.counts)


def _alike(one: _Region, other: _Region, pixels: int) -> float:
    apart = np.abs(np.cumsum(one.counts / one.size - other.counts / other.size, axis=1)).mean(
        axis=1
    )
    joined = _join(one, other)
    top, left, bottom, right = joined.box
    gap = (bottom - top) * (right - left) - joined.size
    return float(-_WEIGHT * apart.sum() - (joined.size + gap) / pixels)


def _skimage() -> Any:
    try:
        from skimage import segmentation
    except ImportError as error:
        raise ImportError("Regions need scikit-image: pip install 'snowai[analysis]'.") from error
    return segmentation
