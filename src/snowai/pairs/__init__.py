"""Pairs: the data that filters are trained on."""

from snowai.pairs.augment import PairAugment
from snowai.pairs.colour import keep_background, match_colours
from snowai.pairs.dataset import Pair, PairDataset
from snowai.pairs.draw import draw_pairs
from snowai.pairs.manifest import PairRecord, check_pairs, read_pairs, split_of, write_pairs
from snowai.pairs.occlude import (
    OCCLUDERS,
    Cover,
    cover,
    cutout,
    glasses,
    medical_mask,
    microphone,
    visible_face,
)
from snowai.pairs.ray_data import render_with_ray
from snowai.pairs.render import (
    Edit,
    PairRenderer,
    RenderPlan,
    render_pairs,
    rerender_pair,
    shard_from_environment,
)
from snowai.pairs.retouch import (
    GEOMETRY,
    LIGHT,
    Retouch,
    RetouchRecipe,
    retouch_pair,
    retouch_pairs,
)
from snowai.pairs.segment import ToonStyle, flatten_colours, ink_lines, quantise_tones, toon

__all__ = [
    "GEOMETRY",
    "LIGHT",
    "OCCLUDERS",
    "Cover",
    "Edit",
    "Pair",
    "PairAugment",
    "PairDataset",
    "PairRecord",
    "PairRenderer",
    "RenderPlan",
    "Retouch",
    "RetouchRecipe",
    "ToonStyle",
    "check_pairs",
    "cover",
    "cutout",
    "draw_pairs",
    "flatten_colours",
    "glasses",
    "ink_lines",
    "keep_background",
    "match_colours",
    "medical_mask",
    "microphone",
    "quantise_tones",
    "read_pairs",
    "render_pairs",
    "render_with_ray",
    "rerender_pair",
    "retouch_pair",
    "retouch_pairs",
    "shard_from_environment",
    "split_of",
    "toon",
    "visible_face",
    "write_pairs",
]
