"""Reshape and light: what moves, and what stays."""

import pytest
import torch

from snowai.faces import align, alignment_matrix, enlarge_eyes, eye_mask, iris_light
from snowai.image import to_tensor


@pytest.fixture(scope="module")
def crop(astronaut, face):
    matrix = alignment_matrix(face, 256)
    points = face.transform(matrix).points[None]
    return align(to_tensor(astronaut)[None], matrix[None], 256), points, face.scheme


def test_eyes_grow_and_the_rest_stays(crop, landmarker):
    image, points, scheme = crop
    large = enlarge_eyes(image, points, 0.4, scheme=scheme)
    far = eye_mask(points, (256, 256), scheme=scheme, grow=0.2) == 0
    assert (large - image).abs()[far.expand_as(image)].max() < 0.02
    again = landmarker.detect(large[0].clamp(0, 1))[0]
    before = landmarker.detect(image[0])[0]
    for side in ("left_eye", "right_eye"):
        height = [
            f.region(side)[:, 1].amax() - f.region(side)[:, 1].amin() for f in (before, again)
        ]
        assert height[1] > 1.1 * height[0]


def test_no_growth_changes_nothing(crop):
    image, points, scheme = crop
    torch.testing.assert_close(
        enlarge_eyes(image, points, 0.0, scheme=scheme), image, atol=1e-4, rtol=0
    )


def test_growth_is_bounded(crop):
    with pytest.raises(ValueError, match="amount must be in"):
        enlarge_eyes(*crop[:2], 1.5, scheme=crop[2])


def test_the_light_falls_inside_both_eyes_at_the_same_side(crop):
    image, points, scheme = crop
    light = (iris_light(image * 0, points) > 0.5)[:, :1]
    eyes = eye_mask(points, (256, 256), scheme=scheme)
    assert light.any()
    assert (eyes[light] > 0).all()
    middle = points[..., 0].mean().long()
    for left, iris in ((True, 473), (False, 468)):
        half = light[..., middle:] if left else light[..., :middle]
        spot = half.nonzero().float().mean(0)[2:].flip(0) + 0.5
        spot = spot + torch.tensor([float(middle) if left else 0.0, 0.0])
        offset = spot - points[0, iris]
        assert offset[0] < 0  # Left of the iris's centre,
        assert offset[1] < 0  # and above it.


def test_no_strength_is_no_light(crop):
    torch.testing.assert_close(iris_light(*crop[:2], strength=0.0), crop[0])
