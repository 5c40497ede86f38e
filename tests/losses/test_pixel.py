"""Pixel losses: values by hand, weights, resolution."""

import pytest
import torch

from snowai.losses import charbonnier_loss, l1_loss, region_weight


def test_charbonnier_matches_the_formula_by_hand():
    prediction, target = torch.tensor([[[[3.0]]]]), torch.tensor([[[[0.0]]]])
    assert charbonnier_loss(prediction, target, eps=4.0).item() == pytest.approx(5.0)  # 3-4-5


def test_charbonnier_equals_kornias_up_to_its_definition():
    import kornia

    x, y = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    # kornia subtracts eps: sqrt(d^2 + 1) - 1, with eps 1.
    theirs = kornia.losses.charbonnier_loss(x, y, reduction="mean") + 1
    torch.testing.assert_close(charbonnier_loss(x, y, eps=1.0), theirs)


@pytest.mark.parametrize("loss", [l1_loss, charbonnier_loss])
def test_losses_do_not_depend_on_resolution(loss):
    # White-box and DCT-Net divide by the pixel count after a mean.
    x, y = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    large = [image.repeat_interleave(4, -1).repeat_interleave(4, -2) for image in (x, y)]
    mask = torch.rand(1, 1, 16, 16)
    large_mask = mask.repeat_interleave(4, -1).repeat_interleave(4, -2)
    torch.testing.assert_close(loss(*large), loss(x, y))
    torch.testing.assert_close(loss(*large, weight=large_mask), loss(x, y, weight=mask))


def test_weight_one_changes_nothing_and_zero_hides():
    x, y = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(l1_loss(x, y, weight=torch.ones(1, 1, 8, 8)), l1_loss(x, y))
    half = torch.zeros(1, 1, 8, 8)
    half[..., :4] = 1
    torch.testing.assert_close(l1_loss(x, y, weight=half), l1_loss(x[..., :4], y[..., :4]))


def test_an_empty_weight_gives_zero_and_no_nan():
    x = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = l1_loss(x, torch.zeros(1, 3, 4, 4), weight=torch.zeros(1, 1, 4, 4))
    loss.backward()
    assert loss == 0
    assert x.grad.isfinite().all()


def test_gradients_are_right():
    x = torch.rand(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    y, w = torch.rand(1, 2, 3, 3).double() + 2, torch.rand(1, 1, 3, 3).double()
    assert torch.autograd.gradcheck(lambda x: charbonnier_loss(x, y, weight=w), (x,))
    assert torch.autograd.gradcheck(lambda x: l1_loss(x, y, weight=w), (x,))


@pytest.mark.parametrize("loss", [l1_loss, charbonnier_loss])
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match="prediction and target must have the same shape"):
        loss(torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="weight and one channel"):
        loss(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), weight=torch.rand(1, 1, 8, 8))


def test_negative_gains_are_refused():
    with pytest.raises(ValueError, match="gain must not be negative"):
        region_weight(torch.rand(1, 1, 4, 4), -1)
