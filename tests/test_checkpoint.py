"""Files that know what they are, and strangers that are refused."""

import json
import pickle  # noqa: TID251 - to make a file that must be refused.
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import snowai
from snowai import checkpoint
from snowai.checkpoint import Header, keeps_config, load, load_weights, read_header, save
from snowai.models import EyeMaskInput, SEUNet


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "network.safetensors"
    save(snowai.create_model("se_unet_tiny"), path, provenance={"licence": "Apache-2.0"})
    return path


@keeps_config
class Mine(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


def test_header_says_what_the_file_is(path):
    header = read_header(path)
    assert isinstance(header, Header)
    assert header.class_name == "SEUNet"
    assert header.config["widths"] == [16, 24, 40, 64, 96]
    assert header.provenance == {"licence": "Apache-2.0"}
    assert header.version == snowai.__version__


def test_wrapped_networks_are_rebuilt_whole(tmp_path):
    network = EyeMaskInput(snowai.create_model("se_unet_tiny"), jitter=3)
    save(network, tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors")
    assert isinstance(loaded, EyeMaskInput)
    assert isinstance(loaded.network, SEUNet)
    assert loaded.jitter == 3
    assert not loaded.training


def test_half_precision_halves_the_file_and_loads_as_float(tmp_path, path):
    half = tmp_path / "half.safetensors"
    network = load(path)
    save(network, half, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    for weight, original in zip(load(half).parameters(), network.parameters(), strict=True):
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, original, rtol=1e-3, atol=1e-4)


def test_own_classes_are_loaded_when_handed_in_and_refused_otherwise(tmp_path):
    save(Mine(3), tmp_path / "mine.safetensors")
    assert isinstance(load(tmp_path / "mine.safetensors", classes={"Mine": Mine}), Mine)
    with pytest.raises(ValueError, match=r"holds a 'Mine'; known: SEUNet"):
        load(tmp_path / "mine.safetensors")


def test_subclasses_that_keep_no_config_are_refused(tmp_path):
    class Child(Mine):
        pass

    with pytest.raises(ValueError, match="Child does not keep its config"):
        save(Child(), tmp_path / "child.safetensors")
    assert not list(tmp_path.iterdir())


def test_configs_must_be_plain():
    @keeps_config
    class Picky(nn.Module):
        def __init__(self, widths: object) -> None:
            super().__init__()

    with pytest.raises(ValueError, match="Picky.widths must be a plain value"):
        Picky({1, 2})


def test_truncated_files_are_refused(path):
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="truncated or no safetensors"):
        load(path)


def test_pickles_are_refused_without_being_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    plain, zipped = tmp_path / "a.pkl", tmp_path / "b.pt"
    plain.write_bytes(pickle.dumps(Bomb()))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    for path in (plain, zipped):
        with pytest.raises(ValueError, match="looks like a pickle"):
            load(path)
    assert not (tmp_path / "exploded").exists()


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="not a snowai checkpoint"):
        load(tmp_path / "a.safetensors")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load(tmp_path / "none.safetensors")


def test_weights_of_another_network_are_refused_and_change_nothing(path):
    other = snowai.create_model("se_unet_base")
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit SEUNet"):
        load_weights(other, path)
    torch.testing.assert_close(dict(other.state_dict()), before)


def test_half_a_checkpoint_never_half_loads(path, tmp_path):
    # strict=False would take what fits and leave the rest random.
    weights = load_file(path)
    weights.pop("stem.conv.weight")
    about = {
        "class": "SEUNet",
        "config": dict(read_header(path).config),
        "provenance": {},
        "version": "0",
    }
    save_file(weights, tmp_path / "half.safetensors", metadata={"snowai": json.dumps(about)})
    with pytest.raises(ValueError, match=r"1 names differ, e.g. \['stem.conv.weight'\]"):
        load(tmp_path / "half.safetensors")


def test_other_shapes_are_named(path):
    network = SEUNet(3, widths=(16, 24, 40, 64, 96), depths=(1, 2, 2, 2))
    with pytest.raises(ValueError, match=r"stem.conv.weight is \(16, 4, 3, 3\) in the file"):
        load_weights(network, path)


def test_configs_of_another_version_are_explained(tmp_path):
    about = {"class": "SEUNet", "config": {"depth": 3}, "provenance": {}, "version": "9.9"}
    save_file(
        {"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"snowai": json.dumps(about)}
    )
    with pytest.raises(ValueError, match="SEUNet cannot be built"):
        load(tmp_path / "a.safetensors")


def test_every_known_class_can_be_found():
    for name in checkpoint.KNOWN_CLASSES:
        assert checkpoint._class_named(name, {}, None).__name__ == name
