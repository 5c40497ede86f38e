"""What hides a face lies where it should, looks the same in both pictures, and is seeded."""

import pytest
import torch
from PIL import Image

from snowai.faces import Landmarks, align, eye_mask, face_mask, polygon_mask
from snowai.pairs import (
    OCCLUDERS,
    Retouch,
    RetouchRecipe,
    cover,
    cutout,
    fringe,
    glasses,
    medical_mask,
    microphone,
    retouch_pair,
    visible_face,
)


@pytest.fixture(scope="module")
def hands(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hands")
    for index, colour in enumerate([(220, 170, 140), (90, 60, 40)]):
        picture = Image.new("RGBA", (80, 120), (255, 255, 255, 0))
        picture.paste((*colour, 255), (20, 20, 60, 110))
        picture.save(folder / f"{index}.png")
    return folder


def options(name, hands):
    return {"folder": hands} if name == "cutout" else {}


@pytest.mark.parametrize("name", OCCLUDERS)
def test_a_seed_is_one_picture_and_seeds_differ(crop, hands, name):
    image, face = crop
    points, more = face.points[None], options(name, hands)
    draw = OCCLUDERS[name]
    first = draw(image, points, scheme=face.scheme, seed=3, **more)
    again = draw(image, points, scheme=face.scheme, seed=3, **more)
    assert torch.equal(first.alpha, again.alpha)
    assert torch.equal(first.colour, again.colour)
    others = [draw(image, points, scheme=face.scheme, seed=s, **more) for s in range(4, 8)]
    drawn = [cover(image, layer) for layer in (first, *others)]
    assert len({picture.numpy().tobytes() for picture in drawn}) == 5
    for picture in drawn:
        assert 0 <= picture.amin() <= picture.amax() <= 1


@pytest.mark.parametrize("name", OCCLUDERS)
def test_a_face_that_is_not_known_hides_nothing(crop, hands, name):
    image, face = crop
    lost = torch.full_like(face.points, torch.nan)
    points = torch.stack([face.points, lost])
    more = options(name, hands)
    layer = OCCLUDERS[name](torch.cat([image] * 2), points, scheme=face.scheme, seed=1, **more)
    alone = OCCLUDERS[name](image, points[:1], scheme=face.scheme, seed=1, **more)
    assert layer.alpha[1].max() == 0
    torch.testing.assert_close(layer.alpha[:1], alone.alpha)
    torch.testing.assert_close(cover(image, alone), cover(torch.cat([image] * 2), layer)[:1])


@pytest.mark.parametrize("scheme", ["mediapipe478", "ibug68"])
def test_glasses_stand_before_both_eyes_and_leave_the_mouth(crop, scheme):
    image, face = crop
    face = face if scheme == "mediapipe478" else face.to_ibug68()
    points = face.points[None]
    for seed in range(6):
        layer = glasses(image, points, scheme=scheme, seed=seed)
        eyes = eye_mask(points, (256, 256), scheme=scheme, softness=0.002) > 0.9
        assert layer.alpha[eyes].min() > 0.04  # Behind glass, seldom behind the frame:
        assert layer.alpha[eyes].median() < 0.95
        mouth = polygon_mask(face.region("mouth")[None], (256, 256)) > 0
        assert layer.alpha[mouth].max() == 0
        assert (layer.alpha > 0.9).float().mean() > 0.002  # There is a frame.


@pytest.mark.parametrize("scheme", ["mediapipe478", "ibug68"])
def test_a_fringe_is_hair_over_the_forehead_and_leaves_the_eyes(crop, scheme):
    image, face = crop
    face = face if scheme == "mediapipe478" else face.to_ibug68()
    points = face.points[None]
    layer = fringe(image, points, scheme=scheme, seed=1)
    dense = layer.alpha[0, 0] > 0.9
    assert 0.02 < dense.float().mean() < 0.2
    eyes = eye_mask(points, (256, 256), scheme=scheme) > 0.5
    assert layer.alpha[eyes].max() < 0.05
    hair = image[0, :, 20:40, 110:150].mean(dim=(1, 2))  # On top of the head.
    assert (layer.colour[0][:, dense].mean(dim=1) - hair).abs().max() < 0.2


def test_a_head_without_hair_gets_no_fringe(crop):
    image, face = crop
    skin = image[..., 150:160, 90:100].mean(dim=(2, 3), keepdim=True).expand_as(image)
    layer = fringe(skin, face.points[None], scheme=face.scheme, seed=1)
    assert layer.alpha.max() == 0
    up = face.points - torch.tensor([0.0, 120.0])  # The head leaves the picture at the top.
    assert fringe(image, up[None], scheme=face.scheme).alpha.isfinite().all()


def test_turned_glasses_are_turned(crop):
    image, face = crop
    angle = torch.tensor(0.3)
    turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    middle = torch.tensor([128.0, 128.0])
    turned = (face.points - middle) @ turn.T + middle
    upright = glasses(image, face.points[None], scheme=face.scheme).alpha
    tilted = glasses(image, turned[None], scheme=face.scheme).alpha
    matrix = torch.cat([turn, (middle - turn @ middle)[:, None]], dim=1)
    expected = align(upright, matrix[None], 256)
    assert (tilted - expected).abs().mean() < 0.003 < (tilted - upright).abs().mean()


def test_a_mask_hides_mouth_and_chin_and_not_the_eyes(crop):
    image, face = crop
    points = face.points[None]
    layer = medical_mask(image, points, scheme=face.scheme)
    mouth = polygon_mask(face.region("mouth")[None], (256, 256)) > 0.5
    assert layer.alpha[mouth].min() > 0.99
    assert layer.alpha[eye_mask(points, (256, 256), scheme=face.scheme) > 0.1].max() < 0.01
    seen = visible_face(points, layer, scheme=face.scheme)
    whole = face_mask(points, (256, 256), scheme=face.scheme)
    assert 0.3 < float(seen.sum() / whole.sum()) < 0.75
    assert (seen <= whole).all()


def test_a_microphone_stands_below_the_eyes(crop):
    image, face = crop
    for seed in range(5):
        alpha = microphone(image, face.points[None], scheme=face.scheme, seed=seed).alpha
        eyes = face.region("left_eye")[:, 1].max()
        assert alpha[:, :, : int(eyes) + 10].max() == 0
        assert alpha[:, :, -1].max() > 0.9  # It is held from below.


def test_cutouts_keep_their_colour_up_to_the_edge(crop, hands):
    image, face = crop
    layer = cutout(image * 0, face.points[None], scheme=face.scheme, folder=hands, seed=2)
    inside = layer.alpha > 0.02
    colours = layer.colour.permute(1, 0, 2, 3)[:, inside[:, 0]].T
    known = torch.tensor([[220, 170, 140], [90, 60, 40]]) / 255
    assert torch.cdist(colours, known).amin(dim=1).max() < 0.02  # No white from the page.


def test_bad_cutouts_are_named(crop, tmp_path):
    image, face = crop
    arguments = (image, face.points[None])
    with pytest.raises(FileNotFoundError, match="holds no .jpg"):
        (tmp_path / "empty").mkdir()
        cutout(*arguments, scheme=face.scheme, folder=tmp_path / "empty")
    Image.new("RGB", (9, 9)).save(tmp_path / "flat.png")
    with pytest.raises(ValueError, match=r"flat.png has no alpha channel"):
        cutout(*arguments, scheme=face.scheme, folder=tmp_path)


def test_both_pictures_of_a_pair_wear_the_same(crop):
    image, face = crop
    recipe = RetouchRecipe((Retouch("glasses"), Retouch("medical_mask")), seed=2)
    edits = recipe.draw("00001")
    assert recipe.draw("00002")[0]["options"]["seed"] != edits[0]["options"]["seed"]
    shifted = Landmarks(face.points + torch.tensor([6.0, 0.0]), face.scheme)
    photo, styled, done = retouch_pair(image[0], image[0] * 0.5, (face, shifted), edits)
    assert 0.02 < done[0]["hidden"] < 0.6
    assert 0.25 < done[1]["hidden"] < 0.7
    # The styled face lies six pixels to the right, and so does what it wears.
    cloth = medical_mask(image, face.points[None], scheme=face.scheme, **edits[1]["options"]).alpha
    inner = (cloth[0, 0] > 0.99)[:, :-6]
    torch.testing.assert_close(
        photo[:, :, :-6][:, inner], styled[:, :, 6:][:, inner], atol=0.02, rtol=0
    )
