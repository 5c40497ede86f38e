"""Discriminators: receptive field, scales, conditions."""

import pytest
import torch
from torch import nn

from snowai.layers import SqueezeExcite
from snowai.models import ComponentDiscriminator, MultiScaleDiscriminator, PatchDiscriminator


def test_a_logit_sees_a_patch_of_about_70_pixels():
    judge = PatchDiscriminator(width=4, norm="none").eval()
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    logits = judge(image)[-1]
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    # pix2pix's 70 with our 3x3 ends: 4x4 s2, 4x4 s2, 4x4 s2, 3x3, 3x3 -> 54.
    assert rows.max() - rows.min() + 1 == 54


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_each_scale_halves_the_image(scales):
    outputs = MultiScaleDiscriminator(width=4, scales=scales)(torch.rand(1, 3, 128, 128))
    assert [features[0].shape[-1] for features in outputs] == [64, 32, 16][:scales]


def test_the_condition_matters():
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator(width=4, condition_channels=4).eval()
    image, condition = torch.rand(1, 3, 64, 64), torch.rand(1, 4, 64, 64)
    with_it = judge(image, condition)[0][-1]
    assert not torch.allclose(with_it, judge(image, 1 - condition)[0][-1])


def test_se_adds_gates_to_hidden_layers():
    judge = MultiScaleDiscriminator(width=8, se=True)
    assert sum(isinstance(m, SqueezeExcite) for m in judge.modules()) == 6


def test_spectral_norm_bounds_every_layer():
    judge = PatchDiscriminator(width=8, norm="spectral")
    for _ in range(30):  # The power iteration settles.
        judge(torch.rand(1, 3, 32, 32))
    for layer in judge.eval().modules():
        if isinstance(layer, nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.05


def test_missing_and_wrong_conditions_are_refused():
    judge = PatchDiscriminator(width=4, condition_channels=4)
    with pytest.raises(ValueError, match="wants a condition with 4 channels"):
        judge(torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="condition must be a float tensor"):
        judge(torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scales": 4}, "scales must be 1, 2 or 3"),
        ({"norm": "batch"}, "norm must be one of"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        MultiScaleDiscriminator(**arguments)


def test_shared_scales_are_one_set_of_weights():
    shared, own = (MultiScaleDiscriminator(width=4, scales=3, shared=s) for s in (True, False))
    count = [sum(w.numel() for w in judge.parameters()) for judge in (shared, own)]
    assert count[1] == 3 * count[0]
    assert len(shared.eval()(torch.rand(1, 3, 64, 64))) == 3


def test_both_eyes_go_to_one_head_and_the_left_one_is_mirrored():
    judge = ComponentDiscriminator(width=4).eval()
    eye, mouth = torch.rand(1, 1, 3, 32, 32), torch.rand(1, 1, 3, 32, 32)
    eyes, _ = judge(torch.cat([eye, eye.flip(-1), mouth], dim=1))
    torch.testing.assert_close(eyes[-1][0], eyes[-1][1])


def test_close_ups_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="left eye, right eye and mouth"):
        ComponentDiscriminator(width=4)(torch.rand(1, 2, 3, 32, 32))
