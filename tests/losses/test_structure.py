"""Structure, appearance and steadiness: against outside references, by hand, and with gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from snowai.losses import (
    EquivarianceLoss,
    IdentityLoss,
    View,
    alpha_sparsity_loss,
    colour_loss,
    equivariance_loss,
    l1_loss,
    multi_resolution_loss,
    random_view,
    ssim_loss,
    total_variation_loss,
)


def test_ssim_equals_scikit_images():
    from skimage.metrics import structural_similarity

    torch.manual_seed(0)
    first = torch.rand(2, 3, 40, 48)
    second = (first + 0.1 * torch.randn_like(first)).clamp(0, 1)
    # As in the paper: a Gaussian window, and deviations of the population.
    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    theirs = [
        structural_similarity(
            *(image.numpy() for image in images), channel_axis=0, data_range=1.0, **paper
        )
        for images in zip(first, second, strict=True)
    ]
    assert 1 - ssim_loss(first, second).item() == pytest.approx(sum(theirs) / 2, abs=1e-5)


def test_several_resolutions_are_the_mean_of_each():
    first, second = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    half = l1_loss(F.avg_pool2d(first, 2), F.avg_pool2d(second, 2))
    found = multi_resolution_loss(l1_loss, first, second, levels=2)
    torch.testing.assert_close(found, (l1_loss(first, second) + half) / 2)


@pytest.mark.parametrize("levels", [0, 6])
def test_too_many_resolutions_are_refused(levels):
    with pytest.raises(ValueError, match="levels must be at least 1"):
        multi_resolution_loss(
            l1_loss, torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), levels=levels
        )


def test_total_variation_equals_kornias():
    import kornia

    image = torch.rand(2, 3, 9, 7)
    theirs = kornia.losses.total_variation(image, reduction="mean").mean()
    torch.testing.assert_close(total_variation_loss(image), theirs)


def test_alpha_sparsity_is_the_share_that_changes():
    alpha = torch.zeros(1, 1, 4, 4)
    alpha[..., :2] = 1
    assert alpha_sparsity_loss(alpha).item() == 0.5


def test_colour_sees_the_region_only_and_not_where_its_pixels_are():
    face = torch.zeros(1, 1, 16, 16)
    face[..., 4:12, 4:12] = 1
    image = torch.rand(1, 3, 16, 16)
    outside = torch.where(face > 0, image, 1 - image)
    assert colour_loss(image, outside, weight=face).item() == pytest.approx(0, abs=1e-6)
    shuffled = image.clone()
    shuffled[..., 4:12, 4:12] = image[..., 4:12, 4:12].flip(-1).transpose(-1, -2)
    assert colour_loss(image, shuffled, weight=face).item() == pytest.approx(0, abs=1e-6)
    darker = image * 0.5
    assert colour_loss(image, darker, weight=face) > 0.1


def test_colour_of_grey_steps_by_hand():
    # L* of grey 0.5 and 0.6 (sRGB): 53.39 and 63.22; flat pictures have no contrast.
    grey = [torch.full((1, 3, 4, 4), value) for value in (0.5, 0.6)]
    assert colour_loss(*grey).item() == pytest.approx((63.22 - 53.39) / 100 / 3, abs=2e-4)


def test_identity_has_a_gradient_towards_the_photo():
    # DCT-Net's identity loss goes through float() and so has none.
    torch.manual_seed(0)
    embedder = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten())
    loss = IdentityLoss(embedder, size=16)
    photo = torch.rand(2, 3, 32, 32)
    picture = torch.rand(2, 3, 32, 32, requires_grad=True)
    before = loss(picture, photo)
    (slope,) = torch.autograd.grad(before, picture)
    assert loss(picture - slope * 20, photo) < before
    assert not any(weight.requires_grad for weight in loss.parameters())
    assert loss.train().embedder.training is False


def brighten(image, _mask):
    return image * 0.8


def blur(image, _mask):
    return F.avg_pool2d(image, 3, 1, 1)


class Grid(nn.Module):
    """Draws at fixed places of the picture, whatever the photo shows: it flickers."""

    def forward(self, image, _mask):
        stripes = torch.arange(image.shape[-1]) % 8 < 4
        return image * stripes.to(image)


def test_what_follows_the_face_is_steady_and_what_sticks_to_the_screen_is_not():
    torch.manual_seed(0)
    image = F.interpolate(torch.rand(2, 3, 8, 8), (64, 64), mode="bicubic").clamp(0, 0.8)
    mask, view = torch.zeros(2, 1, 64, 64), random_view(2)
    values = {
        name: equivariance_loss(network, image, mask, network(image, mask), view).item()
        for name, network in {"pixel": brighten, "blur": blur, "grid": Grid()}.items()
    }
    assert values["pixel"] == pytest.approx(0, abs=1e-6)
    assert values["blur"] < 0.01
    assert values["grid"] > 10 * values["blur"]


def test_equivariance_pulls_at_the_network():
    network = nn.Conv2d(3, 3, 5, padding=2, stride=1)
    weights = nn.Parameter(torch.rand(1, 3, 32, 32))  # Sticks to the screen.
    image, mask = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)

    def draw(photo, _mask):
        return network(photo) * weights

    EquivarianceLoss()(draw, image, mask, draw(image, mask)).backward()
    assert weights.grad.any()
    assert network.weight.grad.any()


def test_views_move_by_what_they_say():
    spot = torch.zeros(1, 1, 64, 64)
    spot[..., 32, 40] = 1
    still = torch.tensor([[[1.0, 0.0, 0.25], [0.0, 1.0, 0.0]]])  # An eighth of the width.
    moved = View(still, torch.ones(1, 1, 1, 1)).move(spot)
    assert moved.flatten().argmax().item() == 32 * 64 + 32


def test_views_are_drawn_from_the_given_chance():
    first, second = (random_view(3, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first.matrix, second.matrix)
    assert torch.equal(first.gain, second.gain)
    still = random_view(2, shift=0, scale=0, degrees=0, brightness=0)
    torch.testing.assert_close(still.see(image := torch.rand(2, 3, 8, 8)), image)
