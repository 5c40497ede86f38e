"""Steps of a drawing, each by what it must do to a picture that one can reason about."""

import pytest
import torch

from snowai.pairs import (
    flatten_colours,
    halftone,
    hatching,
    ink_lines,
    ink_shadows,
    map_palette,
    paper_texture,
    pigment,
    quantise_tones,
    wet_edges,
)


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


def test_shadows_are_filled_and_light_is_not():
    image = torch.full((1, 3, 32, 32), 0.05)
    image[..., 16:] = 0.6
    ink = ink_shadows(image)[0, 0]
    assert ink[:, :12].min() > 0.95
    assert ink[:, 20:].max() < 0.01


def test_dots_print_the_tone_that_was_asked_for():
    means = [
        float(halftone(torch.full((1, 1, 128, 128), tone), pitch=8.0).mean())
        for tone in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert means[0] == 0
    assert means == sorted(means)
    assert means[2] == pytest.approx(0.5, abs=0.02)
    assert means[1] == pytest.approx(1 - means[3], abs=0.02)


def test_hatching_has_its_pitch():
    lines = hatching(torch.zeros(1, 3, 256, 256), pitch=8.0, angle=0.0)[0, 0]
    torch.testing.assert_close(lines[:, 8:], lines[:, :-8], atol=1e-4, rtol=0)
    assert lines[0].max() > 0.99
    assert lines[0].min() < 0.01


def test_a_palette_takes_equal_shares_of_brightness():
    ramp = torch.linspace(0, 1, 301).view(1, 1, 1, -1)
    colours = ("#000000", "#ff0000", "#ffffff")
    printed = map_palette(ramp, colours, sharpness=400.0)[0, :, 0]
    for place, ink in ((50, (0, 0, 0)), (150, (1, 0, 0)), (250, (1, 1, 1))):
        torch.testing.assert_close(printed[:, place], torch.tensor(ink).float(), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="at least 2 colours"):
        map_palette(ramp, ["#000000"])
    with pytest.raises(ValueError, match="#rrggbb; got 'red'"):
        map_palette(ramp, ["red", "#ffffff"])


def test_pigment_of_density_one_changes_nothing_and_thicker_paint_is_darker():
    image = torch.rand(1, 3, 8, 8)
    density = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(pigment(image, density), image)
    torch.testing.assert_close(pigment(image, 2 * density), image.square())
    assert (pigment(image, 0 * density) >= image).all()


def test_pigment_gathers_where_a_wash_ends():
    image = torch.full((1, 3, 64, 64), 0.8)
    assert wet_edges(image).max() < 1e-4
    image[..., 32:] = 0.4
    rims = wet_edges(image)[0, 0]
    assert rims[32, 31:33].min() > 5 * rims[32, [20, 44]].max()


def test_paper_is_the_same_sheet_at_any_size():
    small, large = paper_texture((64, 64), seed=3), paper_texture((128, 128), seed=3)
    assert small.mean().abs() < 1e-4
    assert small.std().item() == pytest.approx(1, abs=1e-4)
    assert torch.equal(small, paper_texture((64, 64), seed=3))
    assert large.std().item() == pytest.approx(1, abs=1e-4)
