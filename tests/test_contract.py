"""What every module keeps: shape, gradient, dtype, device, batch, copies, files, export."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import snowai
from snowai import checkpoint
from snowai.analysis import PooledFeatures
from snowai.layers import ConvNormAct, InvertedResidual, RepConvNormAct, SqueezeExcite, UpBlock
from snowai.losses import (
    AdversarialLoss,
    CharbonnierLoss,
    ColourLoss,
    FeatureMatchingLoss,
    IdentityLoss,
    L1Loss,
    LPIPSLoss,
    MultiResolutionLoss,
    PerceptualLoss,
    SSIMLoss,
)
from snowai.models import (
    ComponentDiscriminator,
    EditNet,
    EyeMaskInput,
    FaceDiscriminator,
    GlobalContext,
    MappingNetwork,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    SEUNet,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    SynthesisNetwork,
)
from snowai.models.stylegan2 import ResidualBlock
from snowai.models.stylegan2_layers import EqualConv2d, EqualLinear, StyledConv, ToRGB
from snowai.styles import ProjectedDiscriminator


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    inputs: Callable[[int], tuple]
    shape: Callable[[int], object]
    keeps_config: bool = False


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return [self.conv(x), self.conv(x)[..., ::2, ::2]]


def image(channels: int, size: int = 32) -> Callable[[int], tuple]:
    return lambda batch: (torch.rand(batch, channels, size, size),)


def two_images(batch: int) -> tuple:
    return torch.rand(batch, 3, 64, 64), torch.rand(batch, 3, 64, 64)


def small(**changes) -> SEUNet:
    return SEUNet(
        **({"in_channels": 4, "widths": (8, 8, 16, 16, 24), "depths": (1,) * 4} | changes)
    )


def logits(batch: int) -> list[tuple[int, ...]]:
    sizes = (16, 8, 4, 4, 4)
    widths = (8, 16, 32, 64, 1)
    return [(batch, width, size, size) for width, size in zip(widths, sizes, strict=True)]


def close(batch: int) -> list[tuple[int, ...]]:
    return [(batch, 8, 16, 16), (batch, 16, 8, 8), (batch, 32, 8, 8), (batch, 1, 8, 8)]


def features(batch: int) -> tuple:
    def scale() -> list[Tensor]:
        return [torch.rand(batch, 4, 8, 8), torch.rand(batch, 1, 4, 4)]

    return [scale(), scale()], [scale(), scale()]


CASES = {
    "ConvNormAct": Case(lambda: ConvNormAct(3, 8), image(3), lambda b: (b, 8, 32, 32)),
    "SqueezeExcite": Case(lambda: SqueezeExcite(8), image(8), lambda b: (b, 8, 32, 32)),
    "InvertedResidual": Case(
        lambda: InvertedResidual(8, 8, se_layer=SqueezeExcite), image(8), lambda b: (b, 8, 32, 32)
    ),
    "RepConvNormAct": Case(
        lambda: RepConvNormAct(8, 8, groups=8), image(8), lambda b: (b, 8, 32, 32)
    ),
    "UpBlock": Case(
        lambda: UpBlock(16, 8),
        lambda b: (torch.rand(b, 16, 8, 8), torch.rand(b, 8, 16, 16)),
        lambda b: (b, 8, 16, 16),
    ),
    "SEUNet-rgb": Case(lambda: small(output="rgb"), image(4), lambda b: (b, 3, 32, 32), True),
    "SEUNet-residual": Case(
        lambda: small(output="residual"), image(4), lambda b: (b, 3, 32, 32), True
    ),
    "SEUNet-residual_alpha": Case(small, image(4), lambda b: (b, 3, 32, 32), True),
    "SEUNet-odd-size": Case(small, image(4, 45), lambda b: (b, 3, 45, 45), True),
    **{
        name: Case(
            lambda name=name: snowai.create_model(name),
            image(4, 64),
            lambda b: (b, 3, 64, 64),
            True,
        )
        for name in snowai.list_models()
    },
    "EyeMaskInput": Case(
        lambda: EyeMaskInput(small()),
        lambda b: (torch.rand(b, 3, 32, 32), torch.rand(b, 1, 32, 32)),
        lambda b: (b, 3, 32, 32),
        True,
    ),
    **{
        f"EditNet-{norm}": Case(
            lambda norm=norm: EditNet(widths=(8, 8), blocks=1, norm=norm),
            image(4, 45),
            lambda b: (b, 3, 45, 45),
            True,
        )
        for norm in ("batch", "layer", "none")
    },
    "GlobalContext": Case(lambda: GlobalContext(3, 8), image(3, 64), lambda b: (b, 8)),
    **{
        f"PatchDiscriminator-{norm}{'-se' if se else ''}": Case(
            lambda norm=norm, se=se: PatchDiscriminator(width=8, norm=norm, se=se),
            image(3),
            logits,
            True,
        )
        for norm in ("spectral", "instance", "none")
        for se in (False, True)
    },
    "MultiScaleDiscriminator": Case(
        lambda: MultiScaleDiscriminator(width=8, scales=2, condition_channels=4),
        lambda b: (torch.rand(b, 3, 64, 64), torch.rand(b, 4, 64, 64)),
        lambda b: [
            [
                (b, width, size // k, size // k)
                for width, size in ((8, 32), (16, 16), (32, 8), (64, 8), (1, 8))
            ]
            for k in (1, 2)
        ],
        True,
    ),
    "MultiScaleDiscriminator-shared": Case(
        lambda: MultiScaleDiscriminator(width=8, scales=2, shared=True),
        image(3, 64),
        lambda b: [
            [
                (b, width, size // k, size // k)
                for width, size in ((8, 32), (16, 16), (32, 8), (64, 8), (1, 8))
            ]
            for k in (1, 2)
        ],
        True,
    ),
    "ComponentDiscriminator": Case(
        lambda: ComponentDiscriminator(width=8, n_layers=2),
        lambda b: (torch.rand(b, 3, 3, 32, 32),),
        lambda b: [close(2 * b), close(b)],
        True,
    ),
    "FaceDiscriminator": Case(
        lambda: FaceDiscriminator(
            MultiScaleDiscriminator(width=8, n_layers=2, scales=1, condition_channels=1),
            ComponentDiscriminator(width=8, n_layers=2),
        ),
        lambda b: (
            torch.rand(b, 3, 32, 32),
            torch.rand(b, 1, 32, 32),
            torch.rand(b, 3, 3, 32, 32),
        ),
        lambda b: [close(b), close(2 * b), close(b)],
        True,
    ),
    "EqualLinear": Case(
        lambda: EqualLinear(8, 4, gain=2.0), lambda b: (torch.randn(b, 8),), lambda b: (b, 4)
    ),
    "EqualConv2d": Case(lambda: EqualConv2d(3, 8), image(3), lambda b: (b, 8, 32, 32)),
    "EqualConv2d-down": Case(
        lambda: EqualConv2d(3, 8, down=True), image(3), lambda b: (b, 8, 16, 16)
    ),
    **{
        f"StyledConv{'-up' if up else ''}": Case(
            lambda up=up: StyledConv(6, 8, w_dim=5, resolution=32 if up else 16, up=up),
            lambda b, up=up: (
                torch.randn(b, 6, 16, 16),
                torch.randn(b, 5),
                torch.randn(b, 1, 32, 32) if up else torch.randn(b, 1, 16, 16),
            ),
            lambda b, up=up: (b, 8, 32, 32) if up else (b, 8, 16, 16),
        )
        for up in (False, True)
    },
    "ToRGB": Case(
        lambda: ToRGB(6, w_dim=5),
        lambda b: (torch.randn(b, 6, 16, 16), torch.randn(b, 5)),
        lambda b: (b, 3, 16, 16),
    ),
    "ResidualBlock": Case(lambda: ResidualBlock(3, 8), image(3), lambda b: (b, 8, 16, 16)),
    "MappingNetwork": Case(
        lambda: MappingNetwork(8, 6, num_ws=4, layers=2, label_dim=3),
        lambda b: (torch.randn(b, 8), torch.rand(b, 3)),
        lambda b: (b, 4, 6),
    ),
    "SynthesisNetwork": Case(
        lambda: SynthesisNetwork((16, 16, 8), w_dim=6),
        lambda b: (torch.randn(b, 6, 6),),
        lambda b: (b, 3, 16, 16),
    ),
    "StyleGAN2Generator": Case(
        lambda: StyleGAN2Generator(32, z_dim=8, w_dim=6, mapping_layers=2, channel_base=256),
        lambda b: (torch.randn(b, 8),),
        lambda b: (b, 3, 32, 32),
        True,
    ),
    "StyleGAN2Discriminator": Case(
        lambda: StyleGAN2Discriminator(32, channel_base=256), image(3), lambda b: (b, 1), True
    ),
    "StyleGAN2Discriminator-label": Case(
        lambda: StyleGAN2Discriminator(16, channel_base=128, label_dim=3, mapping_layers=2),
        lambda b: (torch.rand(b, 3, 16, 16), torch.rand(b, 3)),
        lambda b: (b, 1),
        True,
    ),
    "ProjectedDiscriminator": Case(
        lambda: ProjectedDiscriminator(Pyramid(), size=32, width=8),
        image(3),
        lambda b: [(b, 1, 4, 4), (b, 1, 4, 4)],
    ),
    "PooledFeatures": Case(lambda: PooledFeatures(Pyramid(), size=32), image(3), lambda b: (b, 4)),
    "L1Loss": Case(L1Loss, two_images, lambda _: ()),
    "CharbonnierLoss": Case(CharbonnierLoss, two_images, lambda _: ()),
    "PerceptualLoss": Case(lambda: PerceptualLoss(Pyramid()), two_images, lambda _: ()),
    "SSIMLoss": Case(SSIMLoss, two_images, lambda _: ()),
    "ColourLoss": Case(ColourLoss, two_images, lambda _: ()),
    "MultiResolutionLoss": Case(lambda: MultiResolutionLoss(L1Loss()), two_images, lambda _: ()),
    "IdentityLoss": Case(
        lambda: IdentityLoss(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), size=16),
        two_images,
        lambda _: (),
    ),
    "LPIPSLoss": Case(
        lambda: LPIPSLoss("squeeze", backbone_weights="random"), two_images, lambda _: ()
    ),
    "AdversarialLoss": Case(
        AdversarialLoss, lambda b: (torch.randn(b, 1, 8, 8), torch.randn(b, 1, 8, 8)), lambda _: ()
    ),
    "FeatureMatchingLoss": Case(FeatureMatchingLoss, features, lambda _: ()),
}
MEASURES = (
    "PerceptualLoss",
    "LPIPSLoss",
    "FeatureMatchingLoss",
    "IdentityLoss",
)  # The target gets no gradient.
every_module = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def leaves(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [leaf for part in value for leaf in leaves(part)]


def shapes(value: object) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else [shapes(part) for part in value]


def convert(value: object, change: Callable[[Tensor], Tensor]) -> object:
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(convert(part, change) for part in value)


def awake(module: nn.Module) -> nn.Module:
    """Give layers that start as zero small weights, so that gradients pass them."""
    for weight in module.parameters():
        if weight.requires_grad and not weight.any():
            nn.init.normal_(weight, std=0.1)
    return module


@every_module
@pytest.mark.parametrize("batch", [1, 3])
def test_shape_follows_the_batch(name, batch):
    case = CASES[name]
    output = case.make().eval()(*case.inputs(batch))
    wanted = case.shape(batch)
    assert shapes(output) == (wanted if isinstance(wanted, tuple) else list(wanted))


@every_module
def test_gradient_reaches_every_parameter_and_input(name):
    case = CASES[name]
    module = awake(case.make().train())
    if isinstance(module, EyeMaskInput):
        module.drop_probability = 0.0
    inputs = convert(case.inputs(2), lambda x: x.requires_grad_())
    total = torch.stack([leaf.sum() for leaf in leaves(module(*inputs))]).sum()
    total.backward()
    wanted = leaves(inputs[:1] if name in MEASURES else inputs)
    if name == "FeatureMatchingLoss":
        wanted = [layer for scale in inputs[0] for layer in scale[:-1]]
    blind = [tuple(x.shape) for x in wanted if x.grad is None or not x.grad.any()]
    assert not blind
    dead = [
        key
        for key, weight in module.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.isfinite().all())
    ]
    assert not dead


@every_module
def test_dtype_follows_the_module(name):
    case = CASES[name]
    inputs = convert(case.inputs(2), lambda x: x.double())
    output = case.make().double().eval()(*inputs)
    assert {leaf.dtype for leaf in leaves(output)} == {torch.float64}


@every_module
def test_device_follows_the_input(name):
    # The meta device computes shapes only: a tensor made on the CPU inside would clash.
    if name == "SSIMLoss":
        pytest.skip("kornia's ssim asks torch for the autocast type of the device; meta has none")
    case = CASES[name]
    inputs = convert(case.inputs(2), lambda x: x.to("meta"))
    if isinstance(case.make(), AdversarialLoss | FeatureMatchingLoss | L1Loss | CharbonnierLoss):
        output = case.make()(*inputs)
    else:
        output = case.make().eval().to("meta")(*inputs)
    assert {leaf.device.type for leaf in leaves(output)} == {"meta"}


@every_module
def test_state_dict_round_trip_keeps_the_output(name):
    case = CASES[name]
    first, second = awake(case.make()).eval(), awake(case.make()).eval()
    second.load_state_dict(first.state_dict(), strict=True)
    inputs = case.inputs(2)
    torch.testing.assert_close(leaves(first(*inputs)), leaves(second(*inputs)))


@every_module
def test_deepcopy_is_equal_and_independent(name):
    case = CASES[name]
    module = case.make().eval()
    twin, inputs = copy.deepcopy(module), case.inputs(2)
    torch.testing.assert_close(leaves(twin(*inputs)), leaves(module(*inputs)))
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in module.parameters()}


@every_module
def test_inputs_are_left_alone(name):
    case = CASES[name]
    inputs = case.inputs(2)
    before = convert(inputs, lambda x: x.clone())
    case.make().eval()(*inputs)
    torch.testing.assert_close(leaves(inputs), leaves(before))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.keeps_config])
def test_checkpoint_round_trip_keeps_class_config_and_output(name, tmp_path):
    case = CASES[name]
    module, inputs = awake(case.make()).eval(), case.inputs(2)
    checkpoint.save(module, tmp_path / "file.safetensors")
    loaded = checkpoint.load(tmp_path / "file.safetensors")
    assert type(loaded) is type(module)
    assert checkpoint.config_of(loaded) == checkpoint.config_of(module)
    torch.testing.assert_close(leaves(loaded(*inputs)), leaves(module(*inputs)), rtol=0, atol=0)


@every_module
def test_exports(name):
    case = CASES[name]
    module, inputs = awake(case.make()).eval(), case.inputs(2)
    exported = torch.export.export(module, inputs).module()
    torch.testing.assert_close(leaves(exported(*inputs)), leaves(module(*inputs)))
