"""Augmentation: identity at p 0, no colour or mass from nowhere, gradients, and p's controller."""

import math

import pytest
import torch

from snowai.styles import AdaptiveAugment
from snowai.styles.ada import _around, _colour, _Dice, _move, _recolour, _scale, _turn, _warp


def picture(batch=2, size=32):
    torch.manual_seed(0)
    low = torch.rand(batch, 3, 4, 4)
    return torch.nn.functional.interpolate(low, size, mode="bicubic").clamp(0, 1)


def test_nothing_happens_at_p_zero():
    image = picture()
    assert AdaptiveAugment(0.0)(image) is image


def test_the_identity_matrices_leave_the_picture():
    image = picture()
    eye = torch.eye(3).expand(2, 3, 3)
    # Doubling and halving soften by less than one grey level in twenty at the sharpest edges.
    assert float((_warp(image, eye) - image).abs().max()) < 0.05
    torch.testing.assert_close(_recolour(image, torch.eye(4)[:3].expand(2, 3, 4)), image)


def test_a_whole_pixel_move_and_a_flip_are_what_they_say():
    image = picture(1, 16)
    moved = _warp(image, _move(torch.tensor([2 / 16]), torch.tensor([0.0])))
    torch.testing.assert_close(moved[..., 4:-2], image[..., 3:-3], atol=0.05, rtol=0)
    flipped = _warp(image, _scale(torch.tensor([-1.0]), None))
    torch.testing.assert_close(flipped, image.flip(-1), atol=0.05, rtol=0)


def test_a_quarter_turn_is_torchs():
    image = picture(1, 16)
    turned = _warp(image, _turn(torch.tensor([math.pi / 2])))
    assert min(float((turned - torch.rot90(image, k, (2, 3))).abs().max()) for k in (1, 3)) < 0.05


def test_hue_turns_about_grey():
    axis = torch.full((3,), 1 / math.sqrt(3))
    matrix = _around(axis, torch.tensor([0.7]))[0]
    torch.testing.assert_close(matrix @ axis, axis)
    torch.testing.assert_close(matrix @ matrix.t(), torch.eye(3), atol=1e-6, rtol=0)


def test_a_third_of_a_turn_of_hue_makes_red_green():
    axis = torch.full((3,), 1 / math.sqrt(3))
    red = torch.tensor([1.0, 0.0, 0.0])
    turned = _around(axis, torch.tensor([2 * math.pi / 3]))[0] @ red
    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_the_share_of_changed_pictures_is_p():
    torch.manual_seed(0)
    dice = _Dice(4000, 0.3, torch.device("cpu"), None)
    changed = (dice.where(torch.ones(4000)) != 0).float().mean()
    assert float(changed) == pytest.approx(0.3, abs=0.03)
    matrices = _colour(_Dice(4000, 0.0, torch.device("cpu"), None))
    torch.testing.assert_close(matrices, torch.eye(4)[:3].expand(4000, 3, 4))


def test_brightness_has_the_papers_spread():
    torch.manual_seed(0)
    matrices = _colour(_Dice(20000, 1.0, torch.device("cpu"), None))
    grey = torch.full((3,), 1 / math.sqrt(3))
    # Inverting lightness, hue and saturation keep |shift along grey| = contrast x brightness.
    linear, shift = matrices[:, :, :3], matrices[:, :, 3]
    contrast = (linear @ grey).norm(dim=1)
    along = (shift @ grey).abs() / contrast / math.sqrt(3)
    assert float(along.square().mean().sqrt()) == pytest.approx(0.2, rel=0.03)
    assert float(contrast.log2().std()) == pytest.approx(0.5, rel=0.05)


def test_every_pixel_gets_a_gradient():
    image = picture().requires_grad_(True)
    torch.manual_seed(3)
    AdaptiveAugment(1.0)(image).square().sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()
    assert float((image.grad != 0).float().mean()) > 0.2


def test_a_generator_repeats_the_changes():
    image, augment = picture(), AdaptiveAugment(0.8)
    one, two, other = (
        augment(image, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_p_rises_while_the_discriminator_is_sure_and_falls_after():
    augment = AdaptiveAugment(0.0, target=0.6, images_to_full=1000)
    augment.observe(torch.ones(16))
    assert augment.adjust(100) == 1.0
    assert float(augment.p) == pytest.approx(0.1)
    augment.observe(torch.tensor([1.0, -1.0]))
    assert augment.adjust(50) == 0.0
    assert float(augment.p) == pytest.approx(0.05)
    for _ in range(30):
        augment.observe(-torch.ones(4))
        augment.adjust(100)
    assert float(augment.p) == 0.0


def test_p_is_part_of_the_state():
    augment = AdaptiveAugment(0.25)
    again = AdaptiveAugment()
    again.load_state_dict(augment.state_dict())
    assert float(again.p) == 0.25


def test_an_impossible_p_is_refused():
    with pytest.raises(ValueError, match="p is a probability"):
        AdaptiveAugment(1.5)
