"""Our names of StyleGAN2's weights in the words of other libraries."""

import re
from collections.abc import Mapping, Sequence

__all__ = ["mmgeneration_names", "nvidia_names", "rosinality_names"]

Rules = Sequence[tuple[str, str]]


def rosinality_names(name: str, kind: str) -> str:
    """Translate a weight's name; ``kind`` is "generator" or "discriminator".

    Example:
        >>> rosinality_names("synthesis.layers.3.affine.weight", "generator")
        'convs.2.conv.modulation.weight'
    """
    return _translate(name, _ROSINALITY[kind])


def mmgeneration_names(name: str, kind: str) -> str:
    """Translate a weight's name; MMGeneration keeps equalised weights as ``weight_orig``.

    Example:
        >>> mmgeneration_names("synthesis.to_rgb.0.weight", "generator")
        'to_rgb1.conv.weight_orig'
    """
    return _translate(name, _MMGENERATION[kind])


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
    if kind == "generator":
        if match := re.fullmatch(r"synthesis\.layers\.(\d+)\.(.+)", name):
            index = int(match[1])
            return f"synthesis.b{_size(index)}.conv{1 - index % 2}.{match[2]}"
        if match := re.fullmatch(r"synthesis\.to_rgb\.(\d+)\.(.+)", name):
            return f"synthesis.b{4 * 2 ** int(match[1])}.torgb.{match[2]}"
        return _translate(name, _NVIDIA_GENERATOR)
    if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
        return f"b{resolution // 2 ** int(match[1])}.{match[2]}"
    if name.startswith("from_rgb."):
        return f"b{resolution}.fromrgb.{name.removeprefix('from_rgb.')}"
    return _translate(name, _NVIDIA_DISCRIMINATOR)


def _translate(name: str, rules: Rules) -> str:
    for pattern, theirs in rules:
        if match := re.fullmatch(pattern, name):
            return match.expand(_shifted(theirs, match))
    return name


def _shifted(template: str, match: re.Match[str]) -> str:
    """Fill {1+1}: the first group as a number, plus one."""
    return re.sub(r"\{1([+-]\d+)\}", lambda shift: str(int(match[1]) + int(shift[1])), template)


def _size(index: int) -> int:
    return int(4 * 2 ** ((index + 1) // 2))


_ROSINALITY: Mapping[str, Rules] = {
    "generator": (
        (r"mapping\.layers\.(\d+)\.(weight|bias)", r"style.{1+1}.\2"),
        (r"synthesis\.const", r"input.input"),
        (r"synthesis\.layers\.(\d+)\.noise_const", r"noises.noise_\1"),
        (r"synthesis\.layers\.0\.weight", r"conv1.conv.weight"),
        (r"synthesis\.layers\.0\.bias", r"conv1.activate.bias"),
        (r"synthesis\.layers\.0\.noise_strength", r"conv1.noise.weight"),
        (r"synthesis\.layers\.0\.affine\.(.+)", r"conv1.conv.modulation.\1"),
        (r"synthesis\.layers\.(\d+)\.weight", r"convs.{1-1}.conv.weight"),
        (r"synthesis\.layers\.(\d+)\.bias", r"convs.{1-1}.activate.bias"),
        (r"synthesis\.layers\.(\d+)\.noise_strength", r"convs.{1-1}.noise.weight"),
        (r"synthesis\.layers\.(\d+)\.affine\.(.+)", r"convs.{1-1}.conv.modulation.\2"),
        (r"synthesis\.to_rgb\.0\.weight", r"to_rgb1.conv.weight"),
        (r"synthesis\.to_rgb\.0\.bias", r"to_rgb1.bias"),
        (r"synthesis\.to_rgb\.0\.affine\.(.+)", r"to_rgb1.conv.modulation.\1"),
        (r"synthesis\.to_rgb\.(\d+)\.weight", r"to_rgbs.{1-1}.conv.weight"),
        (r"synthesis\.to_rgb\.(\d+)\.bias", r"to_rgbs.{1-1}.bias"),
        (r"synthesis\.to_rgb\.(\d+)\.affine\.(.+)", r"to_rgbs.{1-1}.conv.modulation.\2"),
    ),
    "discriminator": (
        (r"from_rgb\.weight", r"convs.0.0.weight"),
        (r"from_rgb\.bias", r"convs.0.1.bias"),
        (r"blocks\.(\d+)\.conv0\.weight", r"convs.{1+1}.conv1.0.weight"),
        (r"blocks\.(\d+)\.conv0\.bias", r"convs.{1+1}.conv1.1.bias"),
        (r"blocks\.(\d+)\.conv1\.weight", r"convs.{1+1}.conv2.1.weight"),
        (r"blocks\.(\d+)\.conv1\.bias", r"convs.{1+1}.conv2.2.bias"),
        (r"blocks\.(\d+)\.skip\.weight", r"convs.{1+1}.skip.1.weight"),
        (r"conv\.weight", r"final_conv.0.weight"),
        (r"conv\.bias", r"final_conv.1.bias"),
        (r"linear\.(.+)", r"final_linear.0.\1"),
        (r"logit\.(.+)", r"final_linear.1.\1"),
    ),
}

_MMGENERATION: Mapping[str, Rules] = {
    "generator": (
        (r"mapping\.layers\.(\d+)\.weight", r"style_mapping.{1+1}.linear.weight_orig"),
        (r"mapping\.layers\.(\d+)\.bias", r"style_mapping.{1+1}.bias"),
        (r"synthesis\.const", r"constant_input.input"),
        (r"synthesis\.layers\.(\d+)\.noise_const", r"injected_noise_\1"),
        (r"synthesis\.layers\.0\.weight", r"conv1.conv.weight_orig"),
        (r"synthesis\.layers\.0\.bias", r"conv1.activate.bias"),
        (r"synthesis\.layers\.0\.noise_strength", r"conv1.noise_injector.weight"),
        (
            r"synthesis\.layers\.0\.affine\.weight",
            r"conv1.conv.style_modulation.linear.weight_orig",
        ),
        (r"synthesis\.layers\.0\.affine\.bias", r"conv1.conv.style_modulation.bias"),
        (r"synthesis\.layers\.(\d+)\.weight", r"convs.{1-1}.conv.weight_orig"),
        (r"synthesis\.layers\.(\d+)\.bias", r"convs.{1-1}.activate.bias"),
        (r"synthesis\.layers\.(\d+)\.noise_strength", r"convs.{1-1}.noise_injector.weight"),
        (
            r"synthesis\.layers\.(\d+)\.affine\.weight",
            r"convs.{1-1}.conv.style_modulation.linear.weight_orig",
        ),
        (r"synthesis\.layers\.(\d+)\.affine\.bias", r"convs.{1-1}.conv.style_modulation.bias"),
        (r"synthesis\.to_rgb\.0\.weight", r"to_rgb1.conv.weight_orig"),
        (r"synthesis\.to_rgb\.0\.bias", r"to_rgb1.bias"),
        (
            r"synthesis\.to_rgb\.0\.affine\.weight",
            r"to_rgb1.conv.style_modulation.linear.weight_orig",
        ),
        (r"synthesis\.to_rgb\.0\.affine\.bias", r"to_rgb1.conv.style_modulation.bias"),
        (r"synthesis\.to_rgb\.(\d+)\.weight", r"to_rgbs.{1-1}.conv.weight_orig"),
        (r"synthesis\.to_rgb\.(\d+)\.bias", r"to_rgbs.{1-1}.bias"),
        (
            r"synthesis\.to_rgb\.(\d+)\.affine\.weight",
            r"to_rgbs.{1-1}.conv.style_modulation.linear.weight_orig",
        ),
        (r"synthesis\.to_rgb\.(\d+)\.affine\.bias", r"to_rgbs.{1-1}.conv.style_modulation.bias"),
    ),
    "discriminator": (
        (r"from_rgb\.weight", r"convs.0.0.conv.weight_orig"),
        (r"from_rgb\.bias", r"convs.0.1.bias"),
        (r"blocks\.(\d+)\.conv0\.weight", r"convs.{1+1}.conv1.0.conv.weight_orig"),
        (r"blocks\.(\d+)\.conv0\.bias", r"convs.{1+1}.conv1.1.bias"),
        (r"blocks\.(\d+)\.conv1\.weight", r"convs.{1+1}.conv2.1.conv.weight_orig"),
        (r"blocks\.(\d+)\.conv1\.bias", r"convs.{1+1}.conv2.2.bias"),
        (r"blocks\.(\d+)\.skip\.weight", r"convs.{1+1}.skip.1.conv.weight_orig"),
        (r"conv\.weight", r"final_conv.0.conv.weight_orig"),
        (r"conv\.bias", r"final_conv.1.bias"),
        (r"linear\.weight", r"final_linear.0.linear.weight_orig"),
        (r"linear\.bias", r"final_linear.0.bias"),
        (r"logit\.weight", r"final_linear.1.linear.weight_orig"),
        (r"logit\.bias", r"final_linear.1.bias"),
    ),
}

_NVIDIA_GENERATOR: Rules = (
    (r"mapping\.layers\.(\d+)\.(weight|bias)", r"mapping.fc\1.\2"),
    (r"synthesis\.const", r"synthesis.b4.const"),
)

_NVIDIA_DISCRIMINATOR: Rules = (
    (r"mapping\.layers\.(\d+)\.(weight|bias)", r"mapping.fc\1.\2"),
    (r"conv\.(.+)", r"b4.conv.\1"),
    (r"linear\.(.+)", r"b4.fc.\1"),
    (r"logit\.(.+)", r"b4.out.\1"),
)
