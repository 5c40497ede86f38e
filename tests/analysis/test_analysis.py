"""Sheets to look at and distances to decide by."""

import pytest
import torch
from foreign import networks

from snowai.analysis import (
    blend_sweep,
    frechet_distance,
    generate,
    paired_distances,
    sheet,
    show,
)
from snowai.faces import align, alignment_matrix, eye_crops
from snowai.faces.schemes import SCHEMES
from snowai.image import to_tensor
from snowai.losses import LPIPSLoss
from snowai.styles import BlendRecipe


@pytest.fixture(scope="module")
def crop(astronaut, face):
    matrix = alignment_matrix(face, 128)
    return align(to_tensor(astronaut)[None], matrix[None], 128), face.transform(matrix).points[None]


def test_sheets_hold_every_picture_where_it_belongs():
    red, blue = torch.zeros(3, 16, 16), torch.zeros(3, 16, 16)
    red[0], blue[2] = 1, 1
    page = sheet([[red, blue], [blue, red]])
    assert page.shape == (3, 36, 36)
    assert page[:, 8, 8].tolist() == [1, 0, 0]
    assert page[:, 8, 28].tolist() == [0, 0, 1]
    assert page[:, 28, 28].tolist() == [1, 0, 0]
    assert page[:, 18, 18].tolist() == [1, 1, 1]


def test_rows_are_brought_to_one_height_and_masks_become_grey():
    page = sheet([[torch.zeros(3, 32, 32), torch.ones(1, 16, 16) * 0.5]])
    assert page.shape == (3, 32, 68)
    assert page[:, 16, 50].tolist() == [0.5] * 3


def test_tall_rows_are_shrunk():
    assert sheet([[torch.zeros(3, 400, 200)]], max_height=100).shape == (3, 100, 50)
    page = sheet([[torch.zeros(3, 400, 200)]], titles=["a"], max_height=100)
    assert page.shape == (3, 120, 50)


def test_titles_are_drawn_above():
    pictures = [[torch.zeros(3, 64, 64), torch.zeros(3, 64, 64)]]
    page = sheet(pictures, titles=["photo", "styled"])
    header = page[:, : page.shape[1] - 64]
    assert header.shape[1] > 10
    assert header[..., :64].min() < 0.5
    assert header[..., 68:].min() < 0.5
    assert show(pictures).size == (132, 64)


def test_empty_sheets_are_refused():
    with pytest.raises(ValueError, match="at least one image in each row"):
        sheet([[]])


def test_eye_crops_show_left_eyes_then_right_eyes_in_the_middle(crop):
    image, points = crop
    spots = torch.zeros_like(image)
    for channel, region in ((0, "left_eye"), (1, "right_eye")):
        eye = points[0, list(SCHEMES["mediapipe478"].regions[region])]
        x, y = ((eye.amax(0) + eye.amin(0)) / 2).long().tolist()
        spots[0, channel, y - 1 : y + 2, x - 1 : x + 2] = 1
    eyes = eye_crops(spots, points, scheme="mediapipe478")
    for eye, channel in zip(eyes, (0, 1), strict=True):
        assert not eye[1 - channel].any()
        middle = (eye[channel] > 0.5).nonzero().float().mean(dim=0)
        assert (middle - 31.5).abs().max() < 3


def test_distances_are_zero_for_equals_and_grow(crop):
    image, points = crop
    lpips = LPIPSLoss("squeeze", backbone_weights="random")
    same = paired_distances(image, image, points, lpips=lpips)
    assert same["l1"] == same["lpips"] == same["eye_lpips"] == 0
    assert same["ssim"] == pytest.approx(1.0)
    changed = image.clone()
    changed[..., 80:] = 0
    far = paired_distances(changed, image, points, lpips=lpips)
    assert far["l1"] > 0
    assert far["ssim"] < 1
    assert far.keys() == same.keys()


def test_eye_distances_see_the_eyes_only(crop):
    image, points = crop
    changed = image.clone()
    changed[..., 100:, :] = 0  # The chin.
    far = paired_distances(changed, image, points)
    assert far["l1"] > 0.05
    assert far["eye_l1"] == 0


def test_a_sweep_has_a_column_for_each_recipe_and_its_ends_are_the_generators():
    base, _ = networks(32)
    styled, _ = networks(32)
    with torch.no_grad():
        styled.synthesis.to_rgb[-1].bias.add_(1)
    recipes = [BlendRecipe.hard(size, resolution=32) for size in (4, 32)]
    picture = blend_sweep(base, styled, recipes, seeds=[1, 2, 3])
    header = picture.shape[-2] - (3 * 36 - 4)
    assert picture.shape[-1] == 4 * 36 - 4
    cells = [picture[:, header : header + 32, left : left + 32] for left in range(0, 144, 36)]
    own = next(generate(base, [1], truncation=0.7))[0]
    torch.testing.assert_close(cells[0], own)
    torch.testing.assert_close(cells[1], cells[3])  # Cut at 4: all but mapping and constant.


def test_generated_batches_do_not_depend_on_the_batch_size():
    generator, _ = networks(16)
    one = torch.cat(list(generate(generator, range(5), batch_size=2)))
    two = torch.cat(list(generate(generator, range(5), batch_size=5)))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1


def test_the_frechet_distance_is_torchmetrics_and_orders_sets():
    torch.manual_seed(0)
    real, alike = torch.rand(2, 64, 3, 32, 32)
    darker = alike * 0.5

    class Means(torch.nn.Module):
        def forward(self, image):
            return torch.cat([image.mean((2, 3)), image.std((2, 3))], dim=1)

    near, far = (
        frechet_distance(torch.split(real, 16), torch.split(other, 16), features=Means())
        for other in (alike, darker)
    )
    assert near < 0.01 * far
    one, two = (Means()(x).double() for x in (real, darker))
    covariances = [torch.cov(x.t()) for x in (one, two)]
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).sqrt().real.sum()
    expected = (one.mean(0) - two.mean(0)).square().sum()
    expected = expected + covariances[0].trace() + covariances[1].trace() - 2 * root
    assert far == pytest.approx(float(expected), rel=1e-4)
