"""The eye mask as alpha channel."""

import pytest
import torch

import snowai
from snowai.models import EyeMaskInput, widen_input


@pytest.fixture
def network():
    torch.manual_seed(0)
    return EyeMaskInput(snowai.create_model("se_unet_tiny", output="rgb"))


def test_the_mask_changes_the_output(network):
    network.eval()
    image, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    mask[..., 20:30, 20:30] = 1
    assert not torch.allclose(network(image, mask), network(image))


def test_no_mask_is_an_empty_mask(network):
    network.eval()
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(network(image), network(image, torch.zeros(2, 1, 64, 64)))


def test_an_rgb_network_is_upgraded_without_changing_its_output():
    rgb = snowai.create_model("se_unet_tiny", in_channels=3, output="rgb").eval()
    upgraded = EyeMaskInput.from_rgb(rgb).eval()
    image, mask = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(upgraded(image, mask), rgb(image))


def test_the_upgraded_column_learns():
    rgb = snowai.create_model("se_unet_tiny", in_channels=3, output="rgb")
    upgraded = EyeMaskInput.from_rgb(rgb)
    upgraded(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)).sum().backward()
    assert upgraded.network.stem.conv.weight.grad[:, 3].any()


def test_widening_leaves_the_narrow_network_alone():
    rgb = snowai.create_model("se_unet_tiny", in_channels=3)
    wide = widen_input(rgb)
    with torch.no_grad():
        wide.stem.conv.weight.zero_()
    assert rgb.stem.conv.weight.any()


def masks_seen(network, mask):
    """Return the masks that the inner network gets in training."""
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 3:]))
    network.train()(torch.rand(len(mask), 3, 64, 64), mask)
    return seen[0]


def test_training_drops_about_the_wanted_share_of_masks():
    network = EyeMaskInput(snowai.create_model("se_unet_tiny"), drop_probability=0.25, jitter=0)
    torch.manual_seed(0)
    seen = masks_seen(network, torch.ones(64, 1, 64, 64))
    dropped = (seen.amax(dim=(1, 2, 3)) == 0).float().mean().item()
    assert dropped == pytest.approx(0.25, abs=0.12)
    assert set(seen.unique().tolist()) == {0.0, 1.0}


def test_training_moves_masks_by_a_few_pixels():
    network = EyeMaskInput(snowai.create_model("se_unet_tiny"), drop_probability=0.0, jitter=2)
    mask = torch.zeros(32, 1, 64, 64)
    mask[..., 30, 30] = 1
    seen = masks_seen(network, mask)
    places = {tuple((spot.nonzero()[0, 1:] - 30).tolist()) for spot in seen}
    assert len(places) > 5
    assert all(max(abs(y), abs(x)) <= 2 for y, x in places)


def test_evaluation_leaves_the_mask_alone(network):
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 3:]))
    mask = torch.rand(2, 1, 64, 64)
    network.eval()(torch.rand(2, 3, 64, 64), mask)
    assert torch.equal(seen[0], mask)


@pytest.mark.parametrize(
    ("image", "mask", "sentence"),
    [
        (torch.rand(1, 4, 64, 64), None, "image must be a float tensor"),
        (torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), "eye_mask must be a float tensor"),
    ],
)
def test_wrong_inputs_are_refused(network, image, mask, sentence):
    with pytest.raises(ValueError, match=sentence):
        network(image, mask)


def test_two_devices_are_one_sentence(network):
    with pytest.raises(
        ValueError, match="image and eye_mask must be on one device; got cpu and meta"
    ):
        network(torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64, device="meta"))


def test_drop_probability_is_checked():
    with pytest.raises(ValueError, match="drop_probability must be in"):
        EyeMaskInput(snowai.create_model("se_unet_tiny"), drop_probability=1.0)


def test_networks_without_in_channels_cannot_be_widened(network):
    with pytest.raises(ValueError, match="has no in_channels"):
        widen_input(network)


def test_exports_with_free_batch_and_size(network):
    free = {0: torch.export.Dim("b"), 2: 32 * torch.export.Dim("h"), 3: 32 * torch.export.Dim("w")}
    inputs = (torch.rand(2, 3, 64, 96), torch.rand(2, 1, 64, 96))
    exported = torch.export.export(network.eval(), inputs, dynamic_shapes=(free, free))
    other = (torch.rand(3, 3, 96, 64), torch.rand(3, 1, 96, 64))
    torch.testing.assert_close(exported.module()(*other), network(*other), rtol=1e-4, atol=1e-5)
