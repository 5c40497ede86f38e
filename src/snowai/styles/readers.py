"""Read everybody's StyleGAN2: rosinality's .pt, NVIDIA's .pkl, MMGeneration's .pth.

All three hold the same numbers under other names, so a reader is a table from our names to
theirs. Files are never trusted: torch's weights_only reader and :mod:`snowai.styles.unpickle`
build tensors and run nothing.
"""

import argparse
import pickle  # noqa: TID251 - for its exception only.
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from snowai.models import StyleGAN2Discriminator, StyleGAN2Generator
from snowai.models.stylegan2_layers import ToRGB
from snowai.styles.names import mmgeneration_names, nvidia_names, rosinality_names
from snowai.styles.unpickle import Record, read_pickle

__all__ = ["Foreign", "read_stylegan2"]

Format = Literal["rosinality", "NVIDIA", "MMGeneration"]
State = Mapping[str, Tensor]
Names = Callable[[str, str], str]
"""(Our name, "generator" or "discriminator") -> theirs."""

_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_AVERAGE_OF = 4096  # Latents that w_avg is computed from when a file has none.

_STRANGERS = {
    "synthesis.L0_": "a StyleGAN3 network",
    "synthesis.input.": "a StyleGAN3 network",
    "progression.": "a progressive (StyleGAN1 or ProGAN) network",
    "torgb_layers.": "a progressive (ProGAN) network",
    "g_synthesis.": "a StyleGAN1 network",
    "generator.progression.": "a progressive (StyleGAN1) network",
}


@dataclass(frozen=True)
class Foreign:
    """What a foreign checkpoint held.

    Args:
        generator: The averaged one when the file has it.
        discriminator: None when the file has none that fits.
        format: Whose naming it is.
        found: Facts for a table: resolution, channels, what was missing and made up for.
    """

    generator: StyleGAN2Generator
    discriminator: StyleGAN2Discriminator | None
    format: Format
    found: Mapping[str, str]


def read_stylegan2(path: str | Path, *, bgr: bool = False) -> Foreign:
    """Read a StyleGAN2 checkpoint of another library.

    Args:
        path: .pt, .pth or .pkl file.
        bgr: The network draws blue, green, red, as some of MMGeneration's do; turned to RGB.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, refused, or holds another network (named).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    contents = _open(path)
    try:
        states = _states(contents)
        config = _config(states)
        generator, found = _generator(states, config)
        discriminator = _discriminator(states, config, found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if bgr:
        _swap_red_and_blue(generator, discriminator)
        found["colours"] = "blue, green, red; turned to red, green, blue"
    return Foreign(generator, discriminator, states.format, found)


@dataclass(frozen=True)
class _States:
    """The file's weights by network, and how they are called."""

    format: Format
    names: Names
    generator: State
    discriminator: State
    which: str
    w_avg: Tensor | None = None


def _open(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(len(_LEGACY_TORCH))
    if start[:2] == b"PK" and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is truncated: it starts as a .pt file and has no end.")
    if start[:2] != b"PK" and start != _LEGACY_TORCH:
        return read_pickle(path)
    try:
        # Training scripts keep their arguments beside the weights; a Namespace holds plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise ValueError(f"{path} is refused, nothing in it was run: {reason}") from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is truncated or damaged ({str(error).splitlines()[0]})."
        ) from None


def _states(contents: Any) -> _States:
    if not isinstance(contents, Mapping):
        raise ValueError(f"a checkpoint is a dictionary; this holds a {type(contents).__name__}.")
    if any(isinstance(value, Record) for value in contents.values()):
        return _from_nvidia(contents)
    state = contents.get("state_dict", contents)
    if any(str(key).endswith("constant_input.input") for key in state):
        return _from_mmgeneration(state)
    return _from_rosinality(contents)


def _from_rosinality(contents: Mapping[str, Any]) -> _States:
    which = next((key for key in ("g_ema", "g") if key in contents), None)
    if which is None and "input.input" not in contents:
        raise ValueError(_stranger(contents) or f"no generator found; keys: {list(contents)[:8]}.")
    generator = _tensors(contents[which] if which else contents)
    if "conv1.conv.weight" not in generator:
        raise ValueError(_stranger(generator) or f"no StyleGAN2: keys {list(generator)[:5]}.")
    average = contents.get("latent_avg")
    return _States(
        "rosinality",
        rosinality_names,
        generator,
        _tensors(contents.get("d", {})),
        which or "state dict",
        average.flatten() if isinstance(average, Tensor) else None,
    )


def _from_mmgeneration(state: Mapping[str, Any]) -> _States:
    for prefix in ("generator_ema.", "generator.", ""):
        if f"{prefix}constant_input.input" in state:
            break
    return _States(
        "MMGeneration",
        mmgeneration_names,
        _under(state, prefix),
        _under(state, "discriminator."),
        prefix.rstrip(".") or "state dict",
        state.get(f"{prefix}w_avg"),
    )


def _from_nvidia(contents: Mapping[str, Any]) -> _States:
    which = next((key for key in ("G_ema", "G") if isinstance(contents.get(key), Record)), None)
    if which is None:
        raise ValueError(f"no generator found; keys: {list(contents)[:8]}.")
    generator = contents[which].tensors()
    if "synthesis.b4.const" not in generator:
        named = contents[which].class_name
        raise ValueError(_stranger(generator) or f"a {named} that is no StyleGAN2.")
    judge = contents.get("D")
    sizes = [re.match(r"synthesis\.b(\d+)\.", key) for key in generator]
    resolution = max(int(size[1]) for size in sizes if size)
    return _States(
        "NVIDIA",
        partial(nvidia_names, resolution=resolution),
        generator,
        judge.tensors() if isinstance(judge, Record) else {},
        which,
        generator.get("mapping.w_avg"),
    )


def _generator(
    states: _States, config: Mapping[str, int]
) -> tuple[StyleGAN2Generator, dict[str, str]]:
    generator = StyleGAN2Generator(**config).eval().requires_grad_(False)
    found = {
        "format": states.format,
        "generator": states.which,
        "resolution": f"{generator.resolution}",
        "channels": ", ".join(
            f"{layer.resolution}: {layer.weight.shape[0]}"
            for layer in generator.synthesis.styled_convs()[::2]
        ),
        "mapping": f"{config['mapping_layers']} layers, z {config['z_dim']}, w {config['w_dim']}",
        "labels": f"{config['label_dim']}" if config["label_dim"] else "none",
    }
    optional = ("noise_const", "mapping.w_avg")
    missing = _fill(generator, states, "generator", optional)
    if any(name.endswith("noise_const") for name in missing):
        _make_noise(generator)
        found["noise"] = "not in the file; drawn with seed 0"
    if states.w_avg is not None:
        generator.mapping.w_avg.copy_(states.w_avg)
    elif config["label_dim"] == 0:
        z = torch.randn(_AVERAGE_OF, generator.z_dim, generator=torch.Generator().manual_seed(0))
        generator.mapping.w_avg.copy_(generator.mapping(z)[:, 0].mean(dim=0))
        found["w_avg"] = f"not in the file; the mean of {_AVERAGE_OF} latents"
    return generator, found


def _discriminator(
    states: _States, config: Mapping[str, int], found: dict[str, str]
) -> StyleGAN2Discriminator | None:
    if not states.discriminator:
        found["discriminator"] = "none in the file"
        return None
    kept = {key: config[key] for key in ("resolution", "channel_base", "channel_max", "label_dim")}
    judged = [key for key in states.discriminator if re.fullmatch(r"mapping\.fc\d+\.weight", key)]
    depth = {"mapping_layers": len(judged)} if judged else {}
    try:
        judge = StyleGAN2Discriminator(**kept, **depth).eval()
        _fill(judge, states, "discriminator", ("mapping.w_avg",))
    except ValueError as error:
        found["discriminator"] = f"not read: {error}"
        return None
    found["discriminator"] = "read"
    return judge


def _config(states: _States) -> dict[str, int]:
    """Infer the constructor's arguments from the shapes."""
    names, state = states.names, states.generator
    channels = [_shape(state, names("synthesis.layers.0.weight", "generator"))[-4]]
    while (key := names(f"synthesis.layers.{2 * len(channels)}.weight", "generator")) in state:
        channels.append(_shape(state, key)[-4])
    resolution = 4 * 2 ** (len(channels) - 1)
    most = channels[0]
    base = channels[-1] * resolution
    if channels != [max(min(base // (4 * 2**k), most), 1) for k in range(len(channels))]:
        raise ValueError(f"its channels, {channels}, do not halve as StyleGAN2's do.")
    depth = 0
    while names(f"mapping.layers.{depth}.weight", "generator") in state:
        depth += 1
    if depth == 0:
        raise ValueError("it has no mapping network.")
    w_dim, first = _shape(state, names("mapping.layers.0.weight", "generator"))
    embed = state.get("mapping.embed.weight")
    labels = 0 if embed is None else int(embed.shape[1])
    return {
        "resolution": resolution,
        "z_dim": first - (w_dim if labels else 0),
        "w_dim": w_dim,
        "mapping_layers": depth,
        "channel_base": base,
        "channel_max": most,
        "label_dim": labels,
    }


def _fill(
    network: nn.Module,
    states: _States,
    kind: Literal["generator", "discriminator"],
    optional: tuple[str, ...],
) -> list[str]:
    """Copy every weight; return the optional ones that the file lacks."""
    state = states.generator if kind == "generator" else states.discriminator
    missing, used = [], set[str]()
    weights: dict[str, Tensor] = {}
    for name, wanted in network.state_dict().items():
        theirs = states.names(name, kind)
        if theirs not in state:
            if not name.endswith(optional):
                raise ValueError(f"{theirs} is missing in the {kind}.")
            missing.append(name)
            weights[name] = wanted
            continue
        used.add(theirs)
        given = state[theirs]
        if given.numel() != wanted.numel() or _trimmed(given) != _trimmed(wanted):
            raise ValueError(
                f"{theirs} has shape {tuple(given.shape)}; a {kind} of this size has "
                f"{tuple(wanted.shape)}."
            )
        weights[name] = given.reshape(wanted.shape).float()
    odd = [key for key in state if key not in used and not _is_fixed(key)]
    if odd:
        raise ValueError(f"the {kind} has {len(odd)} weights that StyleGAN2 lacks, e.g. {odd[:3]}.")
    network.load_state_dict(weights)
    return missing


def _is_fixed(key: str) -> bool:
    """Whether a foreign buffer holds a filter, or a copy of what is read elsewhere."""
    return key.endswith(("kernel", "resample_filter", "w_avg"))


def _trimmed(tensor: Tensor) -> list[int]:
    return [side for side in tensor.shape if side != 1]


def _shape(state: State, name: str) -> tuple[int, ...]:
    if name not in state:
        raise ValueError(f"{name} is missing.")
    return tuple(state[name].shape)


def _make_noise(generator: StyleGAN2Generator) -> None:
    drawn = generator.synthesis.draw_noise(1, generator=torch.Generator().manual_seed(0))
    for stored, noise in zip(generator.synthesis.noise_const(), drawn, strict=True):
        stored.copy_(noise)


def _swap_red_and_blue(
    generator: StyleGAN2Generator, discriminator: StyleGAN2Discriminator | None
) -> None:
    with torch.no_grad():
        for layer in (cast("ToRGB", x) for x in generator.synthesis.to_rgb):
            layer.weight.copy_(layer.weight.flip(0))
            layer.bias.copy_(layer.bias.flip(0))
        if discriminator is not None:
            weight = discriminator.from_rgb.weight
            weight.copy_(weight.flip(1))


def _stranger(keys: Mapping[str, Any]) -> str | None:
    """Name a network that is known but not ours."""
    for start, name in _STRANGERS.items():
        if any(str(key).startswith(start) for key in keys):
            return f"it holds {name}; only StyleGAN2 is read."
    return None


def _tensors(values: Any) -> dict[str, Tensor]:
    if not isinstance(values, Mapping):
        return {}
    return {str(k).removeprefix("module."): v for k, v in values.items() if isinstance(v, Tensor)}


def _under(state: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {
        str(key).removeprefix(prefix): value
        for key, value in state.items()
        if isinstance(value, Tensor) and str(key).startswith(prefix)
    }
