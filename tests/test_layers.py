"""Blocks: values, gradients, shapes."""

import math

import pytest
import torch
from torch import nn

from snowai.layers import (
    ConvNormAct,
    InvertedResidual,
    RepConvNormAct,
    SqueezeExcite,
    UpBlock,
    init_weights,
)


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


def learnt(layer: nn.Module, x: torch.Tensor) -> nn.Module:
    """Give BatchNorm statistics and weights that are not those of the start."""
    for part in layer.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.normal_(part.bias)
    for _ in range(3):
        layer.train()(x)
    return layer.eval()


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("groups", [1, 8])
def test_folded_batch_norm_changes_nothing(kernel_size, groups):
    x = torch.randn(4, 8, 12, 10)
    layer = learnt(ConvNormAct(8, 16, kernel_size, stride=2, groups=groups), x)
    before = layer(x)
    layer.fold()
    assert isinstance(layer.norm, nn.Identity)
    torch.testing.assert_close(layer(x), before, rtol=1e-4, atol=1e-5)
    layer.fold()  # Twice is once.
    torch.testing.assert_close(layer(x), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "stride", "groups"), [(8, 1, 1), (8, 1, 8), (8, 2, 4), (16, 1, 1)]
)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_branches_fold_into_one_convolution(width, stride, groups, kernel_size):
    x = torch.randn(4, 8, 12, 10)
    layer = learnt(RepConvNormAct(8, width, kernel_size, stride=stride, groups=groups), x)
    assert (layer.identity is not None) == (stride == 1 and width == 8)
    before = layer(x)
    layer.fold()
    assert len([m for m in layer.modules() if isinstance(m, nn.Conv2d)]) == 1
    torch.testing.assert_close(layer(x), before, rtol=1e-4, atol=1e-4)


def test_branches_need_a_kernel_above_1():
    with pytest.raises(ValueError, match="no smaller branch"):
        RepConvNormAct(8, 8, 1)


def test_strided_depthwise_trains_in_float32_where_bfloat16_is_slow():
    layer = ConvNormAct(8, 8, stride=2, groups=8, norm_layer=nn.Identity).train()
    x = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.conv(x.bfloat16()).dtype == torch.float32
        assert layer.eval().conv(x).dtype == torch.bfloat16
        plain = ConvNormAct(8, 8, groups=8).train()
        assert plain.conv(x).dtype == torch.bfloat16
