"""StyleGAN2: equal to the textbook, its layers counted right, its second derivatives true."""

import pytest
import textbook_stylegan2 as textbook
import torch
from foreign import networks, rosinality
from torch import nn

import snowai
from snowai import checkpoint
from snowai.losses import path_lengths, r1_penalty
from snowai.models import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    grow_discriminator,
    grow_generator,
    stylegan2_resolutions,
)
from snowai.models.stylegan2_layers import (
    blur_down,
    leaky_relu,
    modulated_conv2d,
    upsample_rgb,
)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_pictures_equal_the_textbook_on_the_same_w_and_noise(resolution, batch):
    generator, _ = networks(resolution)
    state = rosinality(generator)["g_ema"]
    z = torch.randn(batch, 16)
    w = textbook.mapping(state, z)
    noise = generator.synthesis.draw_noise(batch)
    with torch.no_grad():
        ws = generator.mapping(z)
        expected = (textbook.synthesis(state, ws, noise) + 1) / 2
        drawn = generator.synthesis(ws, noise=noise)
    torch.testing.assert_close(ws[:, 0], w)
    spread = float(expected.max() - expected.min())
    assert float((drawn - expected).abs().max()) < 1e-4 * spread


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_judgement_equals_the_textbook(batch):
    generator, judge = networks(64)
    image = torch.rand(batch, 3, 64, 64)
    expected = textbook.discriminator(rosinality(generator, judge)["d"], image * 2 - 1)
    torch.testing.assert_close(judge(image), expected, rtol=1e-4, atol=1e-4)


def test_one_sample_alone_is_drawn_as_in_a_batch():
    generator, _ = networks(64)
    ws = generator.mapping(torch.randn(3, 16))
    alone = torch.cat([generator.synthesis(w[None]) for w in ws])
    torch.testing.assert_close(alone, generator.synthesis(ws), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("resolution", "count"), [(16, 6), (256, 14), (1024, 18)])
def test_the_number_of_ws_follows_the_resolution(resolution, count):
    generator = StyleGAN2Generator(
        resolution, z_dim=4, w_dim=4, mapping_layers=1, channel_base=1024, channel_max=4
    )
    assert generator.num_ws == count
    assert len(generator.synthesis.layers) == count - 1
    assert len(generator.synthesis.to_rgb) == count // 2


def test_each_w_is_heard_by_its_layer_and_colours_by_the_next():
    generator, _ = networks(32)
    ws = generator.mapping(torch.randn(1, 16)).clone()
    heard = []
    for index in range(generator.num_ws):
        moved = ws.clone()
        moved[:, index] += 1
        pairs = zip(
            generator.synthesis.growing(ws), generator.synthesis.growing(moved), strict=True
        )
        sizes = [one.shape[-1] for one, two in pairs if not torch.equal(one, two)]
        heard.append(min(sizes))
    # 4 pixels: conv 0 and colours 1; 8: convs 1 and 2, colours 3; ...
    assert heard == [4, 4, 8, 8, 16, 16, 32, 32]


def test_truncation_nears_the_average():
    generator, _ = networks(16)
    z = torch.randn(4, 16)
    average = generator.mapping.w_avg
    full, half, none = (generator.mapping(z, truncation=t)[:, 0] for t in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half - average, (full - average) / 2)
    torch.testing.assert_close(none, average.expand(4, -1))


def test_noise_is_the_same_when_asked_and_fresh_when_asked():
    generator, _ = networks(16)
    ws = generator.mapping(torch.randn(1, 16))
    draw = generator.synthesis
    assert torch.equal(draw(ws, noise="const"), draw(ws, noise="const"))
    one, two, other = (
        draw(ws, noise="random", generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    zeros = [torch.zeros(1, 1, n.resolution, n.resolution) for n in draw.layers]
    torch.testing.assert_close(draw(ws, noise="none"), draw(ws, noise=zeros))


def test_the_average_follows_what_was_mapped():
    generator, _ = networks(16)
    ws = generator.mapping(torch.randn(64, 16))
    for _ in range(2000):
        generator.mapping.update_average(ws)
    torch.testing.assert_close(generator.mapping.w_avg, ws[:, 0].mean(dim=0), rtol=1e-3, atol=1e-3)


def test_labels_choose_the_picture_and_the_judgement():
    generator, judge = networks(16, label_dim=3)
    z, labels = torch.randn(1, 16).expand(3, -1), torch.eye(3)
    images = generator(z, labels)
    assert not torch.allclose(images[0], images[1])
    assert judge(images, labels).shape == (3, 1)
    with pytest.raises(ValueError, match="label must have shape"):
        generator(z)


@pytest.mark.parametrize("which", ["modulated", "demodulated", "up"])
def test_second_derivatives_of_the_modulated_convolution_are_true(which):
    torch.manual_seed(0)
    x = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    style = torch.randn(2, 2, dtype=torch.double, requires_grad=True)
    bias = torch.randn(2, dtype=torch.double, requires_grad=True)

    def convolve(x, weight, style, bias):
        return modulated_conv2d(
            x, weight, style, bias=bias, demodulate=which != "modulated", up=which == "up"
        )

    assert torch.autograd.gradgradcheck(convolve, (x, weight, style, bias))


def test_path_length_teaches_the_generator():
    generator, _ = networks(16)
    ws = generator.mapping(torch.randn(2, 16))
    lengths = path_lengths(generator.synthesis(ws), ws)
    lengths.square().mean().backward()
    taught = [
        name for name, p in generator.named_parameters() if p.grad is not None and p.grad.any()
    ]
    assert any(name.startswith("synthesis.layers.2.") for name in taught)
    assert any(name.startswith("mapping.") for name in taught)


def test_path_length_is_the_jacobians_norm():
    torch.manual_seed(0)
    matrix = torch.randn(12, 5, dtype=torch.double)
    ws = torch.zeros(4000, 1, 5, dtype=torch.double, requires_grad=True)
    images = (ws[:, 0] @ matrix.t()).view(-1, 3, 2, 2)
    # E |J^T y|^2 = |J|^2 / (H W), for y of variance 1 / (H W).
    mean = path_lengths(images, ws).square().mean()
    assert float(mean) == pytest.approx(float(matrix.square().sum()) / 4, rel=0.05)


def test_path_length_without_a_graph_is_refused():
    with pytest.raises(ValueError, match="ws must require a gradient"):
        path_lengths(torch.rand(1, 3, 4, 4), torch.rand(1, 2, 4))


def test_the_slope_of_the_discriminator_teaches_it():
    _, judge = networks(16)
    image = torch.rand(4, 3, 16, 16, requires_grad=True)
    r1_penalty(judge(image), image).backward()
    assert judge.from_rgb.weight.grad.abs().sum() > 0


def test_a_batch_of_one_face_is_seen():
    _, judge = networks(16)
    one = torch.rand(1, 3, 16, 16)
    same = judge(one.expand(4, -1, -1, -1))
    mixed = judge(torch.cat([one, torch.rand(3, 3, 16, 16)]))
    assert not torch.allclose(same[0], mixed[0])


def test_growing_starts_from_the_same_pictures_enlarged():
    generator, _ = networks(16)
    larger = grow_generator(generator)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(2, 16))
        small = generator.synthesis(ws)
    ws = larger.mapping(torch.zeros(2, 16)) * 0 + ws[:, :1]
    *_, before, after = larger.synthesis.growing(ws)
    torch.testing.assert_close(before, small)
    torch.testing.assert_close(after, (upsample_rgb(small * 2 - 1) + 1) / 2)


def test_growing_keeps_the_judgements():
    _, judge = networks(16)
    larger = grow_discriminator(judge)
    image = torch.rand(4, 3, 16, 16)
    enlarged = torch.nn.functional.interpolate(image, 32, mode="nearest")
    smooth = blur_down(enlarged * 2 - 1, padding=1, stride=2)
    torch.testing.assert_close(
        larger(enlarged)[0], judge((smooth + 1) / 2)[0], rtol=0.05, atol=0.05
    )
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    first = larger.blocks[0](leaky_relu(larger.from_rgb(enlarged * 2 - 1)))
    torch.testing.assert_close(
        first[inner], leaky_relu(judge.from_rgb(smooth))[inner], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_draws_nearly_the_same(dtype):
    generator, _ = networks(32)
    ws = generator.mapping(torch.randn(2, 16))
    with torch.no_grad():
        full = generator.synthesis(ws)
        with torch.autocast("cpu", dtype=dtype):
            half = generator.synthesis(ws)
    spread = float(full.max() - full.min())
    assert float((half - full).abs().mean()) < 0.02 * spread


def test_torch_compile_draws_the_same():
    generator, _ = networks(16)
    ws = generator.mapping(torch.randn(1, 16)).detach()
    compiled = torch.compile(generator.synthesis, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(ws), generator.synthesis(ws), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_is_kept_between_calls_follows_the_weights(mode):
    generator, _ = networks(16)
    ws = generator.mapping(torch.randn(2, 16)).detach()
    with mode():
        before = generator.synthesis(ws)
        assert torch.equal(generator.synthesis(ws), before)
    with torch.no_grad():
        generator.synthesis.layers[2].weight[0].mul_(3)
        after = generator.synthesis(ws)
    fresh, _ = networks(16)
    fresh.load_state_dict(generator.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(after, fresh.synthesis(ws))
    assert not torch.allclose(before, after)
    other, _ = networks(16, z_dim=16)
    generator.load_state_dict(other.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(generator.synthesis(ws), other.synthesis(ws))
    # Frozen weights still let gradients through to the latent.
    ws = ws.clone().requires_grad_(True)
    generator.requires_grad_(False).synthesis(ws).sum().backward()
    assert ws.grad is not None


def test_a_file_rebuilds_the_generator(tmp_path):
    generator, _ = networks(32)
    checkpoint.save(generator, tmp_path / "g.safetensors")
    again = snowai.from_pretrained(tmp_path / "g.safetensors")
    z = torch.randn(2, 16)
    assert torch.equal(again(z), generator(z))


@pytest.mark.parametrize("resolution", [8, 48, 2048])
def test_impossible_sizes_are_refused(resolution):
    with pytest.raises(ValueError, match="power of two from 16 to 1024"):
        stylegan2_resolutions(resolution)


def test_wrong_latents_are_refused():
    generator, _ = networks(16)
    with pytest.raises(ValueError, match=r"ws must have shape \(B, 6, 16\)"):
        generator.synthesis(torch.rand(1, 14, 16))
    with pytest.raises(ValueError, match=r"z must have shape \(B, 16\)"):
        generator.mapping(torch.rand(1, 4))
    with pytest.raises(ValueError, match="noise needs 5 tensors"):
        generator.synthesis(torch.rand(1, 6, 16), noise=[torch.zeros(1, 1, 4, 4)])


def test_a_picture_of_another_size_is_refused():
    judge = StyleGAN2Discriminator(16, channel_base=64)
    with pytest.raises(ValueError, match="image must be 16x16; got 32x32"):
        judge(torch.rand(1, 3, 32, 32))


def test_the_mapping_scales_its_latent():
    mapping = StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=64).mapping
    z = torch.randn(2, 8)
    torch.testing.assert_close(mapping(z), mapping(z * 7))
    assert isinstance(mapping.layers, nn.ModuleList)
