"""Blends: the ends are exact, the cut is where it was asked, the inputs stay."""

import json

import pytest
import torch
from foreign import networks
from hypothesis import given, settings
from hypothesis import strategies as st

from snowai.models import StyleGAN2Generator
from snowai.styles import (
    PARTS,
    BlendRecipe,
    blend,
    blend_weights,
    describe_weight,
    drift,
    layer_swap,
)

SIZES = (4, 8, 16, 32)


@pytest.fixture(scope="module")
def pair():
    """Two generators of one family whose every weight differs."""
    base, _ = networks(32)
    styled, _ = networks(32)
    with torch.no_grad():
        for weight in styled.state_dict().values():
            weight.add_(1 + weight.abs())
    return base, styled


recipes = st.builds(
    BlendRecipe,
    strengths=st.fixed_dictionaries({size: st.floats(0, 1) for size in SIZES}),
    policies=st.dictionaries(
        st.sampled_from(PARTS),
        st.one_of(st.sampled_from(["base", "styled", "resolution"]), st.floats(0, 1)),
    ),
)


@settings(max_examples=30, deadline=None)
@given(recipe=recipes)
def test_strength_zero_is_the_base_and_each_weight_lies_between(pair, recipe):
    base, styled = (g.state_dict() for g in pair)
    nothing = blend_weights(base, styled, recipe.scaled(0.0))
    assert all(torch.equal(nothing[name], base[name]) for name in base)
    blended = blend_weights(base, styled, recipe)
    for name, weight in blended.items():
        expected = base[name] + recipe.strength_of(name) * (styled[name] - base[name])
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(recipe=recipes)
def test_a_recipe_survives_json(recipe):
    assert BlendRecipe.from_json(recipe.to_json()) == recipe


def test_strength_one_is_the_styled_generator(pair):
    base, styled = pair
    whole = blend(base, styled, BlendRecipe.whole(1.0, resolution=32))
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, styled.state_dict()[name]), name


@pytest.mark.parametrize("cut", SIZES)
def test_a_cut_leaves_all_below_untouched_and_takes_all_from_it_on(pair, cut):
    base, styled = (g.state_dict() for g in pair)
    policies = {"const": "resolution"}
    recipe = BlendRecipe.hard(cut, resolution=32, policies=policies)
    for name, weight in blend_weights(base, styled, recipe).items():
        part, resolution = describe_weight(name)
        source = styled if part != "mapping" and resolution >= cut else base
        assert torch.equal(weight, source[name]), name


def test_convolutions_and_colours_are_counted_apart(pair):
    base, _ = pair
    at = {}
    for name in base.state_dict():
        if name.startswith("synthesis.") and name.endswith(".bias") and "affine" not in name:
            part, resolution = describe_weight(name)
            at.setdefault(part, []).append(resolution)
    assert sorted(at["conv"]) == [4, 8, 8, 16, 16, 32, 32]
    assert sorted(at["to_rgb"]) == [4, 8, 16, 32]


def test_the_cut_is_inclusive_whatever_the_size():
    for resolution in (16, 64, 256, 1024):
        recipe = BlendRecipe.hard(16, resolution=resolution)
        level = 3  # layers.3 and layers.4 work at 16 pixels, to_rgb.2 follows them.
        assert recipe.strength_of(f"synthesis.layers.{level}.weight") == 1.0
        assert recipe.strength_of(f"synthesis.layers.{level - 1}.weight") == 0.0
        assert recipe.strength_of("synthesis.to_rgb.2.weight") == 1.0
        assert recipe.strength_of("synthesis.to_rgb.1.weight") == 0.0


def test_the_inputs_are_never_changed(pair):
    base, styled = pair
    before = [{k: v.clone() for k, v in g.state_dict().items()} for g in pair]
    blended = blend(base, styled, BlendRecipe.sigmoid(16, resolution=32))
    with torch.no_grad():
        for weight in blended.state_dict().values():
            weight.zero_()
    for generator, kept in zip(pair, before, strict=True):
        assert all(torch.equal(v, kept[k]) for k, v in generator.state_dict().items())


def test_the_mapping_is_the_bases_unless_asked(pair):
    base, styled = pair
    swapped = layer_swap(base, styled, cut=8)
    z = torch.randn(2, 16)
    assert torch.equal(swapped.mapping(z), base.mapping(z))
    recipe = BlendRecipe.hard(8, resolution=32, policies={"mapping": "styled"})
    assert torch.equal(blend(base, styled, recipe).mapping(z), styled.mapping(z))


@pytest.mark.parametrize("part", PARTS)
def test_each_part_has_its_own_policy(pair, part):
    base, styled = (g.state_dict() for g in pair)
    nothing = dict.fromkeys(PARTS, "base")
    recipe = BlendRecipe(dict.fromkeys(SIZES, 1.0), nothing | {part: "styled"})
    for name, weight in blend_weights(base, styled, recipe).items():
        source = styled if describe_weight(name)[0] == part else base
        assert torch.equal(weight, source[name]), name


def test_slopes_rise_where_they_should():
    soft = BlendRecipe.sigmoid(16, resolution=64, width=0.5).strengths
    assert soft[16] == 0.5
    assert list(soft.values()) == sorted(soft.values())
    assert soft[64] == pytest.approx(1 / (1 + 2.718281828**-4))
    straight = BlendRecipe.linear(8, 32, resolution=64).strengths
    assert straight == {4: 0.0, 8: 0.0, 16: 0.5, 32: 1.0, 64: 1.0}
    assert BlendRecipe.vector([0, 0.25, 1]).strengths == {4: 0.0, 8: 0.25, 16: 1.0}


def test_drift_tells_which_part_moved(pair):
    base, _ = pair
    moved = {k: v.clone() for k, v in base.state_dict().items()}
    moved["synthesis.layers.3.weight"] *= 1.5
    found = drift(base, moved)
    assert [name for name, value in found.items() if value > 0] == ["conv 16"]
    assert 0.1 < found["conv 16"] < 0.5


def test_strangers_are_refused_with_the_keys_that_differ(pair):
    base, _ = pair
    other = StyleGAN2Generator(32, z_dim=16, w_dim=16, channel_base=256, mapping_layers=3)
    with pytest.raises(ValueError, match=r"differ in \{'channel_base': \(512, 256\)"):
        blend(base, other, BlendRecipe.hard(8, resolution=32))
    larger, _ = networks(64)
    with pytest.raises(ValueError, match=r"differ in \d+ weights, e.g. \['synthesis.layers.7"):
        blend_weights(base.state_dict(), larger.state_dict(), BlendRecipe.hard(8, resolution=32))
    wider, _ = networks(32, channel_max=64)
    with pytest.raises(ValueError, match=r"is \(1, 32, 4, 4\) in the base and \(1, 64, 4, 4\)"):
        blend_weights(base.state_dict(), wider.state_dict(), BlendRecipe.hard(8, resolution=32))


def test_resolutions_that_a_generator_lacks_are_refused(pair):
    with pytest.raises(ValueError, match=r"works at \[4, 8, 16, 32\]; it has no 64"):
        BlendRecipe.hard(64, resolution=32)
    with pytest.raises(ValueError, match="recipe is for 64 pixels and the generators draw 32"):
        blend(*pair, BlendRecipe.hard(32, resolution=64))
    with pytest.raises(ValueError, match="strengths need one value for each resolution"):
        BlendRecipe({4: 0.0, 16: 1.0, 32: 1.0})


@pytest.mark.parametrize(
    "text",
    ["not json", json.dumps({"strength": {}}), json.dumps({"strengths": {}, "other": 1})],
)
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError, match="A blend recipe"):
        BlendRecipe.from_json(text)


def test_unknown_parts_and_policies_are_refused():
    with pytest.raises(ValueError, match="part must be one of"):
        BlendRecipe.hard(8, resolution=32, policies={"eyes": "base"})
    with pytest.raises(ValueError, match="policy of conv must be one of"):
        BlendRecipe.hard(8, resolution=32, policies={"conv": "half"})
    with pytest.raises(ValueError, match="is no weight of a StyleGAN2Generator"):
        describe_weight("encoder.weight")
    with pytest.raises(ValueError, match="width must be above 0"):
        BlendRecipe.sigmoid(8, resolution=32, width=0)
    with pytest.raises(ValueError, match="first must lie below last"):
        BlendRecipe.linear(16, 8, resolution=32)
