"""Adversarial losses, R1 and feature matching: values and gradients."""

import math

import pytest
import torch

from snowai.losses import (
    adversarial_warmup,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    r1_penalty,
)

KINDS = ("lsgan", "hinge", "non_saturating")


@pytest.mark.parametrize(
    ("kind", "real", "fake", "wanted"),
    [
        ("lsgan", 0.5, 0.5, 0.25),
        ("hinge", 0.0, 0.0, 1.0),
        ("hinge", 2.0, -2.0, 0.0),
        ("non_saturating", 0.0, 0.0, math.log(2)),
    ],
)
def test_discriminator_values_by_hand(kind, real, fake, wanted):
    logits = [torch.full((2, 1, 3, 3), value) for value in (real, fake)]
    assert discriminator_loss(*logits, kind=kind).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("kind", "wanted"), [("lsgan", 1.0), ("hinge", 0.0), ("non_saturating", math.log(2))]
)
def test_generator_values_by_hand(kind, wanted):
    assert generator_loss(torch.zeros(1, 1, 2, 2), kind=kind).item() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_players_pull_fakes_in_opposite_directions(kind):
    fake = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (up,) = torch.autograd.grad(generator_loss(fake, kind=kind), fake)
    (down,) = torch.autograd.grad(
        discriminator_loss(fake.detach() + 1, fake + 0.1, kind=kind), fake
    )
    assert (up < 0).all()  # Descent raises the logit ...
    assert (down > 0).all()  # ... and lowers it for the discriminator.


@pytest.mark.parametrize("kind", KINDS)
def test_scales_count_alike_whatever_their_size(kind):
    small, large = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 64, 64)
    both = generator_loss([small, large], kind=kind)
    alone = (generator_loss(small, kind=kind) + generator_loss(large, kind=kind)) / 2
    torch.testing.assert_close(both, alone)


def test_r1_of_a_linear_judge_is_its_squared_slope():
    weight = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)
    image = torch.rand(4, 3, 1, 1, requires_grad=True)
    assert r1_penalty((image * weight).sum(dim=1), image).item() == pytest.approx(14.0)


def test_r1_has_a_gradient_of_its_own():
    weight = torch.tensor(2.0, requires_grad=True)
    image = torch.rand(1, 1, 2, 2, requires_grad=True)
    r1_penalty(weight * image, image).backward()
    assert weight.grad.item() == pytest.approx(2 * 2.0 * 4)


def test_r1_needs_images_with_a_gradient():
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty(torch.zeros(1, 1), torch.rand(1, 3, 2, 2))


def test_warm_up_starts_at_zero_and_ends_at_one():
    factors = [adversarial_warmup(step, start=100, length=50) for step in range(300)]
    assert factors[100] == 0
    assert factors[150:] == [1.0] * 150
    assert factors == sorted(factors)
    assert adversarial_warmup(5, start=5, length=0) == 0


def test_unknown_games_are_refused():
    with pytest.raises(ValueError, match="kind must be one of lsgan"):
        generator_loss(torch.zeros(1), kind="wgan")


def scale(shift: float, size: int = 4) -> list[torch.Tensor]:
    return [torch.full((1, 8, size, size), shift), torch.full((1, 1, 2, 2), 99 * shift)]


def test_feature_matching_leaves_the_logits_out():
    assert feature_matching_loss([scale(0.0)], [scale(1.0)]).item() == 1.0


def test_feature_matching_does_not_depend_on_resolution_or_number_of_scales():
    one = feature_matching_loss([scale(0.0)], [scale(1.0)])
    many = feature_matching_loss([scale(0.0, 4), scale(0.0, 64)], [scale(1.0, 4), scale(1.0, 64)])
    assert one == many


def test_feature_matching_refuses_other_scales():
    with pytest.raises(ValueError, match="same scales and layers"):
        feature_matching_loss([scale(0.0)], [scale(0.0), scale(0.0)])
    with pytest.raises(ValueError, match="same shape"):
        feature_matching_loss([scale(0.0, 4)], [scale(0.0, 8)])
