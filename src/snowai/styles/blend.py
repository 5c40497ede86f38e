"""Blend a base generator with a styled one: whose shapes, whose lines, whose colours.

Coarse layers place the face, fine layers draw it. A hard cut at 32 pixels keeps the person's
geometry and takes the style's lines and colours; recipes say where to cut, how softly, and which
part of the network comes from whom, as plain data that a manifest can keep.
"""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from snowai._checks import check_choice
from snowai.checkpoint import config_of
from snowai.models import StyleGAN2Generator, stylegan2_resolutions
from snowai.styles.parts import PARTS, Part, describe_weight

__all__ = ["BlendRecipe", "blend", "blend_weights", "layer_swap"]

Policy: TypeAlias = Literal["resolution", "base", "styled"] | float
"""By the recipe's strengths, wholly from one side, or a strength of its own."""

_DEFAULT: Mapping[Part, Policy] = {
    # The latents must mean the same to both generators, so the mapping stays the base's.
    "mapping": "base",
    "const": "base",
    "affine": "resolution",
    "conv": "resolution",
    "noise": "resolution",
    "to_rgb": "resolution",
}


@dataclass(frozen=True)
class BlendRecipe:
    r"""How much of the styled generator each layer takes: 0 is the base, 1 is the styled one.

    Args:
        strengths: Strength by resolution, e.g. ``{4: 0.0, 8: 0.0, 16: 0.5, 32: 1.0}``.
        policies: What parts do that do not follow the resolution: "base", "styled", or a strength
            of their own. Parts: mapping, const, affine, conv, noise, to_rgb.
        name: For sheets and manifests.

    Example:
        >>> recipe = BlendRecipe.hard(32, resolution=64)
        >>> dict(recipe.strengths)
        {4: 0.0, 8: 0.0, 16: 0.0, 32: 1.0, 64: 1.0}
        >>> BlendRecipe.from_json(recipe.to_json()) == recipe
        True
    """

    strengths: Mapping[int, float]
    policies: Mapping[Part, Policy] = field(default_factory=dict)
    name: str = "free"

    def __post_init__(self) -> None:
        strengths = {int(size): float(value) for size, value in self.strengths.items()}
        if sorted(strengths) != stylegan2_resolutions(max(strengths, default=0)):
            raise ValueError(
                "strengths need one value for each resolution 4, 8, 16 and on to the generator's; "
                f"got {sorted(strengths)}."
            )
        for part, policy in self.policies.items():
            check_choice(part, "part", PARTS)
            if isinstance(policy, str):
                check_choice(policy, f"policy of {part}", ("resolution", "base", "styled"))
        object.__setattr__(self, "strengths", strengths)

    @property
    def resolution(self) -> int:
        """Of the generators that the recipe is for."""
        return max(self.strengths)

    @classmethod
    def hard(
        cls, cut: int, *, resolution: int, policies: Mapping[Part, Policy] | None = None
    ) -> "BlendRecipe":
        """Base below ``cut`` pixels, styled from ``cut`` on (inclusive)."""
        sizes = stylegan2_resolutions(resolution)
        _check_resolution(cut, sizes)
        strengths = {size: float(size >= cut) for size in sizes}
        return cls(strengths, policies or {}, f"hard {cut}")

    @classmethod
    def sigmoid(
        cls,
        cut: int,
        *,
        resolution: int,
        width: float = 1.0,
        policies: Mapping[Part, Policy] | None = None,
    ) -> "BlendRecipe":
        r"""Rise softly around ``cut``, where the strength is one half.

        Args:
            cut: Resolution in the middle of the slope.
            resolution: Of the generators.
            width: In octaves; 0 would be a hard cut.
            policies: See the class.
        """
        sizes = stylegan2_resolutions(resolution)
        _check_resolution(cut, sizes)
        if width <= 0:
            raise ValueError(f"width must be above 0 octaves; got {width}. For 0 take hard().")
        strengths = {s: 1 / (1 + math.exp(-math.log2(s / cut) / width)) for s in sizes}
        return cls(strengths, policies or {}, f"sigmoid {cut} width {width:g}")

    @classmethod
    def linear(
        cls,
        first: int,
        last: int,
        *,
        resolution: int,
        policies: Mapping[Part, Policy] | None = None,
    ) -> "BlendRecipe":
        """0 up to ``first``, 1 from ``last`` on, and a straight line over octaves between."""
        sizes = stylegan2_resolutions(resolution)
        for size in (first, last):
            _check_resolution(size, sizes)
        if first >= last:
            raise ValueError(f"first must lie below last; got {first} and {last}.")
        octaves = math.log2(last / first)
        strengths = {s: min(max(math.log2(s / first) / octaves, 0.0), 1.0) for s in sizes}
        return cls(strengths, policies or {}, f"linear {first} to {last}")

    @classmethod
    def whole(cls, strength: float, *, resolution: int) -> "BlendRecipe":
        """Interpolate the whole network, mapping and all; 1 is the styled generator itself."""
        strengths = dict.fromkeys(stylegan2_resolutions(resolution), float(strength))
        policies: dict[Part, Policy] = {"mapping": float(strength), "const": float(strength)}
        return cls(strengths, policies, f"whole {strength:g}")

    @classmethod
    def vector(cls, strengths: Sequence[float]) -> "BlendRecipe":
        """One strength for each resolution, coarsest first."""
        sizes = [4 * 2**level for level in range(len(strengths))]
        return cls(dict(zip(sizes, strengths, strict=True)))

    def scaled(self, strength: float) -> "BlendRecipe":
        """Return the recipe weakened: 0 leaves the base, 1 the recipe as it is."""
        strengths = {size: value * strength for size, value in self.strengths.items()}
        policies: dict[Part, Policy] = {
            part: "resolution" if policy == "resolution" else _as_number(policy) * strength
            for part, policy in {**_DEFAULT, **self.policies}.items()
        }
        return BlendRecipe(strengths, policies, f"{self.name} x {strength:g}")

    def strength_of(self, name: str) -> float:
        """Return the strength of one weight of the state dict."""
        part, resolution = describe_weight(name)
        policy = self.policies.get(part, _DEFAULT[part])
        if policy != "resolution":
            return _as_number(policy)
        return self.strengths[resolution or 4]

    def to_json(self) -> str:
        """Return the recipe as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "BlendRecipe":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: Not JSON, or not a recipe.
        """
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"A blend recipe is JSON; got {text[:60]!r} ({error}).") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BlendRecipe":
        """Read the plain values of a manifest."""
        odd = set(values) - {"strengths", "policies", "name"}
        if odd or "strengths" not in values:
            raise ValueError(
                f"A blend recipe has strengths, policies and name; got {sorted(values)}."
            )
        strengths = {int(size): float(value) for size, value in values["strengths"].items()}
        return cls(strengths, dict(values.get("policies", {})), values.get("name", "free"))


def blend_weights(
    base: Mapping[str, Tensor], styled: Mapping[str, Tensor], recipe: BlendRecipe
) -> dict[str, Tensor]:
    """Blend two state dicts of our StyleGAN2 generator; neither is changed.

    Raises:
        ValueError: Names or shapes differ (named), or the recipe is for another resolution.
    """
    _check_relatives(base, styled)
    found = max(describe_weight(name)[1] for name in base)
    if found != recipe.resolution:
        raise ValueError(
            f"The recipe is for {recipe.resolution} pixels and the generators draw {found}; "
            "make it with resolution=" + f"{found}."
        )
    blended: dict[str, Tensor] = {}
    for name, weight in base.items():
        strength = recipe.strength_of(name)
        # The ends are copies, not sums: rounding must not touch what a recipe leaves alone.
        if strength in (0.0, 1.0):
            blended[name] = (styled[name] if strength else weight).detach().clone()
        else:
            blended[name] = torch.lerp(weight.detach(), styled[name].to(weight), strength)
    return blended


def blend(
    base: StyleGAN2Generator, styled: StyleGAN2Generator, recipe: BlendRecipe
) -> StyleGAN2Generator:
    """Return a new generator between two; the styled one must be fine-tuned from the base.

    Args:
        base: Draws photos.
        styled: The same network, taught a style.
        recipe: Which layer comes from whom.

    Raises:
        ValueError: The generators are of different sizes or families (the keys are named).

    Source:
        Pinkney and Adler, https://arxiv.org/abs/2010.05334

    Example:
        >>> base, styled = (
        ...     StyleGAN2Generator(16, z_dim=8, w_dim=8, channel_base=128) for _ in range(2)
        ... )
        >>> toon = blend(base, styled, BlendRecipe.hard(8, resolution=16))
        >>> torch.equal(toon.synthesis.const, base.synthesis.const)
        True
    """
    one, two = config_of(base)["config"], config_of(styled)["config"]
    if one != two:
        odd = {key: (one[key], two[key]) for key in one if one[key] != two.get(key)}
        raise ValueError(f"The generators are not of one family: base and styled differ in {odd}.")
    weights = blend_weights(base.state_dict(), styled.state_dict(), recipe)
    blended = copy.deepcopy(base).eval().requires_grad_(False)
    blended.load_state_dict(weights)
    return blended


def layer_swap(
    base: StyleGAN2Generator, styled: StyleGAN2Generator, cut: int = 32
) -> StyleGAN2Generator:
    """Return the base below ``cut`` pixels and the styled generator from there on.

    Source:
        https://arxiv.org/abs/2010.05334
    """
    return blend(base, styled, BlendRecipe.hard(cut, resolution=base.resolution))


def _check_relatives(base: Mapping[str, Tensor], styled: Mapping[str, Tensor]) -> None:
    odd = sorted(base.keys() ^ styled.keys())
    if odd:
        raise ValueError(f"The generators differ in {len(odd)} weights, e.g. {odd[:3]}.")
    for name, weight in base.items():
        if weight.shape != styled[name].shape:
            raise ValueError(
                f"The generators differ in size: {name} is {tuple(weight.shape)} in the base and "
                f"{tuple(styled[name].shape)} in the styled one."
            )


def _check_resolution(size: int, sizes: Sequence[int]) -> None:
    if size not in sizes:
        raise ValueError(f"A generator of {sizes[-1]} pixels works at {sizes}; it has no {size}.")


def _as_number(policy: Policy) -> float:
    return {"base": 0.0, "styled": 1.0}[policy] if isinstance(policy, str) else float(policy)
