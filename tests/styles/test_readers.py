"""Foreign checkpoints: read exactly, and never run."""

import argparse
import io
import os
import pickle  # noqa: TID251 - to write hostile files, and to show that they are.
import pickletools
import struct

import pytest
import torch
from foreign import Persistent, mmgeneration, networks, nvidia, nvidia_modules, rosinality

from snowai.styles import read_stylegan2
from snowai.styles.names import mmgeneration_names, nvidia_names, rosinality_names


@pytest.fixture(autouse=True)
def _nothing_may_run(monkeypatch, tmp_path):
    """A file that runs anything leaves a trace here."""
    monkeypatch.setenv("SNOWAI_TRACE", str(tmp_path / "trace"))
    yield
    assert not (tmp_path / "trace").exists()


def same(foreign, generator, judge):
    z, image = torch.randn(2, 16), torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(foreign.generator(z), generator(z))
    torch.testing.assert_close(foreign.generator(z, truncation=0.5), generator(z, truncation=0.5))
    torch.testing.assert_close(foreign.discriminator(image), judge(image))


def test_rosinality_is_read_with_its_training_arguments(tmp_path):
    generator, judge = networks()
    contents = rosinality(generator, judge) | {"args": argparse.Namespace(size=32, iter=8)}
    torch.save(contents, tmp_path / "550000.pt")
    foreign = read_stylegan2(tmp_path / "550000.pt")
    same(foreign, generator, judge)
    assert foreign.format == "rosinality"
    assert foreign.found["resolution"] == "32"
    assert foreign.found["channels"] == "4: 32, 8: 32, 16: 32, 32: 16"
    assert foreign.found["mapping"] == "3 layers, z 16, w 16"


def test_rosinality_of_old_torch_is_read(tmp_path):
    generator, judge = networks()
    path = tmp_path / "old.pt"
    torch.save(rosinality(generator, judge), path, _use_new_zipfile_serialization=False)
    same(read_stylegan2(path), generator, judge)


def test_a_bare_state_dict_without_noise_and_average_is_completed(tmp_path):
    generator, _ = networks()
    state = rosinality(generator)["g_ema"]
    torch.save({k: v for k, v in state.items() if "noises" not in k}, tmp_path / "bare.pt")
    foreign = read_stylegan2(tmp_path / "bare.pt")
    assert foreign.discriminator is None
    assert foreign.found["noise"].startswith("not in the file")
    assert foreign.found["w_avg"].startswith("not in the file")
    z = torch.randn(4096, 16, generator=torch.Generator().manual_seed(1))
    mean = generator.mapping(z)[:, 0].mean(dim=0)
    torch.testing.assert_close(foreign.generator.mapping.w_avg, mean, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_nvidia_is_read_and_its_source_is_not_run(tmp_path, protocol):
    generator, judge = networks()
    path = nvidia(generator, judge, tmp_path / "network-snapshot.pkl", protocol=protocol)
    foreign = read_stylegan2(path)
    same(foreign, generator, judge)
    assert (foreign.format, foreign.found["generator"]) == ("NVIDIA", "G_ema")


def test_nvidia_with_labels_is_read(tmp_path):
    generator, judge = networks(label_dim=3)
    foreign = read_stylegan2(nvidia(generator, judge, tmp_path / "labels.pkl"))
    z, labels, image = torch.randn(3, 16), torch.eye(3), torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(foreign.generator(z, labels), generator(z, labels))
    torch.testing.assert_close(foreign.discriminator(image, labels), judge(image, labels))


def test_mmgeneration_is_read(tmp_path):
    generator, judge = networks()
    checkpoint = mmgeneration(generator, judge)
    torch.save(checkpoint, tmp_path / "iter.pth")
    foreign = read_stylegan2(tmp_path / "iter.pth")
    assert foreign.found["generator"] == "generator_ema"
    same(foreign, generator, judge)
    del checkpoint["state_dict"]["generator_ema.w_avg"]
    torch.save(checkpoint, tmp_path / "older.pth")
    foreign = read_stylegan2(tmp_path / "older.pth")
    assert foreign.found["w_avg"].startswith("not in the file")


def test_blue_green_red_is_turned(tmp_path):
    generator, judge = networks()
    torch.save(mmgeneration(generator, judge), tmp_path / "bgr.pth")
    foreign = read_stylegan2(tmp_path / "bgr.pth", bgr=True)
    z, image = torch.randn(1, 16), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(foreign.generator(z), generator(z).flip(1))
    torch.testing.assert_close(foreign.discriminator(image.flip(1)), judge(image))


def test_a_wrong_size_is_not_half_loaded(tmp_path):
    generator, _ = networks()
    contents = rosinality(generator)
    contents["g_ema"]["convs.1.conv.weight"] = torch.zeros(1, 8, 32, 3, 3)
    torch.save(contents, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=r"channels, \[32, 8, 32, 16\], do not halve"):
        read_stylegan2(tmp_path / "odd.pt")
    contents = rosinality(generator)
    del contents["g_ema"]["convs.1.activate.bias"]
    torch.save(contents, tmp_path / "gone.pt")
    with pytest.raises(ValueError, match=r"convs.1.activate.bias is missing in the generator"):
        read_stylegan2(tmp_path / "gone.pt")
    contents = rosinality(generator)
    contents["g_ema"]["convs.9.extra"] = torch.zeros(1)
    torch.save(contents, tmp_path / "more.pt")
    with pytest.raises(ValueError, match=r"1 weights that StyleGAN2 lacks"):
        read_stylegan2(tmp_path / "more.pt")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("progression.0.conv1.weight", "progressive"),
        ("synthesis.L0_36_512.weight", "StyleGAN3"),
        ("g_synthesis.blocks.4x4.const", "StyleGAN1"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path, key, name):
    torch.save({"g_ema": {key: torch.zeros(2, 2)}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=name):
        read_stylegan2(tmp_path / "other.pt")


def test_stylegan3_pickles_are_refused_by_name(tmp_path):
    from foreign import persistent

    tensors = {
        "synthesis.L0_36_512.weight": torch.zeros(2, 2),
        "synthesis.input.freqs": torch.ones(2),
    }
    with nvidia_modules():
        data = pickle.dumps({"G_ema": persistent("Generator", tensors)})
    (tmp_path / "sg3.pkl").write_bytes(data)
    with pytest.raises(ValueError, match="StyleGAN3"):
        read_stylegan2(tmp_path / "sg3.pkl")


def test_truncated_files_are_named(tmp_path):
    generator, judge = networks()
    torch.save(rosinality(generator), tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half.pt is truncated"):
        read_stylegan2(tmp_path / "half.pt")
    data = nvidia(generator, judge, tmp_path / "whole.pkl").read_bytes()
    (tmp_path / "half.pkl").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half.pkl is (damaged|refused)"):
        read_stylegan2(tmp_path / "half.pkl")
    torch.save(rosinality(generator), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "old.pt").read_bytes()
    (tmp_path / "old.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"old.pt is (truncated|refused)"):
        read_stylegan2(tmp_path / "old.pt")


def test_an_absent_file_is_named():
    with pytest.raises(FileNotFoundError, match="no/such.pt"):
        read_stylegan2("no/such.pt")


def TypedStorage(count):  # noqa: N802 - torch warns when one is asked for by its front door.
    numbers = torch.zeros(count)
    return torch.storage.TypedStorage(
        wrap_storage=numbers.untyped_storage(), dtype=numbers.dtype, _internal=True
    )


class Reduces:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def trace():
    """The command that a hostile file would run."""
    return "touch $SNOWAI_TRACE"


def hostile():
    """A dozen ways in, by name."""
    import builtins
    import functools
    import importlib
    import subprocess

    run = (os.system, (trace(),))
    yield "os.system", pickle.dumps(Reduces(*run))
    yield "subprocess", pickle.dumps(Reduces(subprocess.getoutput, (trace(),)))
    yield "eval", pickle.dumps(Reduces(builtins.eval, (f"__import__('os').system('{trace()}')",)))
    yield "exec", pickle.dumps(Reduces(builtins.exec, (f"import os; os.system('{trace()}')",)))
    yield (
        "getattr chain",
        pickle.dumps(Reduces(getattr, (Reduces(importlib.import_module, ("os",)), "system"))),
    )
    yield "partial", pickle.dumps(Reduces(functools.partial, (os.system, trace())))
    yield "hidden in a dict", pickle.dumps({"G_ema": Reduces(*run), "D": None})
    yield "state setter", pickle.dumps(Reduces(argparse.Namespace, (), {"x": Reduces(*run)}))
    # The module's name with a path inside: "torch._utils" has os by way of its imports.
    yield "nested module", b"ctorch._utils\nos.system\n(S'" + trace().encode() + b"'\ntR."
    yield "allowed module, other name", b"ctorch._utils\n_import_dotted_name\n(S'os'\ntR."
    yield (
        "stack global",
        (
            b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x13"
            + trace().encode()
            + b"\x94\x85\x94R\x94."
        ),
    )
    yield "old class instance", b"(S'" + trace().encode() + b"'\nios\nsystem\n."
    yield "extension registry", b"\x80\x02\x82\x01."
    yield "persistent id", b"P1\n."
    yield "memo far away", b"\x80\x02}r\xff\xff\xff\x7f."
    yield "huge bytes", b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x."
    yield "huge string", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x."
    yield "itself within itself", b"\x80\x02]q\x00h\x00a."
    with nvidia_modules():
        inner = Persistent("Generator", {"_parameters": {"w": Reduces(*run)}})
        yield "inside a network", pickle.dumps({"G_ema": inner})
        storage = io.BytesIO()
        torch.save(Reduces(*run), storage, _use_new_zipfile_serialization=False)
        loader = Reduces(torch.storage._load_from_bytes, (storage.getvalue(),))
        yield "inside a storage", pickle.dumps({"G_ema": Persistent("Generator", {"x": loader})})
        yield "storage that claims too much", pickle.dumps(_claims_too_much())
        lying = Reduces(
            torch._utils._rebuild_tensor_v2,
            (TypedStorage(4), 0, (2**20, 2**20), (0, 0), False, {}),
        )
        state = {"_parameters": {"w": lying}}
        yield "tensor that grows", pickle.dumps({"G_ema": Persistent("Generator", state)})
        outside = Reduces(
            torch._utils._rebuild_tensor_v2,
            (TypedStorage(4), 2, (4,), (1,), False, {}),
        )
        state = {"_parameters": {"w": outside}}
        yield "tensor beyond its storage", pickle.dumps({"G_ema": Persistent("Generator", state)})


def _claims_too_much():
    stream = io.BytesIO()
    torch.save(TypedStorage(300), stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    honest = b"M" + struct.pack("<H", 300)
    assert honest in data
    lying = data.replace(honest, b"J" + struct.pack("<i", 2**30))
    return {"G_ema": Reduces(torch.storage._load_from_bytes, (lying,))}


def test_hostile_pickles_are_refused_without_running(tmp_path):
    names = []
    for name, data in hostile():
        path = tmp_path / "hostile.pkl"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"hostile.pkl") as refusal:
            read_stylegan2(path)
        assert len(str(refusal.value)) < 400, name
        names.append(name)
    assert len(set(names)) >= 12


def test_a_hostile_zip_is_refused_without_running(tmp_path):
    torch.save({"g_ema": Reduces(os.system, (trace(),))}, tmp_path / "hostile.pt")
    with pytest.raises(ValueError, match=r"hostile.pt is refused, nothing in it was run"):
        read_stylegan2(tmp_path / "hostile.pt")


def test_the_hostile_pickles_would_run_elsewhere(tmp_path):
    """The test above could not fail if its files were harmless."""
    ran = 0
    for name, data in hostile():
        if name in ("os.system", "subprocess", "eval", "exec", "stack global"):
            pickletools.dis(data, out=io.StringIO())
            pickle.loads(data)
            assert (tmp_path / "trace").exists(), name
            (tmp_path / "trace").unlink()
            ran += 1
    assert ran == 5


def test_tensorflow_pickles_get_advice(tmp_path):
    (tmp_path / "tf.pkl").write_bytes(b"cdnnlib.tflib.network\nNetwork\n(tR.")
    with pytest.raises(ValueError, match=r"TensorFlow pickle. Save it as PyTorch"):
        read_stylegan2(tmp_path / "tf.pkl")


NAMES = {
    "mapping.layers.0.weight": (
        "style.1.weight",
        "style_mapping.1.linear.weight_orig",
        "mapping.fc0.weight",
    ),
    "synthesis.const": ("input.input", "constant_input.input", "synthesis.b4.const"),
    "synthesis.layers.0.weight": (
        "conv1.conv.weight",
        "conv1.conv.weight_orig",
        "synthesis.b4.conv1.weight",
    ),
    "synthesis.layers.3.affine.bias": (
        "convs.2.conv.modulation.bias",
        "convs.2.conv.style_modulation.bias",
        "synthesis.b16.conv0.affine.bias",
    ),
    "synthesis.layers.4.noise_strength": (
        "convs.3.noise.weight",
        "convs.3.noise_injector.weight",
        "synthesis.b16.conv1.noise_strength",
    ),
    "synthesis.layers.4.noise_const": (
        "noises.noise_4",
        "injected_noise_4",
        "synthesis.b16.conv1.noise_const",
    ),
    "synthesis.to_rgb.0.bias": ("to_rgb1.bias", "to_rgb1.bias", "synthesis.b4.torgb.bias"),
    "synthesis.to_rgb.2.affine.weight": (
        "to_rgbs.1.conv.modulation.weight",
        "to_rgbs.1.conv.style_modulation.linear.weight_orig",
        "synthesis.b16.torgb.affine.weight",
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), NAMES.items(), ids=NAMES)
def test_names_are_those_that_the_libraries_write(ours, theirs):
    assert theirs == (
        rosinality_names(ours, "generator"),
        mmgeneration_names(ours, "generator"),
        nvidia_names(ours, "generator"),
    )
