"""Styles from code, and the pair sets drawn with them."""

import json

import pytest
import torch
from torch.nn import functional as F

from snowai.faces import align, alignment_matrix, eye_mask
from snowai.image import read_image, to_tensor, write_image
from snowai.pairs import (
    STYLES,
    ComicStyle,
    PairDataset,
    PosterStyle,
    ToonStyle,
    WatercolourStyle,
    draw_frames,
    draw_pairs,
    draw_style,
    toon,
)


@pytest.fixture(scope="module")
def crop(astronaut, face):
    matrix = alignment_matrix(face, 192)
    points = face.transform(matrix).points[None]
    return align(to_tensor(astronaut)[None], matrix[None], 192), points


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


def test_a_toon_can_leave_the_tones_around_the_face_alone(crop):
    image, points = crop
    whole, calm = (toon(image, points, ToonStyle(around=around)) for around in (1.0, 0.0))
    middle, corner = (..., slice(80, 130), slice(75, 115)), (..., slice(0, 20), slice(0, 20))
    torch.testing.assert_close(calm[middle], whole[middle], rtol=0, atol=0.02)
    assert (whole[corner] - image[corner]).mean() > 0.05
    assert (calm[corner] - image[corner]).abs().mean() < 0.03


def test_toons_eyes_have_a_light(crop):
    image, points = crop
    eyes = eye_mask(points, (192, 192), scheme="mediapipe478") > 0.5
    dark, lit = (
        toon(image, points, ToonStyle(light=light)).mean(dim=1, keepdim=True)[eyes].max()
        for light in (0.0, 1.0)
    )
    assert lit > 0.97
    assert lit > dark


@pytest.mark.parametrize("name", STYLES)
def test_a_preset_keeps_the_face_in_place_and_is_the_same_every_time(crop, landmarker, name):
    image, points = crop
    before = image.clone()
    drawing = draw_style(image, points, STYLES[name]())
    assert torch.equal(image, before)
    assert drawing.shape == image.shape
    assert 0 <= drawing.min() <= drawing.max() <= 1
    assert (drawing - image).abs().mean() > 0.05
    found = landmarker.detect(drawing[0])
    eyes = (points[0, 473] - points[0, 468]).norm()
    assert (found[0].points - points[0]).norm(dim=1).median() < 0.06 * eyes
    assert torch.equal(draw_style(image, points, STYLES[name]()), drawing)


@pytest.mark.parametrize("name", STYLES)
def test_a_picture_without_a_face_is_drawn_and_harms_no_neighbour(crop, name):
    image, points = crop
    both = torch.cat([points, torch.full_like(points, torch.nan)])
    drawings = draw_style(image.expand(2, -1, -1, -1), both, STYLES[name]())
    assert drawings.isfinite().all()
    alone = draw_style(image, points, STYLES[name]())
    torch.testing.assert_close(drawings[:1], alone, atol=1e-5, rtol=0)


def test_a_poster_has_the_inks_of_its_palette_alone(crop):
    image, points = crop
    printed = draw_style(image, points, PosterStyle(palette=("#000000", "#ff0000"), hatching=0))
    assert printed[:, 1:].max() < 1e-6
    red = printed[:, 0]
    assert 0.2 < (red > 0.99).float().mean() < 0.9
    assert ((red > 0.01) & (red < 0.99)).float().mean() < 0.12  # Smooth borders, no more.


def test_a_comics_hair_is_solid_ink_and_its_eyes_are_not(crop):
    image, points = crop
    eyes = eye_mask(points, (192, 192), scheme="mediapipe478") > 0.5
    drawing = draw_style(image, points, ComicStyle(black=0.3)).mean(dim=1, keepdim=True)
    assert (drawing < 0.02).float().mean() > 0.1
    assert (drawing[eyes] < 0.02).float().mean() < 0.25


def test_watercolours_margin_stays_paper(crop):
    image, points = crop
    painted = draw_style(image, points, WatercolourStyle(margin=0.1))
    assert painted[..., :6, :].min() > 0.85
    other = draw_style(image, points, WatercolourStyle(margin=0.1, seed=1))
    assert not torch.equal(painted, other)


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


def test_shards_draw_what_one_process_draws(tmp_path, photo, landmarker):
    write_image(tmp_path / "photos" / "b.png", read_image(photo).flip(-1))
    photos = [photo, tmp_path / "photos" / "b.png"]
    draw_pairs(photos, tmp_path / "whole", landmarker, size=64, views=2)
    for shard in (1, 0):
        draw_pairs(photos, tmp_path / "parts", landmarker, size=64, views=2, shard=(shard, 2))
        assert (tmp_path / "parts" / "metadata.jsonl").is_file() == (shard == 0)
    for path in sorted((tmp_path / "whole").rglob("*.*")):
        relative = path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == (tmp_path / "parts" / relative).read_bytes(), path
    # A photo that was drawn is not even opened again.
    photo.unlink()
    assert len(draw_pairs(photos, tmp_path / "whole", landmarker, size=64, views=2)) == 4


def test_views_differ_and_the_manifest_says_how_they_were_made(tmp_path, photo, landmarker):
    draw_pairs([photo], tmp_path / "a", landmarker, size=64, views=3)
    images = [read_image(path) for path in sorted((tmp_path / "a" / "photo").iterdir())]
    assert len(images) == 3
    assert not torch.allclose(images[0], images[1])
    row = json.loads((tmp_path / "a" / "metadata.jsonl").read_text().splitlines()[0])
    assert row["source"] == "astronaut.png"
    assert row["style"]["tones"] == ToonStyle().tones
    draw_pairs([photo], tmp_path / "b", landmarker, size=64, style=PosterStyle(contrast=1.2))
    row = json.loads((tmp_path / "b" / "metadata.jsonl").read_text().splitlines()[0])
    assert (row["style"]["preset"], row["style"]["contrast"]) == ("poster", 1.2)


def test_photos_of_one_name_never_mix(tmp_path, photo, landmarker):
    with pytest.raises(ValueError, match="2 photos are named astronaut"):
        draw_pairs([photo, tmp_path / "other" / "astronaut.jpg"], tmp_path / "out", landmarker)
    assert not (tmp_path / "out").exists()


def test_photos_without_a_face_are_an_error(tmp_path, landmarker):
    write_image(tmp_path / "grey.png", torch.full((3, 64, 64), 0.5))
    with pytest.raises(ValueError, match="None of the 1 photos shows a face"):
        draw_pairs([tmp_path / "grey.png"], tmp_path / "out", landmarker)


def test_frames_are_squares_of_the_whole_photo_with_or_without_a_face(tmp_path, photo, landmarker):
    write_image(tmp_path / "plain.png", torch.rand(3, 90, 60))
    photos = [photo, tmp_path / "plain.png"]
    records = draw_frames(photos, tmp_path / "set", landmarker, size=64, views=3)
    assert [record.name for record in records] == [
        f"{path.stem}-frame-{view:03d}" for path in photos for view in range(3)
    ]
    whole = read_image(tmp_path / "set" / records[3].photo)
    middle = F.interpolate(
        read_image(tmp_path / "plain.png")[None, :, 15:75], (64, 64), mode="bilinear"
    )[0]
    assert (whole - middle).abs().mean() < 0.02
    pictures = [read_image(tmp_path / "set" / record.photo) for record in records[:3]]
    assert all((pictures[0] - other).abs().mean() > 0.02 for other in pictures[1:])
    pairs = PairDataset(tmp_path / "set", size=64)
    assert pairs[0].photo.shape == (3, 64, 64)


def test_a_set_of_frames_is_the_same_after_a_kill(tmp_path, photo, landmarker):
    first = draw_frames([photo], tmp_path / "a", landmarker, size=64)
    again = draw_frames([photo], tmp_path / "b", landmarker, size=64)
    (tmp_path / "b" / again[1].styled).unlink()
    (tmp_path / "b" / "facts" / f"{photo.stem}.json").unlink()
    draw_frames([photo], tmp_path / "b", landmarker, size=64)
    for record in first:
        assert (tmp_path / "a" / record.styled).read_bytes() == (
            tmp_path / "b" / record.styled
        ).read_bytes()
