"""Reading what people really send."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from snowai.image import (
    BadImage,
    find_images,
    image_size,
    read_image,
    to_array,
    to_pil,
    to_tensor,
    write_image,
)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photo(noise_array):
    return Image.fromarray(noise_array)


def test_png_round_trip_is_exact(tmp_path, noise_array):
    write_image(tmp_path / "a.png", to_tensor(noise_array))
    np.testing.assert_array_equal(to_array(read_image(tmp_path / "a.png")), noise_array)


def test_red_stays_red(tmp_path):
    # BGR for RGB is the field's oldest trap.
    red = torch.zeros(3, 16, 16)
    red[0] = 1
    write_image(tmp_path / "red.png", red)
    assert Image.open(tmp_path / "red.png").getpixel((0, 0)) == (255, 0, 0)
    torch.testing.assert_close(read_image(tmp_path / "red.png"), red)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_format_is_read(kind, photo):
    assert read_image(encode(photo, kind)).shape == (3, 48, 32)


def test_exif_orientation_is_applied(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(encode(photo, "JPEG", exif=exif.tobytes()))
    assert read_image(tmp_path / "turned.jpg").shape == (3, 32, 48)
    assert image_size(tmp_path / "turned.jpg") == (32, 48)


def test_grey_becomes_rgb(photo):
    image = read_image(encode(photo.convert("L")))
    assert image.shape[0] == 3
    assert torch.equal(image[0], image[2])


def test_sixteen_bit_grey_keeps_its_brightness():
    deep = Image.fromarray(np.full((16, 16), 32768, dtype=np.uint16))
    assert read_image(encode(deep)).mean().item() == pytest.approx(0.5, abs=1e-3)


def test_cmyk_becomes_rgb():
    image = read_image(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert image[0].mean() > 0.9
    assert image[1:].mean() < 0.2


def test_transparent_pixels_are_white():
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert read_image(encode(clear)).min() == 1


def test_palette_with_transparency_becomes_rgb(photo):
    assert read_image(encode(photo.quantize(8))).shape == (3, 48, 32)


def huge_png(width: int, height: int) -> bytes:
    """A header that promises much, and nothing behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda photo: b"hello, this is text", "not a readable"),
        (lambda photo: b"", "not a readable"),
        (lambda photo: encode(photo, "JPEG")[:700], "damaged"),
        (lambda photo: encode(photo)[:-300], "damaged"),
        (lambda photo: encode(Image.new("RGB", (1, 1))), "too small: 1x1"),
        (lambda photo: huge_png(20000, 20000), "too large"),
        (lambda photo: huge_png(9000, 9000), "too large"),
        (
            lambda photo: encode(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]),
            "animated",
        ),
        (lambda photo: encode(photo, "BMP"), "not a readable"),
    ],
    ids=["text", "empty", "cut-jpeg", "cut-png", "1x1", "20000", "9000", "animated", "bmp"],
)
def test_bad_files_give_one_error_that_names_them(tmp_path, photo, make, sentence):
    path = tmp_path / "bad.jpg"
    path.write_bytes(make(photo))
    with pytest.raises(BadImage, match=sentence) as caught:
        read_image(path)
    assert "bad.jpg" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(data):
    good = encode(Image.radial_gradient("L").resize((24, 24)).convert("RGB"), "JPEG")
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
    with contextlib.suppress(BadImage):
        assert read_image(broken).shape[0] == 3


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image file .*gone\.png"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (torch.rand(3, 8, 8) * 2 - 1, r"must be in \[0, 1\]"),
        (torch.rand(3, 8, 8) * 255, "Divide bytes by 255"),
        (torch.full((3, 8, 8), torch.nan), r"must be in \[0, 1\]"),
        (torch.zeros(3, 8, 8, dtype=torch.int32), "uint8 or float"),
        (torch.rand(4, 8, 8), r"\(3, H, W\)"),
        (np.zeros((8, 8, 4), np.uint8), r"\(H, W, 3\)"),
        (7, "path, PIL image, array or tensor"),
    ],
)
def test_wrong_photos_are_refused(image, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_tensor(image)


def test_conversions_agree(noise_array):
    tensor = to_tensor(noise_array)
    torch.testing.assert_close(to_tensor(Image.fromarray(noise_array)), tensor)
    torch.testing.assert_close(to_tensor(noise_array.astype(np.float32) / 255), tensor)
    torch.testing.assert_close(to_tensor(to_pil(tensor)), tensor)
    torch.testing.assert_close(to_tensor(tensor[None]), tensor)


def test_unknown_suffix_is_refused_before_writing(tmp_path):
    with pytest.raises(ValueError, match="must end in"):
        write_image(tmp_path / "a.gif", torch.rand(3, 8, 8))
    assert not list(tmp_path.iterdir())


def test_find_images_is_sorted_and_says_when_there_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no"):
        find_images(tmp_path)
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.JPG", "b.png"]
