"""The demo's photos: the user's, or a public one."""

from collections.abc import Sequence
from pathlib import Path

from snowai.image import to_tensor, write_image

__all__ = ["choose_photos"]


def choose_photos(photos: Sequence[str | Path], out: Path) -> list[Path]:
    """Return the photos named, or else scikit-image's astronaut (NASA, public domain).

    Raises:
        ImportError: None is named, and scikit-image is missing.
    """
    if photos:
        return [Path(photo) for photo in photos]
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise ImportError(
            "The demo's photo comes with scikit-image: pip install 'snowai[analysis]', "
            "or name a photo of your own."
        ) from error
    write_image(out / "photo.png", to_tensor(astronaut()))
    return [out / "photo.png"]
