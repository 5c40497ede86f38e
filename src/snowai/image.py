"""Read, write and convert images: RGB float tensors in [0, 1] inside, everything else outside."""

import io
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from snowai._checks import check_range
from snowai._files import atomic_path

__all__ = [
    "IMAGE_SUFFIXES",
    "BadImage",
    "Photo",
    "find_images",
    "image_size",
    "read_image",
    "to_array",
    "to_pil",
    "to_tensor",
    "write_image",
]

Photo: TypeAlias = Image.Image | NDArray[np.generic] | Tensor | str | Path
"""Whatever a user calls a photo: PIL image, array (H, W, 3), tensor (3, H, W), or a path."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 64_000_000
"""Larger images are refused before decoding; 8K video frames have 33 million."""


class BadImage(ValueError):  # noqa: N818 - the name of a thing, as in BadZipFile.
    """A file is no image that we read: malformed, animated, too large or too small."""


def read_image(
    source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, min_side: int = 8
) -> Tensor:
    """Read a JPEG, PNG or WebP file as an RGB tensor, turned upright.

    The EXIF orientation is applied. Grey, palette, CMYK and 16-bit images become RGB; transparent
    ones are laid on white. Sizes are checked before any pixel is decoded.

    Args:
        source: Path of the file, or the file's bytes.
        max_pixels: Largest height times width.
        min_side: Smallest height and width, in pixels.

    Returns:
        Tensor (3, H, W), float32 in [0, 1].

    Raises:
        BadImage: The file is malformed, truncated, animated, too large or too small.
        FileNotFoundError: There is no such file.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("L", (32, 16), 255).save(buffer, format="PNG")
        >>> read_image(buffer.getvalue()).shape
        torch.Size([3, 16, 32])
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    with _open(source, name) as image:
        _check_size(image, name, max_pixels, min_side)
        try:
            return to_tensor(image)
        except (OSError, ValueError, SyntaxError, MemoryError) as error:
            raise BadImage(f"{name} is damaged and cannot be decoded: {error}.") from error


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) as :func:`read_image` would give them, reading only the header."""
    with _open(path, str(path)) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def write_image(path: str | Path, image: Tensor, *, quality: int = 95) -> None:
    """Write one image to a PNG, JPEG or WebP file, atomically.

    Args:
        path: The suffix chooses the format.
        image: Tensor (3, H, W) in [0, 1]; values outside are clipped.
        quality: Of JPEG and WebP, 1 to 100.

    Raises:
        ValueError: The suffix is none of ours, or the tensor is no image.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(IMAGE_SUFFIXES)}.")
    picture = to_pil(image)
    with atomic_path(path) as draft:
        picture.save(draft, quality=quality)


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in a folder, sorted by name.

    Raises:
        FileNotFoundError: There is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder} holds no {', '.join(IMAGE_SUFFIXES)} files.")
    return found


def to_tensor(photo: Photo) -> Tensor:
    """Turn any photo into a tensor (3, H, W), float in [0, 1].

    Args:
        photo: PIL image of any mode; array (H, W, 3) or (H, W), bytes or floats in [0, 1]; tensor
            (3, H, W) or (1, 3, H, W), bytes or floats in [0, 1]; or a path.

    Raises:
        BadImage: A path leads to a file that cannot be read as an image.
        ValueError: Wrong shape, type or range.

    Example:
        >>> to_tensor(np.full((4, 4, 3), 255, dtype=np.uint8)).max()
        tensor(1.)
    """
    if isinstance(photo, str | Path):
        return read_image(photo)
    if isinstance(photo, Image.Image):
        return _from_pil(photo)
    if isinstance(photo, np.ndarray):
        array = np.repeat(photo[..., None], 3, axis=2) if photo.ndim == 2 else photo
        if array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"An image array must be (H, W, 3) in RGB; got {photo.shape}.")
        return _to_float(torch.from_numpy(np.array(array)).permute(2, 0, 1))
    if isinstance(photo, Tensor):
        image = photo.squeeze(0) if photo.dim() == 4 else photo
        if image.dim() != 3 or image.shape[0] != 3:
            raise ValueError(f"An image tensor must be (3, H, W); got {tuple(photo.shape)}.")
        return _to_float(image)
    raise ValueError(f"A photo is a path, PIL image, array or tensor; got {type(photo).__name__}.")


def to_array(image: Tensor) -> NDArray[np.uint8]:
    """Turn a tensor (3, H, W) in [0, 1] into bytes (H, W, 3), rounding and clipping.

    Example:
        >>> to_array(torch.full((3, 1, 1), 0.5))[0, 0].tolist()
        [128, 128, 128]
    """
    if image.dim() != 3 or image.shape[0] != 3:
        raise ValueError(f"image must be a tensor (3, H, W); got {tuple(image.shape)}.")
    scaled = image.detach().float().clamp(0, 1).mul(255).round()
    array: NDArray[np.uint8] = scaled.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(array)


def to_pil(image: Tensor) -> Image.Image:
    """Turn a tensor (3, H, W) in [0, 1] into a PIL image."""
    return Image.fromarray(to_array(image))


def _open(source: str | Path | bytes, name: str) -> Image.Image:
    """Open without decoding; every way to fail becomes BadImage."""
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise FileNotFoundError(f"There is no image file {name}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            stream = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
            return Image.open(stream, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"{name} is too large: more than {MAX_PIXELS:,} pixels.") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise BadImage(f"{name} is not a readable JPEG, PNG or WebP image.") from error


def _check_size(image: Image.Image, name: str, max_pixels: int, min_side: int) -> None:
    size = f"{image.width}x{image.height} pixels"
    if image.width * image.height > max_pixels:
        raise BadImage(f"{name} is too large: {size}; at most {max_pixels:,} in all.")
    if min(image.size) < min_side:
        raise BadImage(f"{name} is too small: {size}; each side needs {min_side} or more.")
    # Many phones put a second, smaller picture into their JPEG: Pillow calls that MPO.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise BadImage(f"{name} is animated; give one still frame.")


def _from_pil(image: Image.Image) -> Tensor:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        # Pillow's own conversion clips 16-bit grey at 255, which turns photos white.
        deep = torch.from_numpy(np.asarray(image).astype(np.float32))
        return (deep / 65535).clamp(0, 1).expand(3, -1, -1).contiguous()
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return to_tensor(np.array(image.convert("RGB")))


def _to_float(image: Tensor) -> Tensor:
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    if not image.is_floating_point():
        raise ValueError(f"An image is uint8 or float in [0, 1]; got {image.dtype}.")
    check_range(image, "image")
    return image.float() if image.dtype == torch.float64 else image
