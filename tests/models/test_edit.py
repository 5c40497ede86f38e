"""EditNet: any size, local but for its context."""

import pytest
import torch
from torch import nn

import snowai
from snowai.layers import ConvNormAct
from snowai.models import EditNet, prepare_for_inference


def awake(network: nn.Module) -> EditNet:
    """Give what starts as zero some weight."""
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return network.eval()


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (5, 5)])
def test_any_size_comes_back_as_it_was(size):
    image = torch.rand(2, 4, *size)
    assert awake(EditNet(widths=(8, 8, 8), blocks=1))(image).shape == (2, 3, *size)


@pytest.mark.parametrize("widths", [(4, 8), (4, 8, 8), (4, 8, 8, 8)])
def test_nothing_beyond_its_reach_moves_a_pixel(widths):
    network = awake(EditNet(3, widths=widths, blocks=2)).double()
    side = 4 * network.reach // network.multiple * network.multiple
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    context = network.context(image).detach()
    farthest = 0
    for step in range(network.multiple):
        place = side // 2 + step
        (gradient,) = torch.autograd.grad(network(image, context)[0, :, place, place].sum(), image)
        seen = gradient[0].abs().sum(dim=0).nonzero() - place
        farthest = max(farthest, int(seen.abs().max()))
    assert network.reach - network.multiple * 2 <= farthest <= network.reach


def test_the_context_hears_of_the_whole_photo():
    network = awake(EditNet(3, widths=(8, 8), blocks=1))
    image = torch.rand(1, 3, 256, 256)
    changed = image.clone()
    changed[..., 128:] = 0
    corner = [network(x)[..., :8, :8] for x in (image, changed)]
    assert (corner[0] - corner[1]).abs().max() > 1e-6
    context = network.context(image)
    corner = [network(x, context)[..., :8, :8] for x in (image, changed)]
    torch.testing.assert_close(*corner)


def test_without_context_there_is_none():
    network = awake(EditNet(3, widths=(8, 8), blocks=1, context_width=0))
    assert network.context(torch.rand(1, 3, 16, 16)) is None
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_every_norm_trains_and_none_depends_on_the_neighbours_in_use(norm):
    network = awake(EditNet(3, widths=(8, 8), blocks=1, norm=norm))
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))
    network.train()(images).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_checkpointed_activations_give_the_same_gradients():
    image = torch.rand(2, 3, 32, 32)
    gradients = []
    for on in (False, True):
        torch.manual_seed(0)
        network = awake(EditNet(3, widths=(8, 8), blocks=2, norm="layer")).train()
        network.activation_checkpointing = on
        network(image).square().mean().backward()
        gradients.append([weight.grad for weight in network.parameters()])
    torch.testing.assert_close(*gradients)


def test_checkpointing_runs_the_blocks_twice():
    network = awake(EditNet(3, widths=(8, 8), blocks=1, norm="none")).train()
    calls = []
    network.body[0].first.register_forward_hook(lambda *_: calls.append(1))
    for on, runs in ((False, 1), (True, 2)):
        calls.clear()
        network.activation_checkpointing = on
        network(torch.rand(1, 3, 16, 16)).sum().backward()
        assert len(calls) == runs


def test_batch_norm_folds_away():
    network = awake(snowai.create_model("edit_base"))
    image = torch.rand(1, 4, 64, 64)
    folded = prepare_for_inference(network)
    assert not [part for part in folded.modules() if isinstance(part, nn.BatchNorm2d)]
    assert all(part.conv.bias is not None for part in folded.modules() if type(part) is ConvNormAct)
    torch.testing.assert_close(folded(image), network(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"widths": (8,)}, "at least 2 widths and 1 block"),
        ({"blocks": 0}, "at least 2 widths and 1 block"),
        ({"norm": "instance"}, "norm must be one of batch, layer, none"),
        ({"in_channels": 2}, "at least 3"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        EditNet(**arguments)
