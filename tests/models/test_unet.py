"""SE-U-Net: budgets, identity, sizes."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import snowai
from snowai.layers import InvertedResidual, SqueezeExcite
from snowai.models import SEUNet


def macs(network: nn.Module, size: int = 256) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, network.in_channels, size, size))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    ("name", "giga_macs"), [("se_unet_tiny", 0.35), ("se_unet_base", 0.6), ("se_unet_large", 1.0)]
)
def test_presets_keep_their_budget_of_multiply_adds(name, giga_macs):
    assert macs(snowai.create_model(name)) <= giga_macs * 1e9


def test_base_keeps_its_budget_of_parameters():
    network = snowai.create_model("se_unet_base")
    assert sum(weight.numel() for weight in network.parameters()) <= 1.2e6


def test_presets_grow():
    costs = [macs(snowai.create_model(name), 64) for name in snowai.list_models()]
    assert costs == sorted(costs)


@pytest.mark.parametrize("name", snowai.list_models())
def test_phone_rules(name):
    network = snowai.create_model(name)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert not [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert {m.padding_mode for m in convolutions} == {"zeros"}
    wide = {m.out_channels for m in convolutions if m.out_channels > 8}
    squeezed = {m.squeeze.out_channels for m in network.modules() if isinstance(m, SqueezeExcite)}
    assert not [width for width in wide - squeezed if width % 8]


def test_squeeze_excite_sits_at_stride_8_and_deeper_only():
    network = snowai.create_model("se_unet_base")
    gated = [
        any(isinstance(m, SqueezeExcite) for m in stage.modules()) for stage in network.encoder
    ]
    assert gated == [False, True, True, True]  # strides 4, 8, 16, 32


def test_large_kernels_sit_at_strides_16_and_32_only():
    network = snowai.create_model("se_unet_base")
    kernels = [
        {m.depthwise.conv.kernel_size[0] for m in stage if isinstance(m, InvertedResidual)}
        for stage in network.encoder
    ]
    assert kernels == [{3}, {3}, {5}, {5}]


@pytest.mark.parametrize("output", ["residual", "residual_alpha"])
@pytest.mark.parametrize("training", [True, False])
def test_residual_networks_start_as_the_identity(output, training):
    network = snowai.create_model("se_unet_tiny", output=output).train(training)
    image = torch.rand(2, 4, 64, 64)
    assert torch.equal(network(image), image[:, :3])


def test_rgb_output_stays_in_range():
    network = snowai.create_model("se_unet_tiny", output="rgb")
    drawn = network(torch.rand(2, 4, 64, 64) * 5 - 2)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_any_size_keeps_its_size_and_its_corner():
    network = snowai.create_model("se_unet_tiny", output="rgb").eval()
    image = torch.rand(1, 4, 96, 96)
    whole = network(image)
    assert network(image[..., :75, :50]).shape == (1, 3, 75, 50)
    assert network(torch.rand(1, 4, 1, 1)).shape == (1, 3, 1, 1)
    # Padding happens inside: a size that fits gives the same as before.
    torch.testing.assert_close(network(image), whole)


def test_alpha_mixes_photo_and_paint():
    network = snowai.create_model("se_unet_tiny").eval()
    nn.init.normal_(network.head.weight, std=0.5)
    image = torch.rand(1, 4, 64, 64)
    alpha = network.alpha(image)
    assert alpha.shape == (1, 1, 64, 64)
    nn.init.constant_(network.head.bias[-4:], -1e4)
    assert torch.equal(network(image), image[:, :3])  # alpha 0 leaves the photo


def test_a_residual_network_can_cancel_the_photo_exactly():
    # What a flat style needs: the 1x1 path takes the photo's pixels away at full resolution.
    network = snowai.create_model("se_unet_tiny", output="residual").eval()
    with torch.no_grad():
        network.texture.weight.copy_(-torch.eye(3)[..., None, None])
    assert network(torch.rand(1, 4, 64, 64)).abs().max() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"output": "bgr"}, "output must be one of rgb"),
        ({"in_channels": 1}, "in_channels must hold the image"),
        ({"widths": (8, 16)}, "5 widths and 4 depths"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SEUNet(**arguments)


@pytest.mark.parametrize(
    "image", [torch.rand(1, 3, 64, 64), torch.rand(4, 64, 64), torch.zeros(1, 4, 64, 64).byte()]
)
def test_wrong_images_are_refused(image):
    with pytest.raises(ValueError, match=r"x must be a float tensor \(B, 4, H, W\)"):
        snowai.create_model("se_unet_tiny")(image)


def test_alpha_needs_an_alpha():
    with pytest.raises(ValueError, match="has an alpha"):
        snowai.create_model("se_unet_tiny", output="rgb").alpha(torch.rand(1, 4, 32, 32))


def test_unknown_presets_list_the_known():
    with pytest.raises(ValueError, match="se_unet_tiny, se_unet_base"):
        snowai.create_model("se_unet_huge")


def test_exports_with_free_batch_and_size():
    network = snowai.create_model("se_unet_tiny", output="rgb").eval()
    free = {
        0: torch.export.Dim("batch"),
        2: 32 * torch.export.Dim("h"),
        3: 32 * torch.export.Dim("w"),
    }
    exported = torch.export.export(network, (torch.rand(2, 4, 64, 96),), dynamic_shapes=(free,))
    other = torch.rand(3, 4, 128, 64)
    torch.testing.assert_close(exported.module()(other), network(other), rtol=1e-4, atol=1e-5)


def test_onnx_gives_the_same_picture_in_evaluation_mode(tmp_path):
    # Exported in training mode, BatchNorm would use the batch's own statistics.
    import onnxruntime

    network = snowai.create_model("se_unet_tiny", output="rgb")
    network(torch.rand(4, 4, 64, 64))  # Moves the running statistics.
    network.eval()
    image = torch.rand(1, 4, 64, 64)
    torch.onnx.export(network, (image,), tmp_path / "n.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx", providers=["CPUExecutionProvider"])
    (drawn,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    torch.testing.assert_close(torch.from_numpy(drawn), network(image), rtol=0, atol=1e-5)
