"""PhotoFilter and the tiles under it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import snowai
from snowai import checkpoint
from snowai.faces import eye_mask
from snowai.filters import FaceFilter, PhotoFilter, run_tiled
from snowai.filters.photo import photo_eye_mask
from snowai.image import to_pil, to_tensor
from snowai.models import EditNet, EyeMaskInput


def blur(image):
    """A function that sees 3 pixels far, and zeros beyond the border."""
    kernel = torch.ones(image.shape[1], 1, 7, 7, dtype=image.dtype) / 49
    return F.conv2d(image, kernel, padding=3, groups=image.shape[1])


@pytest.mark.parametrize("size", [(50, 60), (64, 200), (201, 33), (17, 300)])
@pytest.mark.parametrize(("margin", "blend", "multiple"), [(7, 4, 1), (8, 0, 4), (12, 8, 8)])
def test_tiles_join_to_the_whole(size, margin, blend, multiple):
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    joined = run_tiled(blur, image, margin=margin, tile=48, blend=blend, multiple=multiple)
    torch.testing.assert_close(joined, blur(image), rtol=0, atol=1e-12)


def test_too_small_a_margin_shows_seams_and_the_fade_makes_them_small():
    def uneven(part):
        return part + torch.rand((), generator=chance)  # Each tile has its own brightness.

    image = torch.zeros(1, 1, 40, 400)
    steps = []
    for blend in (0, 8):
        chance = torch.Generator().manual_seed(0)
        joined = run_tiled(uneven, image, margin=8, tile=48, blend=blend)
        steps.append(joined.diff(dim=-1).abs().max().item())
    assert steps[1] < steps[0] / 8


def test_tiles_begin_where_the_strides_want_it():
    begins = []

    def spy(part):
        begins.append(part[0, 0, 0, 0].item())
        assert max(part.shape[-2:]) <= 64
        return part

    columns = torch.arange(300.0).expand(1, 1, 20, 300)
    joined = run_tiled(spy, columns, margin=13, tile=64, blend=4, multiple=8)
    assert len(begins) > 3
    assert all(begin % 8 == 0 for begin in begins)
    torch.testing.assert_close(joined, columns)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"margin": 30, "tile": 64}, "tile must be at least 92 pixels"),
        ({"margin": 4, "tile": 64, "blend": 8}, "blend must be at most the margin, 4"),
    ],
)
def test_tiles_that_cannot_work_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        run_tiled(blur, torch.rand(1, 3, 100, 100), **arguments)


def lively(in_channels=4, **changes):
    torch.manual_seed(0)
    network = EditNet(in_channels, **({"widths": (8, 8), "blocks": 2} | changes))
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.05)
    return network


@pytest.fixture
def photo_filter(landmarker):
    made = PhotoFilter(lively(), tile=128)
    made.landmarker = landmarker
    return made


def test_a_tiled_photo_equals_the_untiled_one(photo_filter, astronaut):
    whole = PhotoFilter(photo_filter.network, tile=1024)
    image = to_tensor(astronaut)[:, :300, :400]
    calls = []
    photo_filter.network.register_forward_hook(lambda *_: calls.append(1))
    tiled = photo_filter.draw(image)
    assert len(calls) > 5
    untiled = whole.draw(image)
    assert (untiled - image).abs().mean() > 0.01
    torch.testing.assert_close(tiled, untiled, rtol=0, atol=1e-5)


def test_without_the_shared_context_tiles_would_disagree(photo_filter, astronaut):
    image = to_tensor(astronaut)[:, :300, :400]
    network = photo_filter.network
    own = run_tiled(
        network,
        torch.cat([image[None], torch.zeros(1, 1, 300, 400)], dim=1),
        margin=photo_filter.margin,
        tile=128,
        multiple=network.multiple,
    )
    assert (own[0].clamp(0, 1) - photo_filter.draw(image)).abs().max() > 1e-3


def test_the_photo_comes_back_as_it_was_given(photo_filter, astronaut):
    for photo in (astronaut, np.asarray(astronaut), to_tensor(astronaut)):
        result = photo_filter(photo)
        assert type(result.image) is type(photo)
        assert len(result.faces) == 1
    assert len(photo_filter([astronaut, astronaut])) == 2


def test_strength_goes_from_the_photo_to_the_filter(photo_filter, astronaut):
    photo = to_tensor(astronaut)
    none, half, whole = (photo_filter(photo, strength=s).image for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, photo)
    torch.testing.assert_close(half, (photo + whole) / 2)
    with pytest.raises(ValueError, match="strength must be in"):
        photo_filter(photo, strength=2.0)


def test_large_photos_are_drawn_at_the_filters_own_size(photo_filter, astronaut, face):
    small = PhotoFilter(photo_filter.network, tile=1024, side=256)
    small.landmarker = photo_filter.landmarker
    seen = []
    small.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-2:]))
    wide = astronaut.crop((0, 0, 512, 384))
    result = small(wide)
    assert seen == [(256, 341)]
    assert result.image.size == wide.size
    torch.testing.assert_close(result.faces[0].points, face.points, rtol=0, atol=4)
    tiny = astronaut.resize((100, 100))
    plain = PhotoFilter(photo_filter.network, tile=1024)
    plain.landmarker = photo_filter.landmarker
    torch.testing.assert_close(to_tensor(small(tiny).image), to_tensor(plain(tiny).image))


def test_faces_are_left_to_the_face_filter(photo_filter, astronaut, face):
    class Red(nn.Module):
        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.ones(()))

        def forward(self, image, _mask):
            return torch.stack([image[:, 0] * 0 + self.level, *image[:, 1:].mul(0).unbind(1)], 1)

    faces = FaceFilter(Red(), size=64)
    faces.landmarker = photo_filter.landmarker
    both = PhotoFilter(photo_filter.network, faces=faces, tile=128)
    both.landmarker = photo_filter.landmarker
    image, alone = to_tensor(both(astronaut).image), to_tensor(photo_filter(astronaut).image)
    x, y = face.points.mean(dim=0).long().tolist()
    assert image[:, y, x].tolist() == [1, 0, 0]
    torch.testing.assert_close(image[:, 400:], alone[:, 400:])


def test_the_mask_of_a_photo_is_that_of_its_faces(face):
    size = (512, 512)
    mask = photo_eye_mask([face], size)
    plain = eye_mask(face.points[None], size, scheme=face.scheme, softness=0.0025)
    assert (mask - plain).abs().mean() < 1e-3
    assert (mask > 0.5).sum().item() == pytest.approx((plain > 0.5).sum().item(), rel=0.05)
    two = photo_eye_mask([face, face.transform(torch.tensor([[1.0, 0, -120], [0, 1.0, 60]]))], size)
    assert two.sum().item() == pytest.approx(2 * mask.sum().item(), rel=0.02)


def test_eyes_beyond_the_border_are_cut(face):
    left = face.points[:, 0].mean().item()
    moved = face.transform(torch.tensor([[1.0, 0, -left], [0, 1.0, 0]]))
    mask = photo_eye_mask([moved], (200, 200))
    assert 0 < mask.sum() < photo_eye_mask([face], (512, 512)).sum()
    gone = face.transform(torch.tensor([[1.0, 0, 2000], [0, 1.0, 0]]))
    assert photo_eye_mask([gone], (200, 200)).sum() == 0


def test_a_filter_is_one_file(photo_filter, astronaut, tmp_path):
    faces = FaceFilter(EyeMaskInput(snowai.create_model("se_unet_tiny")), size=128)
    both = PhotoFilter(photo_filter.network, faces=faces, tile=256)
    checkpoint.save(both, tmp_path / "both.safetensors")
    loaded = PhotoFilter.from_pretrained(tmp_path / "both.safetensors")
    assert loaded.tile == 256
    assert loaded.faces.size == 128
    image = to_tensor(astronaut)
    torch.testing.assert_close(loaded(image).image, both(image).image)


def test_a_network_without_a_face_finder_needs_none(tmp_path):
    rgb = PhotoFilter(lively(3), tile=128)
    assert rgb(to_pil(torch.rand(3, 40, 50))).image.size == (50, 40)
    assert rgb.landmarker is None


def test_networks_and_tiles_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a network with context"):
        PhotoFilter(snowai.create_model("se_unet_tiny"))
    with pytest.raises(ValueError, match="tile must be at least"):
        PhotoFilter(snowai.create_model("edit_large"), tile=256)
    assert PhotoFilter(EyeMaskInput(lively())).network.in_channels == 4
    checkpoint.save(snowai.create_model("se_unet_tiny"), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="not a PhotoFilter"):
        PhotoFilter.from_pretrained(tmp_path / "net.safetensors")


def test_the_shipped_filters_draw_faces_and_only_one_of_them_the_rest(astronaut, face):
    photo = to_tensor(astronaut)
    toon, whole = (
        to_tensor(kind.from_pretrained(name)(astronaut).image)
        for kind, name in ((FaceFilter, "toon"), (PhotoFilter, "toon-photo"))
    )
    x, y = face.points.mean(dim=0).long().tolist()
    skin, suit, wall = (
        (slice(None), slice(top, top + 40), slice(left, left + 40))
        for top, left in ((y - 20, x - 20), (300, 120), (60, 100))
    )
    for drawn in (toon, whole):
        assert (drawn[skin] - photo[skin]).abs().mean() > 0.04
    assert torch.equal(toon[suit], photo[suit])
    assert (whole[suit] - photo[suit]).abs().mean() > 0.03
    # Inside the crop, beside the head: no bright square.
    assert (toon[wall] - photo[wall]).mean().abs() < 0.02
