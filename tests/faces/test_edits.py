"""Reshape and light: what moves, and what stays."""

from functools import partial

import pytest
import torch

from snowai.faces import (
    Landmarks,
    close_eyes,
    enlarge_eyes,
    eye_mask,
    eye_openness,
    face_mask,
    iris_light,
    open_mouth,
    shift_gaze,
    slim_face,
    smile,
    widen_eyes,
)


@pytest.fixture(scope="module")
def crop(crop):
    image, face = crop
    return image, face.points[None], face.scheme


def test_eyes_grow_and_the_rest_stays(crop, landmarker):
    image, points, scheme = crop
    large = enlarge_eyes(image, points, 0.4, scheme=scheme).image
    far = eye_mask(points, (256, 256), scheme=scheme, grow=0.2) == 0
    assert (large - image).abs()[far.expand_as(image)].max() < 0.02
    again = landmarker.detect(large[0].clamp(0, 1))[0]
    before = landmarker.detect(image[0])[0]
    for side in ("left_eye", "right_eye"):
        height = [
            f.region(side)[:, 1].amax() - f.region(side)[:, 1].amin() for f in (before, again)
        ]
        assert height[1] > 1.1 * height[0]


def test_no_growth_changes_nothing(crop):
    image, points, scheme = crop
    assert torch.equal(enlarge_eyes(image, points, 0.0, scheme=scheme).image, image)


def test_growth_is_bounded(crop):
    with pytest.raises(ValueError, match="amount must be at most 1"):
        enlarge_eyes(*crop[:2], 1.5, scheme=crop[2])


def test_the_light_falls_inside_both_eyes_at_the_same_side(crop):
    image, points, scheme = crop
    light = (iris_light(image * 0, points) > 0.5)[:, :1]
    eyes = eye_mask(points, (256, 256), scheme=scheme)
    assert light.any()
    assert (eyes[light] > 0).all()
    middle = points[..., 0].mean().long()
    for left, iris in ((True, 473), (False, 468)):
        half = light[..., middle:] if left else light[..., :middle]
        spot = half.nonzero().float().mean(0)[2:].flip(0) + 0.5
        spot = spot + torch.tensor([float(middle) if left else 0.0, 0.0])
        offset = spot - points[0, iris]
        assert offset[0] < 0  # Left of the iris's centre,
        assert offset[1] < 0  # and above it.


def test_no_strength_is_no_light(crop):
    torch.testing.assert_close(iris_light(*crop[:2], strength=0.0), crop[0])


EDITS = {
    "close_eyes": partial(close_eyes, amount=1.0),
    "enlarge_eyes": partial(enlarge_eyes, amount=0.4),
    "widen_eyes": partial(widen_eyes, amount=1.0),
    "smile": partial(smile, amount=1.0),
    "sad": partial(smile, amount=-1.0),
    "open_mouth": partial(open_mouth, amount=1.0),
    "slim_face": partial(slim_face, amount=1.0),
}


def both_schemes(crop):
    image, points, scheme = crop
    face = Landmarks(points[0], scheme)
    return [(image, points, scheme), (image, face.to_ibug68().points[None], "ibug68")]


@pytest.mark.parametrize("name", EDITS)
def test_the_background_stays_bit_by_bit(crop, name):
    for image, points, scheme in both_schemes(crop):
        edit = EDITS[name](image, points, scheme=scheme)
        same = edit.changed.expand_as(image) == 0
        assert torch.equal(edit.image[same], image[same])
        assert 0 <= edit.image.amin() <= edit.image.amax() <= 1
        # Even a wide open mouth or a slim jaw leaves what is a third of a face away.
        far = face_mask(points, (256, 256), scheme=scheme, softness=0.35) == 0
        assert far.any()
        assert edit.changed[far].max() == 0
        assert (edit.image - image).abs().max() > 0.05


@pytest.mark.parametrize("name", EDITS)
def test_the_points_go_where_the_landmarker_finds_them(crop, landmarker, name):
    image, points, scheme = crop
    edit = EDITS[name](image, points, scheme=scheme)
    found = landmarker.detect(edit.image[0])[0].points
    before = landmarker.detect(image[0])[0].points
    moved = (edit.points[0] - points[0]).norm(dim=1) > 2.0
    assert moved.any()
    # Of what moved, the landmarker sees most where we say it is: nearer than where it was.
    told = (found - edit.points[0]).norm(dim=1)[moved].mean()
    stayed = (found - before).norm(dim=1)[moved].mean()
    assert stayed > 0.5
    assert told < (edit.points[0] - points[0]).norm(dim=1)[moved].mean()


@pytest.mark.parametrize("name", [*EDITS, "gaze"])
def test_a_batch_with_a_lost_face_edits_the_others(crop, name):
    image, points, scheme = crop
    edit = EDITS.get(name, lambda image, points, scheme: shift_gaze(image, points, (0.7, 0.2)))
    lost = torch.full_like(points, torch.nan)
    pair = edit(torch.cat([image, image]), torch.cat([points, lost]), scheme=scheme)
    alone = edit(image, points, scheme=scheme)
    torch.testing.assert_close(pair.image[:1], alone.image)
    torch.testing.assert_close(pair.points[:1], alone.points)
    assert torch.equal(pair.image[1:], image)
    assert pair.points[1].isnan().all()
    assert pair.changed[1].max() == 0


def test_eyes_close_as_far_as_asked(crop, landmarker):
    image, points, scheme = crop
    openness = []
    blinks = []
    for amount in (0.0, 0.5, 1.0):
        edit = close_eyes(image, points, amount, scheme=scheme)
        openness.append(eye_openness(edit.points, scheme=scheme)[0])
        scores = landmarker.detect(edit.image[0])[0].blendshapes
        blinks.append(min(scores["eyeBlinkLeft"], scores["eyeBlinkRight"]))
    assert openness[0].min() > 0.18
    torch.testing.assert_close(openness[1], openness[0] * 0.46, atol=0.03, rtol=0)
    assert openness[2].max() < 0.03
    assert blinks[2] > blinks[0] + 0.35  # MediaPipe agrees.


def test_a_wink_closes_one_eye(crop):
    image, points, scheme = crop
    edit = close_eyes(image, points, (1.0, 0.0), scheme=scheme)
    left, right = eye_openness(edit.points, scheme=scheme)[0]
    assert left < 0.05
    assert right == eye_openness(points, scheme=scheme)[0, 1]
    # The person's left eye is on the right of the picture.
    assert edit.changed.nonzero()[:, 3].min() > points[..., 0].mean()


def test_closed_eyes_stay_closed(crop):
    image, points, scheme = crop
    once = close_eyes(image, points, 1.0, scheme=scheme)
    twice = close_eyes(once.image, once.points, 1.0, scheme=scheme)
    assert (twice.points - once.points).norm(dim=-1).max() < 1.0
    assert (twice.image - once.image).abs().mean() < 2e-3


def test_a_smile_is_seen(crop, landmarker):
    image, points, scheme = crop
    sad = smile(image, points, -1.0, scheme=scheme)
    glad = smile(image, points, 1.0, scheme=scheme)
    scores = [
        landmarker.detect(edit.image[0])[0].blendshapes["mouthSmileLeft"] for edit in (sad, glad)
    ]
    assert scores[1] > scores[0] + 0.2


def test_a_mouth_opens(crop, landmarker):
    image, points, scheme = crop
    edit = open_mouth(image, points, 1.0, scheme=scheme)
    opened, before = (
        landmarker.detect(i[0])[0].blendshapes["jawOpen"] for i in (edit.image, image)
    )
    assert opened > before + 0.2


def test_a_slim_face_is_narrower(crop):
    image, points, scheme = crop
    slim = slim_face(image, points, 1.0, scheme=scheme).points
    widths = [(p[0, 397] - p[0, 172])[0] for p in (points, slim)]
    assert widths[1] < 0.88 * widths[0]


def test_a_glance_moves_the_iris_and_not_the_lids(crop, landmarker):
    image, points, scheme = crop
    edit = shift_gaze(image, points, (0.8, 0.0))
    lids = eye_mask(points, (256, 256), scheme=scheme) == 0
    assert torch.equal(edit.image[lids.expand_as(image)], image[lids.expand_as(image)])
    found = landmarker.detect(edit.image[0])[0].blendshapes
    before = landmarker.detect(image[0])[0].blendshapes
    # To the picture's right is to the person's left.
    assert found["eyeLookOutLeft"] > before["eyeLookOutLeft"] + 0.1
    assert found["eyeLookInRight"] > before["eyeLookInRight"] + 0.1


@pytest.mark.parametrize("name", ["enlarge_eyes", "smile", "slim_face", "close_eyes"])
def test_edits_are_differentiable(crop, name):
    image, points, scheme = crop
    image = image.clone().requires_grad_()
    EDITS[name](image, points, scheme=scheme).image.square().mean().backward()
    assert image.grad.isfinite().all()
    assert (image.grad != 0).float().mean() > 0.9


def test_amounts_out_of_range_are_refused(crop):
    image, points, scheme = crop
    with pytest.raises(ValueError, match=r"amount must be in \[0, 1\]; got 2"):
        close_eyes(image, points, 2.0, scheme=scheme)
    with pytest.raises(ValueError, match=r"direction must be in"):
        shift_gaze(image, points, (2.0, 0.0))
    with pytest.raises(ValueError, match="amount must be at most 1"):
        smile(image, points, 1.5, scheme=scheme)
