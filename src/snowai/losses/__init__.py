"""Losses: each a function and a module, mean-reduced, unweighted, in [0, 1] images."""

from snowai.losses.adversarial import (
    AdversarialLoss,
    Kind,
    adversarial_warmup,
    discriminator_loss,
    generator_loss,
    path_lengths,
    r1_penalty,
    rejection_loss,
)
from snowai.losses.appearance import (
    ColourLoss,
    IdentityLoss,
    alpha_sparsity_loss,
    colour_loss,
    total_variation_loss,
)
from snowai.losses.backbones import lite0_features, lite0_loss
from snowai.losses.matching import FeatureMatchingLoss, feature_matching_loss
from snowai.losses.perceptual import LPIPSLoss, PerceptualLoss
from snowai.losses.pixel import (
    CharbonnierLoss,
    L1Loss,
    charbonnier_loss,
    l1_loss,
    region_weight,
)
from snowai.losses.structure import (
    MultiResolutionLoss,
    SSIMLoss,
    multi_resolution_loss,
    ssim_loss,
)
from snowai.losses.temporal import EquivarianceLoss, View, equivariance_loss, random_view
from snowai.losses.weighting import weighted_sum

__all__ = [
    "AdversarialLoss",
    "CharbonnierLoss",
    "ColourLoss",
    "EquivarianceLoss",
    "FeatureMatchingLoss",
    "IdentityLoss",
    "Kind",
    "L1Loss",
    "LPIPSLoss",
    "MultiResolutionLoss",
    "PerceptualLoss",
    "SSIMLoss",
    "View",
    "adversarial_warmup",
    "alpha_sparsity_loss",
    "charbonnier_loss",
    "colour_loss",
    "discriminator_loss",
    "equivariance_loss",
    "feature_matching_loss",
    "generator_loss",
    "l1_loss",
    "lite0_features",
    "lite0_loss",
    "multi_resolution_loss",
    "path_lengths",
    "r1_penalty",
    "random_view",
    "region_weight",
    "rejection_loss",
    "ssim_loss",
    "total_variation_loss",
    "weighted_sum",
]
