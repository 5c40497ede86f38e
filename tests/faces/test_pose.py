"""Head pose: a turned model gives its angles back, a mirrored photo the mirrored ones."""

import math
import zipfile

import numpy as np
import pytest
import torch

from snowai.faces import find_mediapipe_model, head_pose
from snowai.faces.pose import _LEVEL, _MEAN_FACE
from snowai.faces.schemes import SCHEMES
from snowai.image import to_tensor


def turned(yaw, pitch, roll, scheme):
    """Project the mean face, turned: first rolled, then nodded, then turned to its left."""
    y, p, r = (math.radians(angle) for angle in (yaw, pitch + _LEVEL, roll))
    to_left = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    up = [[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]]
    lean = [[math.cos(r), math.sin(r), 0], [-math.sin(r), math.cos(r), 0], [0, 0, 1]]
    rotation = torch.tensor(to_left) @ torch.tensor(up) @ torch.tensor(lean)
    places = torch.tensor(_MEAN_FACE) @ rotation.T
    points = torch.zeros(1, SCHEMES[scheme].size, 2)
    points[0, list(SCHEMES[scheme].regions["rigid"])] = places[:, :2] * torch.tensor([7.0, -7.0])
    return points + 100


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 15), (-25, -15, 10)])
def test_a_turned_model_gives_its_angles_back(scheme, angles):
    pose = head_pose(turned(*angles, scheme), scheme=scheme)
    torch.testing.assert_close(pose[0], torch.tensor(angles).float(), atol=1e-3, rtol=0)


def test_the_mean_face_is_mediapipes():
    data = zipfile.ZipFile(find_mediapipe_model()).read(
        "geometry_pipeline_metadata_landmarks.binarypb"
    )
    raw = np.frombuffer(data[8 : 8 + 468 * 25], dtype=np.uint8).reshape(-1, 5)
    vertices = raw[:, 1:].copy().view("<f4").reshape(468, 5)[:, :3]
    rigid = list(SCHEMES["mediapipe478"].regions["rigid"])
    np.testing.assert_allclose(vertices[rigid], _MEAN_FACE, atol=1e-3)


def test_a_mirrored_photo_is_turned_to_the_other_side(astronaut, landmarker):
    photo = to_tensor(astronaut)
    poses = []
    for image in (photo, photo.flip(-1)):
        found = landmarker.detect(image)[0]
        poses.append(head_pose(found.points[None], scheme=found.scheme)[0])
    mirrored = poses[1] * torch.tensor([-1.0, 1.0, -1.0])
    torch.testing.assert_close(poses[0], mirrored, atol=1.5, rtol=0)


def test_a_missing_face_has_no_pose_and_spoils_no_other():
    points = turned(10, 0, 0, "ibug68")
    both = torch.cat([points, torch.full_like(points, torch.nan)])
    pose = head_pose(both, scheme="ibug68")
    assert pose[0, 0].item() == pytest.approx(10, abs=1e-3)
    assert pose[1].isnan().all()
