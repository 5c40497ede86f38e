"""Styles from code, and the pair sets drawn with them."""

import json

import pytest
import torch

from snowai.faces import align, alignment_matrix, eye_mask
from snowai.image import read_image, to_tensor, write_image
from snowai.pairs import ToonStyle, draw_pairs, flatten_colours, ink_lines, quantise_tones, toon


@pytest.fixture(scope="module")
def crop(astronaut, face):
    matrix = alignment_matrix(face, 192)
    points = face.transform(matrix).points[None]
    return align(to_tensor(astronaut)[None], matrix[None], 192), points


def total_variation(image):
    return image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()


def test_flattening_removes_texture_and_keeps_edges(crop):
    image, _ = crop
    noisy = (image + 0.02 * torch.randn_like(image)).clamp(0, 1)
    flat = flatten_colours(noisy)
    assert total_variation(flat) < 0.6 * total_variation(noisy)
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 16:] = 1
    torch.testing.assert_close(flatten_colours(edge), edge, atol=0.01, rtol=0)


def test_tones_meet_at_the_levels_and_never_jump():
    ramp = torch.linspace(0, 1, 1001).expand(1, 3, 4, 1001)
    drawn = quantise_tones(ramp, 5, sharpness=20.0)[0, 0, 0]
    for level in (0, 250, 500, 750, 1000):
        assert drawn[level].item() == pytest.approx(level / 1000, abs=2e-3)
    assert (drawn.diff() >= -1e-5).all()
    assert drawn.diff().max() < 0.01
    with pytest.raises(ValueError, match="levels must be at least 2"):
        quantise_tones(ramp, 1)


def test_ink_follows_edges_and_leaves_flat_colour_blank():
    image = torch.full((1, 3, 32, 32), 0.4)
    assert ink_lines(image).max() == 0
    image[..., 16:] = 0.9
    lines = ink_lines(image)[0, 0, 16]
    assert lines[14:16].max() > 0.5  # On the dark side of the edge ...
    assert lines[18:].max() == 0  # ... and not on the bright one.


def test_toon_is_flat_bright_and_keeps_the_face_in_place(crop, landmarker):
    image, points = crop
    drawing = toon(image, points)
    assert drawing.shape == image.shape
    assert drawing.min() >= 0
    assert drawing.max() <= 1
    found = landmarker.detect(drawing[0])
    assert len(found) == 1
    eyes = (points[0, 473] - points[0, 468]).norm()
    assert (found[0].points - points[0]).norm(dim=1).median() < 0.06 * eyes


def test_toons_eyes_have_a_light(crop):
    image, points = crop
    eyes = eye_mask(points, (192, 192), scheme="mediapipe478") > 0.5
    dark, lit = (
        toon(image, points, ToonStyle(light=light)).mean(dim=1, keepdim=True)[eyes].max()
        for light in (0.0, 1.0)
    )
    assert lit > 0.97
    assert lit > dark


def test_a_face_that_was_not_found_is_drawn_without_eyes(crop):
    image, points = crop
    drawing = toon(image, torch.full_like(points, torch.nan))
    assert drawing.isfinite().all()


@pytest.fixture
def photo(tmp_path, astronaut):
    write_image(tmp_path / "photos" / "astronaut.png", to_tensor(astronaut))
    return tmp_path / "photos" / "astronaut.png"


def test_drawn_sets_are_the_same_in_any_order_and_after_a_kill(tmp_path, photo, landmarker):
    first, second = tmp_path / "a", tmp_path / "b"
    draw_pairs([photo], first, landmarker, size=64, views=4, seed=7)
    draw_pairs([photo], second, landmarker, size=64, views=2, seed=7)  # As if killed half-way,
    survivor = (second / "photo" / "astronaut-0-001.png").stat().st_mtime_ns
    draw_pairs([photo], second, landmarker, size=64, views=4, seed=7)  # and gone on.
    assert (second / "photo" / "astronaut-0-001.png").stat().st_mtime_ns == survivor
    for path in sorted(first.rglob("*.*")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path


def test_views_differ_and_the_manifest_says_how_they_were_made(tmp_path, photo, landmarker):
    draw_pairs([photo], tmp_path / "a", landmarker, size=64, views=3)
    images = [read_image(path) for path in sorted((tmp_path / "a" / "photo").iterdir())]
    assert len(images) == 3
    assert not torch.allclose(images[0], images[1])
    row = json.loads((tmp_path / "a" / "metadata.jsonl").read_text().splitlines()[0])
    assert row["source"] == "astronaut.png"
    assert row["style"]["tones"] == ToonStyle().tones


def test_photos_of_one_name_never_mix(tmp_path, photo, landmarker):
    with pytest.raises(ValueError, match="2 photos are named astronaut"):
        draw_pairs([photo, tmp_path / "other" / "astronaut.jpg"], tmp_path / "out", landmarker)
    assert not (tmp_path / "out").exists()


def test_photos_without_a_face_are_an_error(tmp_path, landmarker):
    write_image(tmp_path / "grey.png", torch.full((3, 64, 64), 0.5))
    with pytest.raises(ValueError, match="None of the 1 photos shows a face"):
        draw_pairs([tmp_path / "grey.png"], tmp_path / "out", landmarker)
