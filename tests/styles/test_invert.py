"""Inversion: what a generator drew is found again, photos come close, few grow into many."""

import pytest
import torch
from foreign import networks
from safetensors.torch import load_file
from torch import nn

from snowai.image import read_image, write_image
from snowai.styles import (
    Inversion,
    InvertConfig,
    grow_seeds,
    invert,
    invert_folder,
    sample_latents,
    tune_generator,
)
from snowai.styles.invert import _colour_of_noise, _spread, _whiten

FAST = InvertConfig(steps=80)


class Distance(nn.Module):
    """A stand-in for LPIPS that needs no weights: differences at two sizes."""

    def forward(self, prediction, target):
        difference = prediction - target
        small = nn.functional.avg_pool2d(difference, 4)
        return difference.abs().mean() + small.abs().mean()


@pytest.fixture(scope="module")
def generator():
    return networks(32)[0].requires_grad_(False)


def away(generator, seeds=(1,)):
    return generator.synthesis(sample_latents(generator, seeds))


@pytest.mark.parametrize(("space", "share"), [("w", 0.6), ("w+", 0.45)])
def test_a_generated_picture_is_found_again(generator, space, share):
    photo = away(generator).clamp(0, 1)
    average = generator.synthesis(generator.mapping.w_avg.expand(1, 8, -1)).clamp(0, 1)
    config = InvertConfig(space=space, steps=150)
    found = invert(generator, photo, perceptual=Distance(), config=config, progress=False)
    assert found.distance < share * float(Distance()(average, photo))
    if space == "w":
        assert torch.equal(found.ws[:, :1].expand_as(found.ws), found.ws)
    else:
        assert not torch.equal(found.ws[:, 0], found.ws[:, -1])


def test_the_result_is_repeatable_and_the_generator_stays(generator):
    photo = away(generator)
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    one, two = (
        invert(generator, photo, perceptual=Distance(), config=FAST, progress=False)
        for _ in range(2)
    )
    assert torch.equal(one.ws, two.ws)
    assert all(torch.equal(v, before[k]) for k, v in generator.state_dict().items())
    drawn = generator.synthesis(one.ws, noise=one.noise).clamp(0, 1)
    torch.testing.assert_close(drawn, one.images)


def test_noise_stays_white(generator):
    found = invert(generator, away(generator), perceptual=Distance(), config=FAST, progress=False)
    for x in found.noise:
        assert abs(float(x.mean())) < 1e-4
        assert float(x.square().mean()) == pytest.approx(1, abs=1e-3)


def test_coloured_noise_is_told_from_white():
    torch.manual_seed(0)
    white = torch.randn(1, 1, 64, 64)
    coloured = nn.functional.avg_pool2d(torch.randn(1, 1, 66, 66), 3, 1)
    _whiten([white, coloured])
    assert float(_colour_of_noise([coloured])) > 20 * float(_colour_of_noise([white]))


def test_the_learning_rate_rises_and_falls():
    config = InvertConfig(steps=100, learning_rate=0.1)
    rates = [config.rate(step) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] < 0.01
    assert rates[5] < rates[6] or rates[6] == pytest.approx(0.1)
    assert rates[-1] < 0.001
    assert rates[75:] == sorted(rates[75:], reverse=True)


def test_tuning_comes_closer_and_stays_local(generator):
    torch.manual_seed(5)
    photo = (away(generator) + 0.2 * torch.rand(1, 3, 1, 1)).clamp(0, 1)
    found = invert(generator, photo, perceptual=Distance(), config=FAST, progress=False)

    def tuned(locality):
        return tune_generator(
            generator,
            found,
            photo,
            perceptual=Distance(),
            steps=40,
            learning_rate=2e-3,
            locality=locality,
            reach=2.0,
            progress=False,
        )

    local, free = tuned(10.0), tuned(0.0)

    def distance(network):
        return float(Distance()(network.synthesis(found.ws, noise=found.noise), photo))

    assert distance(free) < 0.9 * distance(generator)
    others = sample_latents(generator, range(20, 28))
    moved = [
        float(Distance()(network.synthesis(others), generator.synthesis(others)))
        for network in (local, free)
    ]
    assert moved[0] < moved[1]


def test_a_folder_is_inverted_resumed_and_faceless_photos_are_named(
    tmp_path, generator, astronaut, landmarker
):
    (tmp_path / "photos").mkdir()
    astronaut.save(tmp_path / "photos" / "astronaut.png")
    write_image(tmp_path / "photos" / "wall.png", torch.full((3, 64, 64), 0.5))
    arguments = (generator, tmp_path / "photos", tmp_path / "out", landmarker)
    config = InvertConfig(steps=3)
    written, faceless = invert_folder(*arguments, perceptual=Distance(), config=config)
    assert [path.name for path in written] == ["astronaut.safetensors"]
    assert [path.name for path in faceless] == ["wall.png"]
    kept = load_file(written[0])
    assert kept["ws"].shape == (1, 8, 16)
    assert read_image(tmp_path / "out" / "astronaut.png").shape == (3, 32, 64)
    before = written[0].stat().st_mtime_ns
    again, _ = invert_folder(*arguments, perceptual=Distance(), config=config)
    assert again[0].stat().st_mtime_ns == before


def test_a_folder_without_faces_is_refused(tmp_path, generator, landmarker):
    write_image(tmp_path / "wall.png", torch.full((3, 64, 64), 0.5))
    with pytest.raises(ValueError, match=r"No face was found in 1 photos \(wall.png\)"):
        invert_folder(generator, tmp_path, tmp_path / "out", landmarker)


def test_a_photo_of_another_size_is_refused(generator):
    with pytest.raises(ValueError, match="photos must be 32x32"):
        invert(generator, torch.rand(1, 3, 64, 64))


def test_seeds_grow_between_and_around_the_photos(generator):
    ws = sample_latents(generator, [1, 2, 3])
    between = grow_seeds(generator, ws, 40, spread=0.0)
    assert torch.equal(between[:3], ws)
    # A mean of three latents lies in their triangle: its shares, solved for, are at most 1.
    solved = torch.linalg.lstsq(ws[:, 0].t(), between[3:, 0].t()).solution
    assert float(solved.min()) > -1e-3
    torch.testing.assert_close(solved.sum(dim=0), torch.ones(37), atol=1e-2, rtol=0)
    wide = grow_seeds(generator, ws, 40, spread=1.0)
    assert float((wide - between)[3:].norm(dim=2).mean()) > 0


def test_grown_seeds_stay_where_faces_are(generator):
    average, deviation = _spread(generator)
    far = sample_latents(generator, [1, 2]) * 3
    grown = grow_seeds(generator, far, 60, spread=1.0)[2:]
    own = sample_latents(generator, range(500))
    reach = [((x - average) / deviation).norm(dim=2).max() for x in (grown, own)]
    assert float(reach[0]) <= float(reach[1])


def test_a_grown_latent_does_not_depend_on_the_count(generator):
    ws = sample_latents(generator, [1, 2])
    few, many = grow_seeds(generator, ws, 5), grow_seeds(generator, ws, 9)
    assert torch.equal(few, many[:5])
    with pytest.raises(ValueError, match=r"ws must be \(B, n, w\) with at least one latent"):
        grow_seeds(generator, torch.zeros(0, 8, 16), 5)


def test_an_inversion_is_made_of_what_draws_it(generator):
    found = invert(
        generator, away(generator, (1, 2)), perceptual=Distance(), config=FAST, progress=False
    )
    assert isinstance(found, Inversion)
    assert found.ws.shape == (2, 8, 16)
    assert [x.shape[-1] for x in found.noise] == [4, 8, 8, 16, 16, 32, 32]
