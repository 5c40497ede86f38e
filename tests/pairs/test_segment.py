"""Regions: found where colours change, joined by likeness, the same every time."""

import sys

import pytest
import torch

from snowai.pairs import adaptive_colours, selective_search, superpixels


@pytest.fixture(params=["opencv", "skimage"])
def backend(request, monkeypatch):
    """Both first segmentations: OpenCV's, and scikit-image's where OpenCV has none."""
    if request.param == "skimage":
        monkeypatch.setitem(sys.modules, "cv2.ximgproc", None)
        monkeypatch.delattr("cv2.ximgproc", raising=False)
    return request.param


def patches():
    """Four squares of clear colours, with a little noise."""
    image = torch.zeros(1, 3, 64, 64)
    image[:, 0, :32, :32] = 0.9
    image[:, 1, :32, 32:] = 0.8
    image[:, 2, 32:, :32] = 0.9
    image[:, :, 32:, 32:] = 0.7
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + 0.02 * noise).clamp(0, 1)


def test_regions_are_the_patches(backend):
    labels = selective_search(patches(), regions=4)[0, 0]
    assert labels.unique().tolist() == [0, 1, 2, 3]
    squares = (labels[:32, :32], labels[:32, 32:], labels[32:, :32], labels[32:, 32:])
    for number, square in enumerate(squares):
        assert (square == number).float().mean() > 0.97  # In reading order.


def test_as_many_regions_are_left_as_were_asked_for(backend, crop):
    image, _ = crop
    for wanted in (2, 40, 120):
        labels = selective_search(image, regions=wanted)
        assert labels.unique().tolist() == list(range(wanted))
    coarse, fine = selective_search(image, regions=10), selective_search(image, regions=60)
    assert not torch.equal(coarse, fine)
    with pytest.raises(ValueError, match="regions must be at least 1; got 0"):
        selective_search(image, regions=0)


def test_regions_are_the_same_every_time_and_each_has_one_colour(crop):
    image, _ = crop
    labels = selective_search(image, regions=100)
    assert torch.equal(labels, selective_search(image, regions=100))
    flat = adaptive_colours(image, labels)
    for number in (0, 50, 99):
        inside = flat[:, :, labels[0, 0] == number]
        assert (inside == inside[..., :1]).all()


def test_each_picture_of_a_batch_is_searched_alone(crop):
    image, _ = crop
    both = selective_search(torch.cat([image, image.flip(-1)]), regions=50)
    assert torch.equal(both[:1], selective_search(image, regions=50))


def test_even_regions_take_the_mean_and_mixed_ones_the_median():
    labels = torch.zeros(1, 1, 4, 4, dtype=torch.int64)
    labels[..., 2:] = 1
    image = torch.full((1, 3, 4, 4), 0.5)
    image[..., 0] += 0.02  # Left: nearly even.
    image[:, :, 0, 2:] = 1.0  # Right: three quarters of 0.5, one quarter of 1.
    flat = adaptive_colours(image, labels)
    torch.testing.assert_close(flat[..., :2], torch.full((1, 3, 4, 2), 0.51))
    torch.testing.assert_close(flat[..., 2:], torch.full((1, 3, 4, 2), 0.5))


def test_superpixels_are_even(crop):
    image, _ = crop
    labels = superpixels(image, 100)
    sizes = labels.flatten().bincount()
    assert 60 < len(sizes) < 140
    assert sizes.max() < 6 * 256 * 256 / 100
