"""Blocks: values, gradients, shapes."""

import math

import pytest
import torch
from torch import nn

from snowai.layers import ConvNormAct, InvertedResidual, SqueezeExcite, UpBlock, init_weights


def test_squeeze_excite_gradient_is_right():
    # Smooth activations: gradcheck compares against finite differences.
    block = SqueezeExcite(4, act_layer=nn.SiLU, gate_layer=nn.Sigmoid).double()
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,), fast_mode=True)


def test_squeeze_excite_gates_never_amplify():
    x = torch.randn(2, 16, 8, 8)
    assert (SqueezeExcite(16)(x).abs() <= x.abs()).all()


def test_squeeze_excite_works_on_few_channels():
    assert SqueezeExcite(2)(torch.rand(1, 2, 4, 4)).shape == (1, 2, 4, 4)


def test_squeeze_excite_equals_timms():
    from timm.layers import SqueezeExcite as TimmSqueezeExcite

    ours = SqueezeExcite(32)
    theirs = TimmSqueezeExcite(32, rd_ratio=0.25, rd_divisor=1, gate_layer=nn.Hardsigmoid)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 32, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_inverted_residual_equals_timms():
    from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual

    ours = InvertedResidual(16, 16, kernel_size=5, expansion=3).eval()
    theirs = TimmInvertedResidual(
        16, 16, dw_kernel_size=5, exp_ratio=3.0, act_layer=nn.Hardswish
    ).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 16, 12, 10)
    torch.testing.assert_close(ours(x), theirs(x))


def test_inverted_residual_adds_its_input_only_when_the_shape_stays():
    assert InvertedResidual(16, 16).adds_input
    assert not InvertedResidual(16, 24).adds_input
    assert not InvertedResidual(16, 16, stride=2).adds_input


def test_up_block_leaves_no_checkerboard_on_a_constant():
    # Nearest up-sampling and zero padding: away from the border a constant stays constant.
    block = UpBlock(8, 8).eval()
    out = block(torch.ones(1, 8, 16, 16), torch.ones(1, 8, 32, 32))[..., 4:-4, 4:-4]
    torch.testing.assert_close(out, out.mean(dim=(2, 3), keepdim=True).expand_as(out))


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        ConvNormAct(3, 8, kernel_size=4)


def test_convolution_has_a_bias_only_without_a_norm():
    assert ConvNormAct(3, 8).conv.bias is None
    assert ConvNormAct(3, 8, norm_layer=nn.Identity).conv.bias is not None


def test_init_weights_follows_he_also_for_depthwise_convolutions():
    dense, depthwise = nn.Conv2d(64, 256, 3), nn.Conv2d(512, 512, 5, groups=512)
    init_weights(nn.Sequential(dense, depthwise))
    assert dense.weight.std().item() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.05)
    assert depthwise.weight.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.05)
