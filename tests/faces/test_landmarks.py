"""Landmarks: schemes, regions, flips; and the two who find them."""

import copy
import pickle  # noqa: TID251 - data loaders pickle what they hand to workers.
import zipfile
from itertools import pairwise

import numpy as np
import pytest
import torch

import snowai
from snowai.faces import (
    FaceAlignmentLandmarker,
    Landmarker,
    Landmarks,
    MediaPipeLandmarker,
    find_mediapipe_model,
    flip_points,
    transform_points,
)
from snowai.faces.schemes import SCHEMES
from snowai.image import to_tensor


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mirror_is_an_involution_that_swaps_sides(scheme):
    table = SCHEMES[scheme]
    mirror = torch.tensor(table.mirror)
    assert torch.equal(mirror[mirror], torch.arange(table.size))
    for name, indices in table.regions.items():
        other = name.replace("left", "right") if "left" in name else name.replace("right", "left")
        assert {table.mirror[i] for i in indices} == set(table.regions[other]), name


def test_mediapipes_mirror_is_its_canonical_meshs():
    archive = zipfile.ZipFile(find_mediapipe_model())
    data = archive.read("geometry_pipeline_metadata_landmarks.binarypb")
    # 468 vertices of (x, y, z, u, v), each float behind a one-byte tag.
    raw = np.frombuffer(data[8 : 8 + 468 * 25], dtype=np.uint8).reshape(-1, 5)
    vertices = raw[:, 1:].copy().view("<f4").reshape(468, 5)[:, :3]
    mirror = list(SCHEMES["mediapipe478"].mirror[:468])
    np.testing.assert_allclose(vertices[mirror] * [-1, 1, 1], vertices, atol=1e-6)


def test_mediapipes_regions_are_its_own_connections():
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as Connections

    regions = SCHEMES["mediapipe478"].regions
    for region, theirs in [
        ("left_eye", Connections.FACE_LANDMARKS_LEFT_EYE),
        ("right_eye", Connections.FACE_LANDMARKS_RIGHT_EYE),
        ("left_brow", Connections.FACE_LANDMARKS_LEFT_EYEBROW),
        ("right_brow", Connections.FACE_LANDMARKS_RIGHT_EYEBROW),
        ("face_oval", Connections.FACE_LANDMARKS_FACE_OVAL),
    ]:
        assert set(regions[region]) == {i for c in theirs for i in (c.start, c.end)}, region
    lips = {i for c in Connections.FACE_LANDMARKS_LIPS for i in (c.start, c.end)}
    assert set(regions["mouth"]) | set(regions["inner_mouth"]) == lips


@pytest.mark.parametrize("region", ["left_eye", "right_eye", "mouth", "inner_mouth", "face_oval"])
def test_mediapipes_contours_are_in_drawing_order(region):
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as Connections

    edges = {
        frozenset((c.start, c.end))
        for c in (
            *Connections.FACE_LANDMARKS_CONTOURS,
            *Connections.FACE_LANDMARKS_FACE_OVAL,
        )
    }
    indices = SCHEMES["mediapipe478"].regions[region]
    assert {frozenset(edge) for edge in pairwise(indices)} <= edges


def test_left_is_the_persons_left(face):
    assert face.region("left_eye")[:, 0].mean() > face.region("right_eye")[:, 0].mean()
    assert face.region("mouth")[:, 1].mean() > face.region("left_eye")[:, 1].mean()


def test_the_flipped_photos_landmarks_are_the_flipped_landmarks(face, astronaut, landmarker):
    mirrored = landmarker.detect(to_tensor(astronaut).flip(-1))[0]
    distance = (mirrored.points - face.flip(astronaut.width).points).norm(dim=1)
    eyes = (face.region("left_eye").mean(0) - face.region("right_eye").mean(0)).norm()
    assert distance.median() < 0.05 * eyes
    # Without the swap each eye would be a whole eye distance away.
    unswapped = face.points.clone()
    unswapped[:, 0] = astronaut.width - unswapped[:, 0]
    assert (mirrored.points - unswapped)[list(SCHEMES["mediapipe478"].regions["left_eye"])].norm(
        dim=1
    ).min() > 0.5 * eyes


def test_flip_swaps_blendshapes():
    face = Landmarks(torch.rand(68, 2), "ibug68", {"eyeBlinkLeft": 0.9, "jawOpen": 0.1})
    assert face.flip(1).blendshapes == {"eyeBlinkRight": 0.9, "jawOpen": 0.1}


def test_the_astronaut_smiles_with_open_eyes(face):
    assert face.blendshapes["mouthSmileLeft"] > 0.5
    assert face.blendshapes["eyeBlinkLeft"] < 0.5


def test_irises_lie_in_their_eyes(face):
    for side in ("left", "right"):
        eye, iris = face.region(f"{side}_eye"), face.region(f"{side}_iris")[0]
        assert (eye.amin(0) < iris).all()
        assert (iris < eye.amax(0)).all()


def test_transform_agrees_with_points(face):
    matrix = torch.tensor([[0.0, -2.0, 5.0], [2.0, 0.0, 1.0]])
    moved = face.transform(matrix)
    torch.testing.assert_close(moved.points, transform_points(face.points[None], matrix[None])[0])
    x, y = face.points[7]
    torch.testing.assert_close(moved.points[7], torch.stack([-2 * y + 5, 2 * x + 1]))


def test_several_faces_come_largest_first(astronaut, landmarker):
    head = astronaut.crop((100, 0, 356, 256))
    canvas = torch.ones(3, 512, 1000)
    canvas[:, :350, :350] = to_tensor(head.resize((350, 350)))
    canvas[:, 60:460, 500:900] = to_tensor(head.resize((400, 400))).flip(-1)
    faces = landmarker.detect(canvas)
    assert len(faces) == 2
    assert faces[0].box()[0] > 500 > faces[1].box()[0]


def test_no_face_is_an_empty_list(landmarker):
    assert landmarker.detect(torch.zeros(3, 128, 128)) == []


def test_landmarkers_are_shared_by_copies_and_made_anew_by_workers(landmarker, astronaut):
    assert copy.deepcopy(landmarker) is landmarker
    again = pickle.loads(pickle.dumps(landmarker))
    torch.testing.assert_close(
        again.detect(to_tensor(astronaut))[0].points,
        landmarker.detect(to_tensor(astronaut))[0].points,
    )


def test_both_landmarkers_keep_the_protocol(landmarker):
    assert isinstance(landmarker, Landmarker)
    assert hasattr(FaceAlignmentLandmarker, "detect")


def test_unknown_regions_list_the_known():
    with pytest.raises(ValueError, match=r"no 'left_iris'; they have left_eye, right_eye"):
        Landmarks(torch.rand(68, 2), "ibug68").region("left_iris")


def test_wrong_points_are_refused():
    with pytest.raises(ValueError, match=r"must have shape \(68, 2\)"):
        Landmarks(torch.rand(478, 2), "ibug68")
    with pytest.raises(ValueError, match="scheme must be one of ibug68, mediapipe478"):
        flip_points(torch.rand(1, 68, 2), 1, scheme="dlib68")


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no MediaPipe model"):
        MediaPipeLandmarker(tmp_path / "gone.task")


def test_the_model_is_downloaded_and_verified(tmp_path, monkeypatch):
    from pathlib import Path

    import snowai.faces.landmarkers as module

    real = find_mediapipe_model()
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetched = []

    def fetch(url, path):
        fetched.append(url)
        Path(path).write_bytes(real.read_bytes())

    monkeypatch.setattr(module.urllib.request, "urlretrieve", fetch)
    path = find_mediapipe_model()
    assert path == tmp_path / "snowai" / "face_landmarker.task"
    assert find_mediapipe_model() == path
    assert len(fetched) == 1


def test_a_wrong_download_is_refused_and_not_kept(tmp_path, monkeypatch):
    from pathlib import Path

    import snowai.faces.landmarkers as module

    monkeypatch.setattr(module, "find_spec", lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        module.urllib.request, "urlretrieve", lambda _, path: Path(path).write_bytes(b"evil")
    )
    with pytest.raises(FileNotFoundError, match=r"SHA-256.*snowai\[landmarks\]"):
        find_mediapipe_model()
    assert not list((tmp_path / "snowai").iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_face_alignment_reads_its_weights_by_path(tmp_path, astronaut):
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "fan.pth")
    found = FaceAlignmentLandmarker(tmp_path / "fan.pth", detector="folder").detect(
        to_tensor(astronaut), boxes=[(180, 70, 270, 180), (0, 0, 400, 400)]
    )
    # Random weights find no eyes, but a point for each of the 68 in each box, largest first.
    assert [face.scheme for face in found] == ["ibug68"] * 2
    widths = [right - left for left, _, right, _ in (face.box() for face in found)]
    assert widths == sorted(widths, reverse=True)


def test_face_alignment_without_weights_says_what_to_do(tmp_path, monkeypatch):
    import face_alignment

    with pytest.raises(FileNotFoundError, match="no face-alignment weights"):
        FaceAlignmentLandmarker(tmp_path / "gone.pth")

    def offline(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(face_alignment, "FaceAlignment", offline)
    with pytest.raises(FileNotFoundError, match="pass weights=PATH"):
        FaceAlignmentLandmarker()


def test_mediapipe_missing_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    with pytest.raises(ImportError, match=r"pip install 'snowai\[landmarks\]'"):
        snowai.MediaPipeLandmarker()
