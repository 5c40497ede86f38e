"""Cut out and put back."""

import math

import pytest
import torch

from snowai.faces import align, alignment_matrix, feather_mask, paste_back
from snowai.image import to_tensor

IDENTITY = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def smooth_image(size: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 6, size), torch.linspace(0, 6, size), indexing="ij")
    return (torch.stack([x.sin(), y.cos(), (x * y / 6).sin()])[None] + 1) / 2


def test_identity_is_exact():
    # align_corners=True would shift by half a pixel at the borders.
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(align(image, IDENTITY.expand(2, -1, -1), 32), image)


def test_doubling_equals_torchs_interpolation():
    image = torch.rand(1, 3, 16, 16)
    theirs = torch.nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
    ours = align(image, IDENTITY * 2, 32)
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1])


def test_shrinking_averages_instead_of_skipping():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1
    torch.testing.assert_close(align(stripes, IDENTITY / 4, 16), torch.full((1, 1, 16, 16), 0.5))


def test_faces_come_out_upright_with_ffhqs_proportions(face, astronaut):
    image = to_tensor(astronaut)[None]
    angle = torch.tensor(math.radians(25))
    turn = torch.tensor([[angle.cos(), -angle.sin(), 90.0], [angle.sin(), angle.cos(), -60.0]])
    turned = face.transform(turn)
    for size in (128, 256):
        matrix = alignment_matrix(turned, size)
        placed = turned.transform(matrix)
        right, left = (placed.region(s).mean(0) / size for s in ("right_eye", "left_eye"))
        # Sets aligned as FFHQ have their eyes at 0.38 and 0.62 of the width, 0.47 of the height.
        assert right[0].item() == pytest.approx(0.38, abs=0.03)
        assert left[0].item() == pytest.approx(0.62, abs=0.03)
        assert right[1].item() == pytest.approx(left[1].item(), abs=0.02)
        assert right[1].item() == pytest.approx(0.47, abs=0.02)
    assert align(image, alignment_matrix(face, 64)[None], 64).shape == (1, 3, 64, 64)


def test_zoom_scales_about_the_same_centre(face):
    far, near = alignment_matrix(face, 256), alignment_matrix(face, 256, zoom=2.0)
    torch.testing.assert_close(near[:, :2], far[:, :2] * 2)


def test_landmarks_and_pixels_move_together(face, astronaut):
    # A dot painted at a landmark appears where the moved landmark says.
    image = torch.zeros(1, 1, 512, 512)
    x, y = face.region("left_iris")[0].tolist()
    image[0, 0, int(y), int(x)] = 1
    matrix = alignment_matrix(face, 256)
    crop = align(image, matrix[None], 256)[0, 0]
    at = (crop == crop.max()).nonzero()[0].flip(0) + 0.5
    want = face.transform(matrix).region("left_iris")[0]
    assert (at - want).norm() < 2


def test_pasting_an_unchanged_crop_changes_nothing_visible():
    image = smooth_image(200)
    matrix = torch.tensor([[[0.9, 0.3, -30.0], [-0.3, 0.9, 10.0]]])
    crop = align(image, matrix, 128)
    assert (paste_back(image, crop, matrix) - image).abs().max() < 0.004  # Below one of 255.


def test_a_different_crop_leaves_no_seam():
    # One pixel of jump at the border is what one sees first.
    image, matrix = torch.zeros(1, 3, 160, 160), torch.tensor([[[0.8, 0.2, 3.3], [-0.2, 0.8, 9.7]]])
    pasted = paste_back(image, torch.ones(1, 3, 96, 96), matrix)
    steps = max(pasted.diff(dim=-1).abs().max(), pasted.diff(dim=-2).abs().max())
    assert pasted.max() == 1
    assert steps < 0.15


def test_pasting_touches_only_the_covered_box():
    image, matrix = torch.rand(1, 3, 128, 128), torch.tensor([[[1.0, 0, -40.0], [0, 1.0, -50.0]]])
    pasted = paste_back(image, torch.ones(1, 3, 32, 32), matrix)
    changed = (pasted != image).any(dim=1)[0].nonzero()
    assert changed.amin(0).tolist() >= [50, 40]
    assert changed.amax(0).tolist() <= [82, 72]


def test_strength_mixes():
    image, crop = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    assert torch.equal(paste_back(image, crop, IDENTITY, strength=0.0), image)
    half = paste_back(image, crop, IDENTITY, strength=0.5)
    assert half[0, 0, 32, 32].item() == pytest.approx(0.5)


def test_crops_beyond_the_image_are_cut():
    image = torch.rand(1, 3, 64, 64)
    outside = torch.tensor([[[1.0, 0, 500.0], [0, 1.0, 0.0]]])
    assert torch.equal(paste_back(image, torch.ones(1, 3, 32, 32), outside), image)
    partly = torch.tensor([[[1.0, 0, 16.0], [0, 1.0, 16.0]]])
    assert paste_back(image, torch.ones(1, 3, 64, 64), partly).shape == image.shape


def test_gradients_reach_image_crop_and_mask():
    image = torch.rand(1, 3, 24, 24, dtype=torch.float64, requires_grad=True)
    crop = torch.rand(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    matrix = torch.tensor([[[0.9, 0.1, -3.0], [-0.1, 0.9, -2.0]]], dtype=torch.float64)

    def paste(image, crop, mask):
        return paste_back(image, crop, matrix, mask=mask)

    assert torch.autograd.gradcheck(paste, (image, crop, mask), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: align(x, matrix, 16), (image,), fast_mode=True)


def test_reflected_borders_have_no_black():
    crop = align(torch.ones(1, 3, 32, 32), torch.tensor([[[1.0, 0, 16.0], [0, 1.0, 16.0]]]), 64)
    assert crop.min() > 0.99


def test_feather_is_one_inside_and_zero_at_the_border():
    mask = feather_mask(101)
    assert mask[0, 0, 50, 50] == 1
    assert mask[0, 0, 0].max() < 0.01
    torch.testing.assert_close(mask, mask.flip(-1))
    with pytest.raises(ValueError, match="feather must be in"):
        feather_mask(64, feather=0.9)


def test_wrong_matrices_are_refused():
    with pytest.raises(ValueError, match=r"matrix must have shape \(B, 2, 3\)"):
        align(torch.rand(1, 3, 8, 8), torch.eye(3)[None], 8)
