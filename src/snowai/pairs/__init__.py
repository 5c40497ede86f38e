"""Pairs: the data that filters are trained on."""

from snowai.pairs.augment import PairAugment
from snowai.pairs.dataset import Pair, PairDataset
from snowai.pairs.draw import draw_pairs
from snowai.pairs.manifest import PairRecord, check_pairs, read_pairs, split_of, write_pairs
from snowai.pairs.segment import ToonStyle, flatten_colours, ink_lines, quantise_tones, toon

__all__ = [
    "Pair",
    "PairAugment",
    "PairDataset",
    "PairRecord",
    "ToonStyle",
    "check_pairs",
    "draw_pairs",
    "flatten_colours",
    "ink_lines",
    "quantise_tones",
    "read_pairs",
    "split_of",
    "toon",
    "write_pairs",
]
