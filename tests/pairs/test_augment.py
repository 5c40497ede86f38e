"""One change for the whole pair."""

import pytest
import torch

from snowai.faces.schemes import SCHEMES
from snowai.pairs import Pair, PairAugment


@pytest.fixture
def pair():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    image = torch.stack([x / 64, y / 64, (x + y) / 128])[None].repeat(4, 1, 1, 1)
    mask = torch.zeros(4, 1, 64, 64)
    mask[..., 20:30, 14:26] = 1
    return Pair(image, image.clone(), mask, torch.rand(4, 478, 2) * 40 + 12)


def test_photo_and_styled_get_the_same_change(pair):
    changed = PairAugment(degrade=0.0)(pair)
    assert not torch.allclose(changed.photo, pair.photo)
    torch.testing.assert_close(changed.photo, changed.styled)


def test_points_and_mask_follow_the_pixels():
    # A bright dot at a point is still at that point, flipped, turned and scaled.
    torch.manual_seed(1)
    index = SCHEMES["mediapipe478"].regions["nose"][7]
    photo = torch.zeros(16, 3, 96, 96)
    points = torch.full((16, 478, 2), 48.0)
    points[:, index] = torch.tensor([60.5, 30.5])
    mirror = SCHEMES["mediapipe478"].mirror[index]
    points[:, mirror] = torch.tensor([60.5, 30.5])
    photo[:, :, 29:32, 59:62] = 1
    mask = photo[:, :1].clone()
    changed = PairAugment(colour=0.0, degrade=0.0)(Pair(photo, photo, mask, points))
    x = torch.arange(96.0) + 0.5
    for image in (changed.photo[:, :1], changed.eye_mask):
        weight = image[:, 0] / image[:, 0].sum(dim=(1, 2), keepdim=True)
        centre = torch.stack([(weight.sum(1) * x).sum(1), (weight.sum(2) * x).sum(1)], dim=1)
        assert (centre - changed.points[:, index]).norm(dim=1).max() < 0.3


def test_flips_swap_left_and_right(pair):
    still = {"degrees": 0.0, "scale": 0.0, "shift": 0.0, "colour": 0.0, "degrade": 0.0}
    changed = PairAugment(flip=1.0, **still)(pair)
    torch.testing.assert_close(changed.photo, pair.photo.flip(-1), atol=1e-5, rtol=0)
    regions = SCHEMES["mediapipe478"].regions
    left, right = list(regions["left_iris"])[:1], list(regions["right_iris"])[:1]
    mirrored = pair.points[:, left] * torch.tensor([-1.0, 1.0]) + torch.tensor([64.0, 0.0])
    torch.testing.assert_close(changed.points[:, right], mirrored, atol=1e-4, rtol=1e-4)


def test_degrading_touches_the_photo_only(pair):
    still = {"flip": 0.0, "degrees": 0.0, "scale": 0.0, "shift": 0.0, "colour": 0.0}
    changed = PairAugment(degrade=1.0, **still)(pair)
    torch.testing.assert_close(changed.styled, pair.styled, atol=1e-5, rtol=0)
    assert not torch.allclose(changed.photo, pair.photo, atol=1e-3)


def test_results_stay_in_range_and_the_input_as_it_was(pair):
    before = [part.clone() for part in pair]
    changed = PairAugment(colour=0.5, degrade=1.0)(pair)
    for part in changed[:3]:
        assert part.min() >= 0
        assert part.max() <= 1
    for part, old in zip(pair, before, strict=True):
        assert torch.equal(part, old)


def test_the_seed_decides(pair):
    torch.manual_seed(3)
    first = PairAugment()(pair)
    torch.manual_seed(3)
    torch.testing.assert_close(tuple(PairAugment()(pair)), tuple(first))
    assert not torch.equal(PairAugment()(pair).photo, first.photo)


def test_faces_that_were_not_found_pass(pair):
    points = pair.points.clone()
    points[1] = torch.nan
    changed = PairAugment()(pair._replace(points=points))
    assert changed.points[1].isnan().all()
    assert changed.points[[0, 2, 3]].isfinite().all()
