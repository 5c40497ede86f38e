"""The teachers: generators read, fine-tuned on a style, blended, edited, inverted."""

from snowai.styles.ada import AdaptiveAugment
from snowai.styles.blend import BlendRecipe, blend, blend_weights, layer_swap
from snowai.styles.config import SourceWeights, StyleTrainConfig
from snowai.styles.finetune import StyleResult, train_style
from snowai.styles.invert import (
    Inversion,
    InvertConfig,
    grow_seeds,
    invert,
    invert_folder,
    tune_generator,
)
from snowai.styles.latents import (
    FACE_SCORES,
    edit_latents,
    find_directions,
    fit_direction,
    mix_styles,
    read_latents,
    sample_latents,
    score_faces,
    score_samples,
)
from snowai.styles.loading import load_discriminator, load_generator
from snowai.styles.parts import PARTS, Part, describe_weight, drift
from snowai.styles.pictures import MIN_PICTURES, load_pictures
from snowai.styles.projected import ProjectedDiscriminator
from snowai.styles.readers import Foreign, read_stylegan2

__all__ = [
    "FACE_SCORES",
    "MIN_PICTURES",
    "PARTS",
    "AdaptiveAugment",
    "BlendRecipe",
    "Foreign",
    "Inversion",
    "InvertConfig",
    "Part",
    "ProjectedDiscriminator",
    "SourceWeights",
    "StyleResult",
    "StyleTrainConfig",
    "blend",
    "blend_weights",
    "describe_weight",
    "drift",
    "edit_latents",
    "find_directions",
    "fit_direction",
    "grow_seeds",
    "invert",
    "invert_folder",
    "layer_swap",
    "load_discriminator",
    "load_generator",
    "load_pictures",
    "mix_styles",
    "read_latents",
    "read_stylegan2",
    "sample_latents",
    "score_faces",
    "score_samples",
    "train_style",
    "tune_generator",
]
