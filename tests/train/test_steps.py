"""Step functions: names, gradients, who learns and who does not."""

import pytest
import torch
from torch import nn

import snowai
from snowai.losses import weighted_sum
from snowai.models import MultiScaleDiscriminator
from snowai.pairs import Pair
from snowai.train import DiscriminatorConfig, discriminator_losses, generator_losses
from snowai.train.steps import EXTRA_LOSSES


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


@pytest.fixture
def found(crop):
    """A batch of two: a face that was found and one that was not."""
    photo, face = crop
    points = torch.stack([face.points, torch.full_like(face.points, torch.nan)])
    mask = snowai.faces.eye_mask(points, (256, 256), scheme="mediapipe478")
    return Pair(photo.repeat(2, 1, 1, 1), 1 - photo.repeat(2, 1, 1, 1), mask, points)


@pytest.mark.parametrize("name", EXTRA_LOSSES)
def test_extra_losses_come_when_asked_and_pull(found, name):
    prediction = found.photo.clone().requires_grad_()
    alpha = prediction.mean(dim=1, keepdim=True)
    losses = generator_losses(prediction, found, perceptual=Squared(), alpha=alpha, extra=(name,))
    assert losses.keys() == {"pixel", "perceptual", name}
    (pull,) = torch.autograd.grad(losses[name], prediction)
    assert pull.isfinite().all()
    assert pull[0].any()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("eyes", "give perceptual"),
        ("alpha", "residual_alpha"),
        ("beauty", "extra must be one of structure"),
    ],
)
def test_extra_losses_without_what_they_need_are_refused(pair, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        generator_losses(pair.photo, pair, extra=(name,))


def test_eyes_are_compared_in_faces_that_were_found_only(found):
    def distance(prediction, target):
        return (prediction - target).abs().mean() + len(prediction)

    losses = generator_losses(found.photo, found, perceptual=distance, extra=("eyes",))
    assert 2 < losses["eyes"].item() < 3  # Two eyes, of one face.
    lost = found._replace(points=torch.full_like(found.points, torch.nan))
    assert generator_losses(lost.photo, lost, perceptual=distance, extra=("eyes",))["eyes"] == 0


@pytest.mark.parametrize("se", [False, True])
def test_heads_judge_eyes_and_mouth(found, se):
    torch.manual_seed(0)
    judge = DiscriminatorConfig(width=4, scales=1, components=True, se=se).build()
    prediction = found.photo.clone().requires_grad_()
    losses = generator_losses(prediction, found, discriminator=judge)
    (pull,) = torch.autograd.grad(losses["adversarial"], prediction)
    eyes = snowai.faces.eye_crops(pull.abs()[:1], found.points[:1], scheme="mediapipe478")
    assert eyes.mean() > 1.5 * pull.abs()[0].mean()  # They look closer at the eyes.
    sum(discriminator_losses(found.photo, found, discriminator=judge).values()).backward()
    assert all(weight.grad is not None for weight in judge.parameters())


def test_a_judge_that_sees_misplaced_masks_learns_where_masks_belong(pair):
    torch.manual_seed(0)
    mask = torch.zeros(8, 1, 32, 32)
    mask[..., 12:16, 8:24] = 1
    photo = torch.rand(8, 3, 32, 32) * 0.2
    pair = Pair(photo, torch.maximum(photo, mask), mask, torch.rand(8, 478, 2))  # White eyes.
    verdicts = {}
    for with_mismatch in (True, False):
        judge = DiscriminatorConfig(width=8, scales=1, n_layers=2, norm="none").build()
        optimiser = torch.optim.Adam(judge.parameters(), 2e-3)
        for _ in range(60):
            losses = discriminator_losses(
                1 - photo, pair, discriminator=judge, with_mismatch=with_mismatch
            )
            optimiser.zero_grad()
            sum(losses.values()).backward()
            optimiser.step()
        wrong = mask.roll(6, dims=-2)
        right, misplaced = (
            judge(pair.styled, torch.cat([photo, m], dim=1))[0][-1].mean().item()
            for m in (mask, wrong)
        )
        verdicts[with_mismatch] = right - misplaced
    assert verdicts[True] > 0.2
    assert verdicts[True] > 3 * abs(verdicts[False])
