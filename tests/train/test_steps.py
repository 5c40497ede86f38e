"""Step functions: names, gradients, who learns and who does not."""

import pytest
import torch
from torch import nn

import snowai
from snowai.losses import weighted_sum
from snowai.models import MultiScaleDiscriminator
from snowai.pairs import Pair
from snowai.train import discriminator_losses, generator_losses


@pytest.fixture
def pair():
    torch.manual_seed(0)
    images = [torch.rand(2, channels, 32, 32) for channels in (3, 3, 1)]
    return Pair(*images, torch.rand(2, 478, 2))


@pytest.fixture
def judge():
    return MultiScaleDiscriminator(width=4, condition_channels=4, n_layers=2)


class Squared(nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).square().mean()


def test_losses_come_back_by_name(pair, judge):
    names = generator_losses(pair.photo, pair, discriminator=judge, perceptual=Squared()).keys()
    assert names == {"pixel", "perceptual", "adversarial", "feature_matching"}
    assert generator_losses(pair.photo, pair).keys() == {"pixel"}
    assert discriminator_losses(pair.photo, pair, discriminator=judge).keys() == {"discriminator"}


@pytest.mark.parametrize("name", ["pixel", "perceptual", "adversarial", "feature_matching"])
def test_every_loss_pulls_at_the_prediction(pair, judge, name):
    # DCT-Net's identity loss goes through float() and so has no gradient at all.
    prediction = pair.photo.clone().requires_grad_()
    losses = generator_losses(prediction, pair, discriminator=judge, perceptual=Squared())
    (pull,) = torch.autograd.grad(losses[name], prediction)
    assert pull.any()


def test_the_generator_step_leaves_the_discriminator_alone(pair, judge):
    prediction = pair.photo.clone().requires_grad_()
    losses = generator_losses(prediction, pair, discriminator=judge)
    torch.stack(list(losses.values())).sum().backward()
    assert all(weight.grad is None for weight in judge.parameters())
    assert all(weight.requires_grad for weight in judge.parameters())


def test_a_frozen_judge_stays_frozen(pair, judge):
    judge.requires_grad_(False)
    generator_losses(pair.photo, pair, discriminator=judge)
    assert not any(weight.requires_grad for weight in judge.parameters())


def test_the_discriminator_step_leaves_the_network_alone(pair, judge):
    prediction = pair.photo.clone().requires_grad_()
    losses = discriminator_losses(prediction, pair, discriminator=judge, with_r1=True)
    assert losses.keys() == {"discriminator", "r1"}
    torch.stack(list(losses.values())).sum().backward()
    assert prediction.grad is None
    assert all(weight.grad is not None for weight in judge.parameters())


def test_eyes_count_more(pair):
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., :8, :8] = 1
    pair = pair._replace(styled=pair.photo, eye_mask=mask)
    inside, outside = pair.photo.clone(), pair.photo.clone()
    inside[..., 4, 4] += 1
    outside[..., 20, 20] += 1
    ratio = [generator_losses(image, pair, eye_gain=4.0)["pixel"] for image in (inside, outside)]
    assert (ratio[0] / ratio[1]).item() == pytest.approx(5.0)


def test_grown_eyes_reach_around_the_eyes(pair):
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 10:12, 10:12] = 1
    pair = pair._replace(styled=pair.photo, eye_mask=mask)
    beside = pair.photo.clone()
    beside[..., 10, 14] += 1
    near, far = (
        generator_losses(beside, pair, eye_gain=4.0, eye_grow=grow)["pixel"] for grow in (0.1, 0.0)
    )
    assert near > 4 * far


def test_weights_decide_and_unweighted_losses_do_not_count():
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(10.0), "c": torch.tensor(100.0)}
    assert weighted_sum(losses, {"a": 2.0, "b": 0.5}).item() == 7.0


def test_a_few_steps_make_the_discriminator_better(pair, judge):
    optimiser = torch.optim.Adam(judge.parameters(), 1e-3)
    values = []
    for _ in range(30):
        (loss,) = discriminator_losses(pair.photo, pair, discriminator=judge).values()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]


def test_networks_learn_to_invert(pair):
    pair = pair._replace(styled=1 - pair.photo)
    network = snowai.EyeMaskInput(snowai.create_model("se_unet_tiny"))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    values = []
    for _ in range(40):
        loss = generator_losses(network(pair.photo, pair.eye_mask), pair)["pixel"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]
