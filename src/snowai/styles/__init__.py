"""The teachers: generators fine-tuned on a style, blended, edited, inverted."""

from snowai.styles.ada import AdaptiveAugment
from snowai.styles.config import SourceWeights, StyleTrainConfig
from snowai.styles.finetune import StyleResult, train_style
from snowai.styles.parts import PARTS, Part, describe_weight, drift
from snowai.styles.pictures import MIN_PICTURES, load_pictures
from snowai.styles.projected import ProjectedDiscriminator

__all__ = [
    "MIN_PICTURES",
    "PARTS",
    "AdaptiveAugment",
    "Part",
    "ProjectedDiscriminator",
    "SourceWeights",
    "StyleResult",
    "StyleTrainConfig",
    "describe_weight",
    "drift",
    "load_pictures",
    "train_style",
]
