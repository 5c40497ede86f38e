"""The eye mask as alpha channel: eyes land where eyes are."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from snowai._checks import check_image, check_same_device
from snowai.checkpoint import config_of, keeps_config

__all__ = ["EyeMaskInput", "widen_input"]


@keeps_config
class EyeMaskInput(nn.Module):
    """Feed a network the photo and, as its alpha channel, where the eyes are.

    In training the mask is dropped for some samples and moved by a few pixels for all, so that the
    network survives missing and shaky landmarks. Both follow torch's own random state.

    Args:
        network: Takes one channel more than the photo has.
        drop_probability: Share of training samples whose mask is emptied.
        jitter: Largest shift of a training mask, in pixels.

    Shape:
        - image: :math:`(B, 3, H, W)` in [0, 1], eye_mask: :math:`(B, 1, H, W)` in [0, 1] or None.
        - Output: what the network gives.

    Example:
        >>> network = EyeMaskInput(snowai.create_model("se_unet_tiny"))
        >>> network(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(
        self, network: nn.Module, *, drop_probability: float = 0.1, jitter: int = 2
    ) -> None:
        super().__init__()
        if not 0 <= drop_probability < 1:
            raise ValueError(f"drop_probability must be in [0, 1); got {drop_probability}.")
        self.network = network
        self.drop_probability = drop_probability
        self.jitter = jitter

    @classmethod
    def from_rgb(cls, network: nn.Module) -> "EyeMaskInput":
        """Upgrade an RGB network: the new column of its stem is zero, so its output stays.

        Raises:
            ValueError: The network keeps no config with ``in_channels``.
        """
        return cls(widen_input(network))

    def forward(self, image: Tensor, eye_mask: Tensor | None = None) -> Tensor:
        """Run the network on the four-channel image; no mask means no known eyes."""
        check_image(image, "image", channels=3)
        if eye_mask is None:
            eye_mask = torch.zeros_like(image[:, :1])
        check_image(eye_mask, "eye_mask", channels=1)
        check_same_device(image, eye_mask, ("image", "eye_mask"))
        if self.training:
            eye_mask = self._disturb(eye_mask)
        output: Tensor = self.network(torch.cat([image, eye_mask], dim=1))
        return output

    def _disturb(self, eye_mask: Tensor) -> Tensor:
        """Drop some masks of the batch and shift the rest, at one random draw each."""
        batch, device = eye_mask.shape[0], eye_mask.device
        kept = torch.rand(batch, 1, 1, 1, device=device) >= self.drop_probability
        eye_mask = eye_mask * kept
        if self.jitter:
            shifts = torch.randint(-self.jitter, self.jitter + 1, (batch, 2)).tolist()
            moved = [
                mask.roll(shift, dims=(-2, -1))
                for mask, shift in zip(eye_mask, shifts, strict=True)
            ]
            eye_mask = torch.stack(moved)
        return eye_mask


def widen_input(network: nn.Module, extra: int = 1) -> nn.Module:
    """Return a copy that takes ``extra`` more channels and, at first, ignores them.

    Args:
        network: Keeps its config, with ``in_channels`` in it, e.g. :class:`snowai.models.SEUNet`.
        extra: How many channels more.

    Raises:
        ValueError: The network cannot be rebuilt with other ``in_channels``.

    Example:
        >>> rgb = snowai.create_model("se_unet_tiny", in_channels=3).eval()
        >>> image, mask = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
        >>> wide = widen_input(rgb)
        >>> torch.equal(wide(torch.cat([image, mask], dim=1)), rgb(image))
        True
    """
    config: dict[str, Any] = config_of(network)["config"]
    if "in_channels" not in config:
        raise ValueError(f"{type(network).__name__} has no in_channels to widen.")
    wide = type(network)(**(config | {"in_channels": config["in_channels"] + extra}))
    weights = copy.deepcopy(network.state_dict())
    for name, tensor in wide.state_dict().items():
        if tensor.shape != weights[name].shape:
            column = torch.zeros_like(tensor)
            column[:, : weights[name].shape[1]] = weights[name]
            weights[name] = column
    wide.load_state_dict(weights)
    return wide.train(network.training)
