"""Colours come from the mask, the background from the photo."""

import pytest
import torch
from skimage.exposure import match_histograms

from snowai.faces import align, alignment_matrix, face_mask
from snowai.image import to_tensor
from snowai.pairs import keep_background, match_colours

METHODS = ["reinhard", "mean_std", "histogram"]


@pytest.fixture(scope="module")
def pair(astronaut, face):
    """The astronaut, darker and bluer, with her face's mask."""
    matrix = alignment_matrix(face, 128)
    photo = align(to_tensor(astronaut)[None], matrix[None], 128)
    points = face.transform(matrix).points[None]
    styled = photo**1.5 * torch.tensor([0.6, 0.8, 1.0]).view(1, 3, 1, 1)
    return styled, photo, points, face_mask(points, (128, 128), scheme=face.scheme)


@pytest.mark.parametrize("method", METHODS)
def test_the_face_gets_the_photos_tone(pair, method):
    styled, photo, _, mask = pair
    matched = match_colours(styled, photo, mask, method=method)

    def far(image):
        inside = (mask > 0.5).expand_as(image)
        return (image[inside] - photo[inside]).abs().mean()

    assert far(matched) < 0.35 * far(styled)
    half = match_colours(styled, photo, mask, method=method, amount=0.5)
    assert far(matched) < far(half) < far(styled)
    torch.testing.assert_close(match_colours(styled, photo, mask, amount=0.0), styled)


@pytest.mark.parametrize("method", ["reinhard", "mean_std"])
def test_moments_agree_inside_the_mask(method):
    torch.manual_seed(0)
    styled, photo = torch.rand(2, 3, 64, 64) * 0.2 + 0.4, torch.rand(2, 3, 64, 64) * 0.3 + 0.3
    mask = (torch.rand(2, 1, 64, 64) > 0.5).float()
    matched = match_colours(styled, photo, mask, method=method)
    for channel in range(3):
        one, two = (image[:, channel][mask[:, 0] > 0] for image in (matched, photo))
        torch.testing.assert_close(one.mean(), two.mean(), atol=0.01, rtol=0)
        torch.testing.assert_close(one.std(), two.std(), atol=0.02, rtol=0)


def test_histograms_are_scikit_images():
    """To 5e-4 on values that are nearly all different; equal ones it sends to their last rank."""
    torch.manual_seed(0)
    styled, photo = torch.rand(1, 3, 48, 48) ** 2, torch.rand(1, 3, 48, 48).sqrt()
    ours = match_colours(styled, photo, torch.ones(1, 1, 48, 48), method="histogram")
    theirs = match_histograms(
        styled[0].permute(1, 2, 0).numpy(), photo[0].permute(1, 2, 0).numpy(), channel_axis=-1
    )
    wanted = torch.from_numpy(theirs).float()
    torch.testing.assert_close(ours[0].permute(1, 2, 0), wanted, atol=5e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_mask_changes_nothing_and_no_neighbour(pair, method):
    styled, photo, _, mask = pair
    both = torch.cat([mask, mask * 0])
    matched = match_colours(torch.cat([styled] * 2), torch.cat([photo] * 2), both, method=method)
    assert torch.equal(matched[1:], styled)
    torch.testing.assert_close(matched[:1], match_colours(styled, photo, mask, method=method))


@pytest.mark.parametrize("method", ["reinhard", "mean_std"])
def test_it_has_a_gradient(pair, method):
    styled, photo, _, mask = pair
    styled = styled.clone().requires_grad_()
    match_colours(styled, photo, mask, method=method).sum().backward()
    assert styled.grad.isfinite().all()
    assert styled.grad.abs().sum() > 0


def test_the_background_is_the_photos(pair, face):
    styled, photo, points, _ = pair
    kept = keep_background(styled, photo, points, scheme=face.scheme)
    outside = face_mask(points, (128, 128), scheme=face.scheme, softness=0.06) == 0
    inside = face_mask(points, (128, 128), scheme=face.scheme, softness=0.06) == 1
    assert torch.equal(kept[outside.expand_as(kept)], photo[outside.expand_as(kept)])
    torch.testing.assert_close(kept[inside.expand_as(kept)], styled[inside.expand_as(kept)])
    lost = torch.full_like(points, torch.nan)
    assert torch.equal(keep_background(styled, photo, lost, scheme=face.scheme), photo)


def test_wrong_input_is_named(pair):
    styled, photo, _, mask = pair
    with pytest.raises(ValueError, match="method must be one of"):
        match_colours(styled, photo, mask, method="lab")
    with pytest.raises(ValueError, match="amount must be in"):
        match_colours(styled, photo, mask, amount=2.0)
    with pytest.raises(ValueError, match="styled"):
        match_colours(styled[..., :64], photo, mask)
