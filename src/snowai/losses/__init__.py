"""Losses: each a function and a module, mean-reduced, unweighted, in [0, 1] images."""

from snowai.losses.adversarial import (
    AdversarialLoss,
    Kind,
    adversarial_warmup,
    discriminator_loss,
    generator_loss,
    path_lengths,
    r1_penalty,
)
from snowai.losses.backbones import lite0_features
from snowai.losses.matching import FeatureMatchingLoss, feature_matching_loss
from snowai.losses.perceptual import LPIPSLoss, PerceptualLoss
from snowai.losses.pixel import (
    CharbonnierLoss,
    L1Loss,
    charbonnier_loss,
    l1_loss,
    region_weight,
)
from snowai.losses.weighting import weighted_sum

__all__ = [
    "AdversarialLoss",
    "CharbonnierLoss",
    "FeatureMatchingLoss",
    "Kind",
    "L1Loss",
    "LPIPSLoss",
    "PerceptualLoss",
    "adversarial_warmup",
    "charbonnier_loss",
    "discriminator_loss",
    "feature_matching_loss",
    "generator_loss",
    "l1_loss",
    "lite0_features",
    "path_lengths",
    "r1_penalty",
    "region_weight",
    "weighted_sum",
]
