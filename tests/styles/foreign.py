"""Checkpoints in other libraries' formats, written by hand from a generator of ours."""

import contextlib
import pickle  # noqa: TID251 - hostile and foreign files are written here, never read.
import sys
import types
from collections import OrderedDict

import torch
from torch import nn

from snowai.models import StyleGAN2Discriminator, StyleGAN2Generator
from snowai.styles.names import mmgeneration_names, nvidia_names, rosinality_names


def networks(resolution: int = 32, **changes):
    """Return a small generator with visible noise and its discriminator, alike in all runs."""
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        resolution,
        **{"z_dim": 16, "w_dim": 16, "mapping_layers": 3, "channel_base": 512, "channel_max": 32}
        | changes,
    ).eval()
    judge = StyleGAN2Discriminator(
        resolution, channel_base=512, channel_max=32, label_dim=changes.get("label_dim", 0)
    ).eval()
    with torch.no_grad():
        for layer in generator.synthesis.layers:
            layer.noise_strength.fill_(0.3)
        for module in (generator, judge):
            for name, weight in module.named_parameters():
                if name.endswith("bias"):
                    weight.add_(torch.randn_like(weight) * 0.1)
        generator.mapping.w_avg.copy_(torch.randn(16))
    return generator, judge


def rosinality(generator, judge=None):
    """Return a checkpoint with g_ema, d and latent_avg."""
    state = {}
    for name, value in generator.state_dict().items():
        if name == "mapping.w_avg":
            continue
        theirs = rosinality_names(name, "generator")
        if theirs.endswith("conv.weight"):
            state[theirs] = value[None]
        elif theirs.endswith("noise.weight"):
            state[theirs] = value.reshape(1)
        elif "to_rgb" in theirs and theirs.endswith("bias") and "conv" not in theirs:
            state[theirs] = value.reshape(1, 3, 1, 1)
        else:
            state[theirs] = value
    for index in range(1, len(generator.synthesis.to_rgb)):
        state[f"to_rgbs.{index - 1}.upsample.kernel"] = torch.ones(4, 4)
    checkpoint = {"g_ema": state, "latent_avg": generator.mapping.w_avg.clone()}
    if judge is not None:
        checkpoint["d"] = {
            rosinality_names(name, "discriminator"): v for name, v in judge.state_dict().items()
        }
    return checkpoint


def mmgeneration(generator, judge):
    """Return a checkpoint of an MMGeneration run."""
    state = {
        f"generator_ema.{mmgeneration_names(name, 'generator')}": value
        for name, value in generator.state_dict().items()
        if name != "mapping.w_avg"
    }
    state["generator_ema.w_avg"] = generator.mapping.w_avg.clone()  # Kept by MMagic alone.
    state |= {
        f"discriminator.{mmgeneration_names(name, 'discriminator')}": value
        for name, value in judge.state_dict().items()
    }
    return {"meta": {"iter": 1}, "state_dict": state}


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the file's reconstructor was called")


@contextlib.contextmanager
def nvidia_modules():
    """Make torch_utils.persistence importable, as in NVIDIA's repository."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    kept = _reconstruct_persistent_obj.__module__
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    sys.modules |= {"torch_utils": package, "torch_utils.persistence": module}
    try:
        yield
    finally:
        _reconstruct_persistent_obj.__module__ = kept
        del sys.modules["torch_utils"], sys.modules["torch_utils.persistence"]


class Persistent:
    """Pickles as NVIDIA's persistent objects do: class name, source code and state."""

    def __init__(self, class_name, state, source="raise SystemExit('the source was run')"):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,)


def persistent(class_name, tensors):
    """Return a tree of persistent modules that holds tensors by dotted name."""
    here = OrderedDict((k, nn.Parameter(v)) for k, v in tensors.items() if "." not in k)
    below = {}
    for name, value in tensors.items():
        if "." in name:
            first, rest = name.split(".", 1)
            below.setdefault(first, {})[rest] = value
    modules = OrderedDict((name, persistent("Layer", part)) for name, part in below.items())
    buffers = OrderedDict(resample_filter=torch.ones(4, 4)) if "weight" in here else OrderedDict()
    return Persistent(
        class_name,
        {
            "training": True,
            "_parameters": here,
            "_buffers": buffers,
            "_modules": modules,
            "_non_persistent_buffers_set": set(),
        },
    )


def nvidia(generator, judge, path, *, protocol=4):
    """Write a network-snapshot.pkl."""
    tensors = {}
    for name, value in generator.state_dict().items():
        plain = value[0, 0] if name.endswith("noise_const") else value
        plain = value[0] if name == "synthesis.const" else plain
        tensors[nvidia_names(name, "generator")] = plain
    size = generator.resolution
    judged = {
        nvidia_names(name, "discriminator", resolution=size): v
        for name, v in judge.state_dict().items()
    }
    contents = {
        "training_set_kwargs": {"path": "x.zip", "use_labels": False},
        "G": None,
        "D": persistent("Discriminator", judged),
        "G_ema": persistent("Generator", tensors),
        "augment_pipe": None,
    }
    with nvidia_modules():
        path.write_bytes(pickle.dumps(contents, protocol=protocol))
    return path
