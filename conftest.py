"""What tests, doctests and the code in README and docs may use."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import snowai

torch.set_num_threads(1)  # pytest-xdist keeps every core busy; more threads only wait.

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    fixtures=["astronaut", "in_a_folder"],
    setup=lambda namespace: namespace.update(snowai=snowai, torch=torch),
).pytest()


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """A real photo with one face, in the public domain."""
    from skimage.data import astronaut as photo

    return Image.fromarray(photo())


@pytest.fixture(scope="session")
def landmarker() -> "snowai.MediaPipeLandmarker":
    """One detector for all tests."""
    return snowai.MediaPipeLandmarker()


@pytest.fixture(scope="session")
def face(astronaut: Image.Image, landmarker: "snowai.MediaPipeLandmarker") -> "snowai.Landmarks":
    """The astronaut's landmarks."""
    return landmarker.detect(snowai.image.to_tensor(astronaut))[0]


@pytest.fixture(scope="session")
def crop(
    astronaut: Image.Image, face: "snowai.Landmarks"
) -> tuple[torch.Tensor, "snowai.Landmarks"]:
    """The astronaut's aligned face, (1, 3, 256, 256), and where it is in there."""
    matrix = snowai.faces.alignment_matrix(face, 256)
    photo = snowai.image.to_tensor(astronaut)[None]
    return snowai.faces.align(photo, matrix[None], 256), face.transform(matrix)


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory, astronaut: Image.Image) -> Path:
    """A pair set of 8 random turns of one face."""
    from snowai.image import to_tensor, write_image
    from snowai.pairs import draw_pairs

    folder = tmp_path_factory.mktemp("pairs")
    write_image(folder / "astronaut.png", to_tensor(astronaut))
    root = folder / "set"
    draw_pairs(
        [folder / "astronaut.png"], root, snowai.MediaPipeLandmarker(), size=64, views=8, seed=1
    )
    return root


@pytest.fixture
def in_a_folder(
    tmp_path: Path,
    tiny_pairs: Path,
    astronaut: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Run in an empty folder with photo.jpg and pairs/, as README's examples expect."""
    monkeypatch.chdir(tmp_path)
    astronaut.save("photo.jpg", quality=95)
    (tmp_path / "pairs").symlink_to(tiny_pairs)
    return tmp_path


@pytest.fixture(autouse=True)
def _names_in_doctests(
    doctest_namespace: dict[str, object], request: pytest.FixtureRequest
) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace.update(snowai=snowai, torch=torch)
        source = request.node.dtest.docstring if request.node.dtest else ""
        for name in ("astronaut", "tiny_pairs"):
            if name in source:
                doctest_namespace[name] = request.getfixturevalue(name)


@pytest.fixture
def noise_array() -> NDArray[np.uint8]:
    """A random picture."""
    return np.random.default_rng(0).integers(0, 256, (48, 32, 3), dtype=np.uint8)
