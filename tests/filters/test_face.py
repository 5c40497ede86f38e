"""FaceFilter: photo in, photo out."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import snowai
from snowai import checkpoint
from snowai.checkpoint import keeps_config
from snowai.filters import FaceFilter, FilterResult
from snowai.image import to_pil, to_tensor


@keeps_config
class Invert(nn.Module):
    """A network whose work is easy to see, and that keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, image, eye_mask):
        self.seen.append((image, eye_mask))
        return 1 - image * self.scale


@pytest.fixture
def inverter(landmarker):
    face_filter = FaceFilter(Invert(), size=128)
    face_filter.landmarker = landmarker
    return face_filter


def difference(photo, result):
    return (to_tensor(result.image).float() - to_tensor(photo).float()).abs().amax(dim=0)


def test_the_face_changes_and_the_far_corner_does_not(inverter, astronaut, face):
    result = inverter(astronaut)
    change = difference(astronaut, result)
    x, y = face.points.mean(dim=0).long().tolist()
    assert change[y, x] > 0.2
    assert change[400:, 400:].max() == 0
    assert isinstance(result.image, Image.Image)
    assert result.found
    assert result.faces[0].scheme == "mediapipe478"


def test_the_network_sees_an_upright_crop_with_its_eyes(inverter, astronaut):
    inverter(astronaut)
    image, mask = inverter.network.seen[0]
    assert image.shape == (1, 3, 128, 128)
    middle = mask[0, 0].nonzero().float().mean(dim=0) / 128
    assert middle[0].item() == pytest.approx(0.475, abs=0.03)
    assert middle[1].item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (lambda photo, _: photo, Image.Image),
        (lambda photo, _: np.asarray(photo), np.ndarray),
        (lambda photo, _: np.asarray(photo).astype(np.float32) / 255, np.ndarray),
        (lambda photo, _: to_tensor(photo), torch.Tensor),
        (lambda photo, _: (to_tensor(photo) * 255).to(torch.uint8), torch.Tensor),
        (lambda photo, folder: (photo.save(folder / "a.png"), folder / "a.png")[1], Image.Image),
        (
            lambda photo, folder: (photo.save(folder / "a.png"), str(folder / "a.png"))[1],
            Image.Image,
        ),
    ],
    ids=["pil", "bytes-array", "float-array", "tensor", "byte-tensor", "path", "string"],
)
def test_every_kind_of_photo_gives_the_same_and_comes_back_as_it_was(
    inverter, astronaut, tmp_path, convert, kind
):
    photo = convert(astronaut, tmp_path)
    result = inverter(photo).image
    assert isinstance(result, kind)
    if kind is not Image.Image:
        assert result.dtype == photo.dtype
        assert result.shape == photo.shape
    reference = to_tensor(inverter(astronaut).image)
    torch.testing.assert_close(to_tensor(result).float(), reference, atol=1 / 255 + 1e-6, rtol=0)


def test_inputs_are_left_alone(inverter, astronaut):
    array = np.array(astronaut)
    before = array.copy()
    inverter(array)
    np.testing.assert_array_equal(array, before)


def test_no_face_gives_the_photo_back_and_says_so(inverter):
    photo = Image.new("RGB", (200, 100), (10, 200, 30))
    result = inverter(photo)
    assert not result.found
    np.testing.assert_array_equal(np.asarray(result.image), np.asarray(photo))
    with pytest.raises(ValueError, match="No face was found"):
        inverter(photo, on_missing="error")


def test_every_face_is_filtered(inverter, astronaut):
    head = astronaut.crop((100, 0, 356, 256))
    canvas = torch.ones(3, 512, 1000)
    canvas[:, :350, :350] = to_tensor(head.resize((350, 350)))
    canvas[:, 60:460, 500:900] = to_tensor(head.resize((400, 400)))
    result = inverter(canvas)
    assert len(result.faces) == 2
    change = (result.image - canvas).abs().amax(dim=0)
    for found in result.faces:
        x, y = found.points.mean(dim=0).long().tolist()
        assert change[y, x] > 0.2
    assert len(inverter.network.seen) == 1  # One run for both.


def test_batches_of_photos(inverter, astronaut):
    empty = Image.new("RGB", (64, 64))
    results = inverter([astronaut, empty, astronaut])
    assert [result.found for result in results] == [True, False, True]
    tensors = inverter(torch.stack([to_tensor(astronaut)] * 2))
    assert [type(result) for result in tensors] == [FilterResult] * 2
    np.testing.assert_array_equal(np.asarray(results[0].image), np.asarray(results[2].image))


def test_strength_goes_from_the_photo_to_the_filter(inverter, astronaut):
    photo = to_tensor(astronaut)
    none, half, full = (inverter(photo, strength=s).image for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, photo)
    torch.testing.assert_close(half, (photo + full) / 2, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"strength must be in \[0, 1\]"):
        inverter(photo, strength=1.5)


def test_dtype_is_the_networks_and_the_photos_stays(inverter, astronaut):
    inverter.to(torch.bfloat16)
    photo = to_tensor(astronaut)
    assert inverter(photo).image.dtype == torch.float32
    assert inverter.network.seen[0][0].dtype == torch.bfloat16


def test_one_file_holds_network_and_geometry(tmp_path, landmarker, astronaut):
    torch.manual_seed(0)
    network = snowai.EyeMaskInput(snowai.create_model("se_unet_tiny", output="rgb"))
    face_filter = FaceFilter(network, size=64, zoom=1.2, feather=0.2)
    checkpoint.save(face_filter, tmp_path / "f.safetensors")
    loaded = FaceFilter.from_pretrained(tmp_path / "f.safetensors")
    assert (loaded.size, loaded.zoom, loaded.feather) == (64, 1.2, 0.2)
    face_filter.landmarker = loaded.landmarker = landmarker
    np.testing.assert_array_equal(
        np.asarray(loaded(astronaut).image), np.asarray(face_filter(astronaut).image)
    )


def test_other_checkpoints_are_refused(tmp_path):
    checkpoint.save(snowai.create_model("se_unet_tiny"), tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="holds a SEUNet, not a FaceFilter; wrap it"):
        FaceFilter.from_pretrained(tmp_path / "n.safetensors")


def test_filters_are_copied_with_their_landmarker(inverter):
    assert copy.deepcopy(inverter).landmarker is inverter.landmarker


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"size": 100}, "size must be a multiple of 32"), ({"size": 64, "feather": 0.0}, "feather")],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        FaceFilter(Invert(), **arguments)


def test_wrong_photos_are_refused(inverter):
    with pytest.raises(ValueError, match="must be in"):
        inverter(torch.rand(3, 64, 64) * 2 - 1)
    with pytest.raises(ValueError, match="on_missing must be one of"):
        inverter(torch.rand(3, 64, 64), on_missing="ignore")


def test_the_shipped_filter_is_a_toon_and_not_a_copy(astronaut, landmarker):
    toon = FaceFilter.from_pretrained("toon")
    toon.landmarker = landmarker
    result = toon(astronaut)
    crop = toon.cut(astronaut)
    drawn = toon.draw(crop.images, crop.eye_masks)
    assert 0.03 < (drawn - crop.images).abs().mean() < 0.2
    # Flat colours: less texture than the photo, and the face is still where it was.
    flatness = [
        i.diff(dim=-1).abs().median()
        for i in (drawn[..., 150:200, 90:160], crop.images[..., 150:200, 90:160])
    ]
    assert flatness[0] < flatness[1]
    again = landmarker.detect(to_tensor(result.image))
    eyes = (result.faces[0].points[473] - result.faces[0].points[468]).norm()
    assert (again[0].points - result.faces[0].points).norm(dim=1).median() < 0.1 * eyes


def test_the_toon_survives_a_photo_without_its_mask(astronaut, landmarker):
    toon = FaceFilter.from_pretrained("toon")
    toon.landmarker = landmarker
    crop = toon.cut(astronaut)
    blind = toon.draw(crop.images, torch.zeros_like(crop.eye_masks))
    assert (blind - crop.images).abs().mean() < 0.2
    assert to_pil(blind[0]).size == (256, 256)
