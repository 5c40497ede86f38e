"""Our names of StyleGAN2's weights in the words of other libraries."""

import re

from snowai.models import layer_resolution

__all__ = ["mmgeneration_names", "nvidia_names", "rosinality_names"]

Words = dict[str, str]

_LAYER = re.compile(r"synthesis\.(layers|to_rgb)\.(\d+)\.(.+)")
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_MAPPING = re.compile(r"mapping\.layers\.(\d+)\.(.+)")


def rosinality_names(name: str, kind: str) -> str:
    """Translate a weight's name; ``kind`` is "generator" or "discriminator".

    Example:
        >>> rosinality_names("synthesis.layers.3.affine.weight", "generator")
        'convs.2.conv.modulation.weight'
    """
    return _numbered(name, kind, _ROSINALITY)


def mmgeneration_names(name: str, kind: str) -> str:
    """Translate a weight's name; MMGeneration keeps equalised weights as ``weight_orig``.

    Example:
        >>> mmgeneration_names("synthesis.to_rgb.0.weight", "generator")
        'to_rgb1.conv.weight_orig'
    """
    return _numbered(name, kind, _MMGENERATION)


def nvidia_names(name: str, kind: str, *, resolution: int = 256) -> str:
    """Translate a weight's name; NVIDIA calls blocks by the size they work at.

    Args:
        name: Ours.
        kind: "generator" or "discriminator".
        resolution: Of the discriminator, whose blocks we count from the finest.

    Example:
        >>> nvidia_names("synthesis.layers.3.weight", "generator")
        'synthesis.b16.conv0.weight'
    """
    if match := _MAPPING.fullmatch(name):
        return f"mapping.fc{match[1]}.{match[2]}"
    if match := _LAYER.fullmatch(name):
        index = int(match[2])
        if match[1] == "to_rgb":
            return f"synthesis.b{4 * 2**index}.torgb.{match[3]}"
        return f"synthesis.b{layer_resolution(index)}.conv{1 - index % 2}.{match[3]}"
    if match := _BLOCK.fullmatch(name):
        return f"b{resolution // 2 ** int(match[1])}.{match[2]}"
    first, _, rest = name.partition(".")
    if kind == "discriminator" and first in ("from_rgb", *_NVIDIA_ENDS):
        return (
            f"b{resolution}.fromrgb.{rest}" if first == "from_rgb" else _NVIDIA_ENDS[first] + rest
        )
    return "synthesis.b4.const" if name == "synthesis.const" else name


def _numbered(name: str, kind: str, words: Words) -> str:
    """Translate for libraries that set the first layer apart and number the others from 0."""
    if match := _MAPPING.fullmatch(name):
        return words[f"mapping.{match[2]}"].format(int(match[1]) + 1)
    if match := _LAYER.fullmatch(name):
        index, rest = int(match[2]), match[3]
        if rest == "noise_const":
            return words[rest].format(index)
        first, others = ("conv1", "convs") if match[1] == "layers" else ("to_rgb1", "to_rgbs")
        block = f"{others}.{index - 1}" if index else first
        return f"{block}.{words[f'{match[1]}.{rest}']}"
    if match := _BLOCK.fullmatch(name):
        return f"convs.{int(match[1]) + 1}.{words[match[2]]}"
    return words.get(name, name) if kind == "discriminator" or name == "synthesis.const" else name


_ROSINALITY: Words = {
    "mapping.weight": "style.{}.weight",
    "mapping.bias": "style.{}.bias",
    "synthesis.const": "input.input",
    "noise_const": "noises.noise_{}",
    "layers.weight": "conv.weight",
    "layers.bias": "activate.bias",
    "layers.noise_strength": "noise.weight",
    "layers.affine.weight": "conv.modulation.weight",
    "layers.affine.bias": "conv.modulation.bias",
    "to_rgb.weight": "conv.weight",
    "to_rgb.bias": "bias",
    "to_rgb.affine.weight": "conv.modulation.weight",
    "to_rgb.affine.bias": "conv.modulation.bias",
    # The discriminator.
    "from_rgb.weight": "convs.0.0.weight",
    "from_rgb.bias": "convs.0.1.bias",
    "conv0.weight": "conv1.0.weight",
    "conv0.bias": "conv1.1.bias",
    "conv1.weight": "conv2.1.weight",
    "conv1.bias": "conv2.2.bias",
    "skip.weight": "skip.1.weight",
    "conv.weight": "final_conv.0.weight",
    "conv.bias": "final_conv.1.bias",
    "linear.weight": "final_linear.0.weight",
    "linear.bias": "final_linear.0.bias",
    "logit.weight": "final_linear.1.weight",
    "logit.bias": "final_linear.1.bias",
}

_MMGENERATION: Words = _ROSINALITY | {
    "mapping.weight": "style_mapping.{}.linear.weight_orig",
    "mapping.bias": "style_mapping.{}.bias",
    "synthesis.const": "constant_input.input",
    "noise_const": "injected_noise_{}",
    "layers.weight": "conv.weight_orig",
    "layers.noise_strength": "noise_injector.weight",
    "layers.affine.weight": "conv.style_modulation.linear.weight_orig",
    "layers.affine.bias": "conv.style_modulation.bias",
    "to_rgb.weight": "conv.weight_orig",
    "to_rgb.affine.weight": "conv.style_modulation.linear.weight_orig",
    "to_rgb.affine.bias": "conv.style_modulation.bias",
    "from_rgb.weight": "convs.0.0.conv.weight_orig",
    "conv0.weight": "conv1.0.conv.weight_orig",
    "conv1.weight": "conv2.1.conv.weight_orig",
    "skip.weight": "skip.1.conv.weight_orig",
    "conv.weight": "final_conv.0.conv.weight_orig",
    "linear.weight": "final_linear.0.linear.weight_orig",
    "logit.weight": "final_linear.1.linear.weight_orig",
}

_NVIDIA_ENDS: Words = {"conv": "b4.conv.", "linear": "b4.fc.", "logit": "b4.out."}
