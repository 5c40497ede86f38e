"""Latents: seeds are addresses, directions mean what was scored, edits stay in their layers."""

import pytest
import torch
from foreign import networks

from snowai.faces import Landmarks
from snowai.image import to_tensor
from snowai.styles import (
    edit_latents,
    find_directions,
    fit_direction,
    mix_styles,
    sample_latents,
    score_faces,
)


def test_a_seed_is_an_address():
    generator, _ = networks(16)
    alone, among = sample_latents(generator, [5]), sample_latents(generator, [9, 5, 1])
    torch.testing.assert_close(alone[0], among[1])
    assert not torch.allclose(among[0], among[1])


def test_sefa_finds_the_direction_that_moves_styles_most():
    generator, _ = networks(32)
    with torch.no_grad():
        for layer in generator.synthesis.layers:
            layer.affine.weight.normal_(std=0.1)
            layer.affine.weight[:, 3] += 5  # The styles of all layers listen to w[3].
    directions = find_directions(generator, 2)
    assert abs(float(directions[0, 3])) > 0.99
    torch.testing.assert_close(directions @ directions.t(), torch.eye(2), atol=1e-5, rtol=0)


def test_sefa_looks_at_the_resolutions_asked():
    generator, _ = networks(32)
    with torch.no_grad():
        for layer in generator.synthesis.layers:
            layer.affine.weight.normal_(std=0.1)
            layer.affine.weight[:, 3 if layer.resolution < 16 else 7] += 5
    assert abs(float(find_directions(generator, 1, resolutions=[4, 8])[0, 3])) > 0.99
    assert abs(float(find_directions(generator, 1, resolutions=[32])[0, 7])) > 0.99
    with pytest.raises(ValueError, match=r"no layers at \[128\]"):
        find_directions(generator, 1, resolutions=[128])


def test_a_fitted_direction_raises_the_score_by_one():
    torch.manual_seed(0)
    ws = torch.randn(500, 8) @ torch.randn(8, 8)
    slope = torch.randn(8)
    scores = ws @ slope + 0.05 * torch.randn(500)
    scores[::10] = float("nan")
    direction = fit_direction(ws, scores, ridge=1e-6)
    assert float(direction @ slope) == pytest.approx(1.0, abs=0.02)


def test_too_few_or_equal_scores_are_refused():
    with pytest.raises(ValueError, match="at least 10 scored samples; got 3"):
        fit_direction(torch.randn(3, 4), torch.rand(3))
    with pytest.raises(ValueError, match="All samples have one score"):
        fit_direction(torch.randn(20, 4), torch.ones(20))


def test_edits_stay_in_their_layers():
    ws = torch.zeros(2, 6, 4)
    moved = edit_latents(ws, torch.ones(4), torch.tensor([1.0, 2.0]), layers=[1, 4])
    assert moved[0, :, 0].tolist() == [0, 1, 0, 0, 1, 0]
    assert moved[1, :, 0].tolist() == [0, 2, 0, 0, 2, 0]
    assert ws.abs().sum() == 0
    with pytest.raises(ValueError, match="layers must be from 0 to 5"):
        edit_latents(ws, torch.ones(4), 1.0, layers=[6])


def test_mixing_refuses_a_cut_outside():
    with pytest.raises(ValueError, match="cut must be from 0 to 4"):
        mix_styles(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 5)


class Scripted:
    """A landmarker whose faces are told."""

    scheme = "ibug68"

    def __init__(self, faces):
        self.faces = iter(faces)

    def detect(self, image):
        return next(self.faces)


def face(nose=0.0, **shapes):
    points = torch.rand(68, 2)
    points[36:42] = torch.tensor([20.0, 30.0])
    points[42:48] = torch.tensor([40.0, 30.0])
    points[27:36] = torch.tensor([30.0 + nose, 40.0])
    return [Landmarks(points, "ibug68", shapes)]


def test_scores_are_read_from_the_face():
    images = torch.rand(3, 3, 16, 16)
    smiles = [
        face(mouthSmileLeft=0.8, mouthSmileRight=0.6),
        [],
        face(mouthSmileLeft=0, mouthSmileRight=0),
    ]
    values = score_faces(images, Scripted(smiles), "smile")
    assert values[0] == pytest.approx(0.7)
    assert values[1].isnan()
    turned = score_faces(images, Scripted([face(0.0), face(5.0), face(-5.0)]), "yaw")
    assert turned.tolist() == pytest.approx([0.0, 0.5, -0.5])


def test_a_landmarker_without_blendshapes_cannot_score_smiles():
    with pytest.raises(ValueError, match="needs a landmarker with blendshapes"):
        score_faces(torch.rand(1, 3, 16, 16), Scripted([face()]), "smile")
    with pytest.raises(ValueError, match="score must be one of smile, eyes_closed, yaw"):
        score_faces(torch.rand(1, 3, 16, 16), Scripted([face()]), "beauty")


def test_a_real_face_scores(astronaut, landmarker):
    scores = {
        name: float(score_faces(to_tensor(astronaut)[None], landmarker, name))
        for name in ("smile", "eyes_closed", "yaw")
    }
    assert scores["smile"] > 0.4
    assert scores["eyes_closed"] < 0.4
    assert -0.6 < scores["yaw"] < 0.6
