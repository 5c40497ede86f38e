"""What phones run: folded networks give the same picture, and what NPUs reject is named."""

import pytest
import torch
from torch import nn

import snowai
from snowai import checkpoint
from snowai.models import assert_mobile_ready, mobile_problems, prepare_for_inference


@pytest.mark.parametrize("name", [name for name in snowai.list_models() if "se_unet" in name])
def test_presets_are_ready_for_phones(name):
    assert_mobile_ready(snowai.create_model(name), torch.rand(1, 4, 64, 64))


def test_a_prepared_network_draws_the_same_and_holds_no_norm():
    torch.manual_seed(0)
    network = snowai.EyeMaskInput(snowai.create_model("se_unet_tiny", output="rgb"))
    for _ in range(3):
        network.train()(torch.rand(4, 3, 64, 64), torch.rand(4, 1, 64, 64))
    image, mask = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    wanted = network.eval()(image, mask)
    ready = prepare_for_inference(network)
    torch.testing.assert_close(ready(image, mask), wanted, rtol=0, atol=1e-5)
    assert not [part for part in ready.modules() if isinstance(part, nn.BatchNorm2d)]
    assert [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert not ready.training
    assert not any(weight.requires_grad for weight in ready.parameters())


def test_a_prepared_network_is_no_checkpoint(tmp_path):
    ready = prepare_for_inference(snowai.create_model("se_unet_tiny"))
    with pytest.raises(ValueError, match="does not keep its config"):
        checkpoint.save(ready, tmp_path / "folded.safetensors")


class Unfit(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 2, stride=2)
        self.even = nn.Conv2d(8, 16, 4, padding=1)
        self.reflect = nn.Conv2d(16, 20, 3, padding=1, padding_mode="reflect")
        self.instance = nn.InstanceNorm2d(20)
        self.group = nn.GroupNorm(2, 20)
        self.dilated = nn.Conv2d(20, 8, 3, dilation=2)
        self.corners = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, x):
        x = self.group(self.instance(self.reflect(self.even(self.up(x)))))
        return self.pool(self.corners(self.dilated(x)).softmax(1))


def test_every_layer_that_phones_reject_is_named():
    found = mobile_problems(Unfit(), torch.rand(1, 3, 32, 32))
    named = {line.split(":")[0]: line for line in found}
    assert named.keys() == {
        "up", "even", "reflect", "instance", "group", "dilated", "corners", "forward", "pool",
    }  # fmt: skip
    assert "reflect padding" in next(line for line in found if "padding" in line)
    assert "20 channels" in next(line for line in found if "channels" in line)
    with pytest.raises(ValueError, match="would reject Unfit:\n  up: a transposed convolution"):
        assert_mobile_ready(Unfit(), torch.rand(1, 3, 32, 32))


def test_odd_sizes_are_padded_in_a_way_that_phones_reject():
    problems = mobile_problems(snowai.create_model("se_unet_tiny"), torch.rand(1, 4, 60, 64))
    assert len(problems) == 1
    assert "replicate padding" in problems[0]
