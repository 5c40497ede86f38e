"""Masks: area, softness, both schemes, gradient, export."""

import pytest
import torch

from snowai.faces import eye_mask, face_mask, polygon_mask


def iou(first, second):
    return (torch.minimum(first, second).sum() / torch.maximum(first, second).sum()).item()


def test_polygon_area_is_exact():
    triangle = torch.tensor([[[10.0, 10.0], [50.0, 10.0], [10.0, 50.0]]])
    assert polygon_mask(triangle, (64, 64), softness=0.002).sum().item() == pytest.approx(
        800, rel=0.01
    )


def test_a_concave_polygon_keeps_its_notch():
    notched = torch.tensor([[[8.0, 8.0], [56.0, 8.0], [56.0, 56.0], [32.0, 20.0], [8.0, 56.0]]])
    mask = polygon_mask(notched, (64, 64))
    assert mask[0, 0, 45, 32] == 0
    assert mask[0, 0, 14, 32] == 1


def test_drawing_direction_does_not_matter():
    points = torch.rand(3, 7, 2) * 48
    torch.testing.assert_close(
        polygon_mask(points, (48, 48)), polygon_mask(points.flip(1), (48, 48))
    )


def test_polygon_equals_pillows():
    import numpy as np
    from PIL import Image, ImageDraw

    corners = [(6, 10), (40, 4), (60, 30), (33, 58), (12, 44)]
    picture = Image.new("L", (64 * 8, 64 * 8))
    ImageDraw.Draw(picture).polygon([(x * 8, y * 8) for x, y in corners], fill=255)
    theirs = torch.from_numpy(np.array(picture.resize((64, 64), Image.Resampling.BOX))) / 255
    ours = polygon_mask(torch.tensor([corners]).float(), (64, 64), softness=0.5 / 64)
    assert (ours[0, 0] - theirs).abs().mean() < 0.003


def test_the_edge_is_soft_over_the_stated_width():
    half_plane = torch.tensor([[[-99.0, -99.0], [32.0, -99.0], [32.0, 199.0], [-99.0, 199.0]]])
    row = polygon_mask(half_plane, (100, 100), softness=0.05)[0, 0, 50]
    soft = ((row > 0) & (row < 1)).nonzero()
    assert soft.min() == 27
    assert soft.max() == 36


def test_eye_masks_of_both_schemes_agree(face):
    # Stated: IoU of 0.9 or more for eyes and faces. The 68 points are MediaPipe's own, renamed,
    # so that only the drawing differs.
    close = face.transform(torch.tensor([[3.0, 0.0, -500.0], [0.0, 3.0, -180.0]]))
    coarse = close.to_ibug68()
    size = (384, 384)
    for draw in (eye_mask, face_mask):
        fine = draw(close.points[None], size, scheme=close.scheme)
        assert iou(fine, draw(coarse.points[None], size, scheme=coarse.scheme)) > 0.9


def test_eye_mask_covers_the_iris_and_not_the_brow(face):
    mask = eye_mask(face.points[None], (512, 512), scheme=face.scheme, softness=0.002)[0, 0]
    x, y = face.region("left_iris")[0].long().tolist()
    assert mask[y, x] > 0.9
    x, y = face.region("left_brow").mean(0).long().tolist()
    assert mask[y, x] == 0


def test_a_closed_eye_is_faint(face):
    points = face.points.clone() * 4
    open_mask = eye_mask(points[None], (2048, 2048), scheme=face.scheme, softness=0.001)
    for side in ("left_eye", "right_eye"):
        from snowai.faces.schemes import SCHEMES

        index = list(SCHEMES[face.scheme].regions[side])
        points[index, 1] = points[index, 1].mean()
    closed = eye_mask(points[None], (2048, 2048), scheme=face.scheme, softness=0.001)
    assert closed.sum() < 0.15 * open_mask.sum()


def test_a_face_that_was_not_found_has_no_eyes(face):
    points = torch.stack([face.points, torch.full_like(face.points, torch.nan)])
    masks = eye_mask(points, (512, 512), scheme=face.scheme)
    assert masks[0].any()
    assert not masks[1].any()


def test_batches_equal_singles(face):
    points = torch.stack([face.points, face.points + 20])
    together = eye_mask(points, (512, 512), scheme=face.scheme)
    for index in range(2):
        alone = eye_mask(points[index : index + 1], (512, 512), scheme=face.scheme)
        torch.testing.assert_close(together[index : index + 1], alone)


def test_masks_move_with_the_points_by_gradient(face):
    points = (face.points * 0.25)[None].requires_grad_()
    eye_mask(points, (128, 128), scheme=face.scheme).sum().backward()
    assert points.grad.isfinite().all()
    assert points.grad.any()


def test_masks_export(face):
    class Draw(torch.nn.Module):
        def forward(self, points):
            return eye_mask(points, (64, 64), scheme="mediapipe478")

    points = (face.points * 0.125)[None]
    exported = torch.export.export(Draw(), (points,)).module()
    torch.testing.assert_close(exported(points), Draw()(points))


def test_wrong_points_are_refused():
    with pytest.raises(ValueError, match=r"points must be a float tensor \(B, 68, 2\)"):
        eye_mask(torch.rand(1, 478, 2), (64, 64), scheme="ibug68")
