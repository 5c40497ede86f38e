"""Feature matching: look alike to the discriminator, layer by layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snowai._checks import check_same_shape

__all__ = ["FeatureMatchingLoss", "feature_matching_loss"]


def feature_matching_loss(
    fake_features: Sequence[Sequence[Tensor]], real_features: Sequence[Sequence[Tensor]]
) -> Tensor:
    r"""Mean absolute difference of the discriminator's hidden features.

    Every layer and every scale counts alike; the logits are left out, for the adversarial loss
    has them. The real features get no gradient.

    Args:
        fake_features: Features of the prediction: scales, then layers, then (B, C, H, W).
        real_features: Features of the target, alike.

    Raises:
        ValueError: Numbers of scales or layers, or shapes, differ.

    Source:
        Wang et al., https://arxiv.org/abs/1711.11585

    Example:
        >>> layers = [torch.zeros(1, 8, 4, 4), torch.zeros(1, 1, 2, 2)]
        >>> feature_matching_loss([layers], [[layer + 1 for layer in layers]])
        tensor(1.)
    """
    if [len(scale) for scale in fake_features] != [len(scale) for scale in real_features]:
        raise ValueError(
            "fake_features and real_features must have the same scales and layers; got "
            f"{[len(s) for s in fake_features]} and {[len(s) for s in real_features]} layers."
        )
    terms = []
    for fake_scale, real_scale in zip(fake_features, real_features, strict=True):
        for fake, real in zip(fake_scale[:-1], real_scale[:-1], strict=True):
            check_same_shape(fake, real, ("fake features", "real features"))
            terms.append((fake - real.detach()).abs().mean())
    return torch.stack(terms).mean()


class FeatureMatchingLoss(nn.Module):
    """Module form of :func:`feature_matching_loss`."""

    def forward(
        self,
        fake_features: Sequence[Sequence[Tensor]],
        real_features: Sequence[Sequence[Tensor]],
    ) -> Tensor:
        """Return the mean difference of the features."""
        return feature_matching_loss(fake_features, real_features)
