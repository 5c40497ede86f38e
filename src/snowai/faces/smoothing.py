"""Landmarks that hold still: the one-euro filter."""

import math

import torch
from torch import Tensor

__all__ = ["OneEuroFilter"]


class OneEuroFilter:
    r"""Smooth a signal that comes one value at a time: hard when it rests, little when it moves.

    .. math:: \hat x_t = \hat x_{t-1} + \alpha_t (x_t - \hat x_{t-1}), \quad
        \alpha_t = \frac{1}{1 + \tau_t / \Delta t}, \quad
        \tau_t = \frac{1}{2 \pi (f_{min} + \beta |\hat v_t|)}

    where the speed :math:`\hat v` is smoothed itself, at :math:`f_d`.

    Args:
        min_cutoff: :math:`f_{min}`, in hertz: lower holds a resting signal stiller.
        beta: :math:`\beta`, hertz for each unit a second: higher follows quick moves sooner.
        speed_cutoff: :math:`f_d`, in hertz.

    Raises:
        ValueError: A cutoff that is not positive, or a negative beta.

    Source:
        Casiez et al., https://doi.org/10.1145/2207676.2208639.

    Example:
        >>> smooth = OneEuroFilter(min_cutoff=1.0)
        >>> [round(smooth(torch.tensor(x), t / 30).item(), 2) for t, x in enumerate((0.0, 1.0))]
        [0.0, 0.17]
    """

    def __init__(
        self, *, min_cutoff: float = 1.0, beta: float = 0.0, speed_cutoff: float = 1.0
    ) -> None:
        if min_cutoff <= 0 or speed_cutoff <= 0 or beta < 0:
            raise ValueError(
                "min_cutoff and speed_cutoff must be positive and beta not negative; got "
                f"{min_cutoff}, {speed_cutoff} and {beta}."
            )
        self.min_cutoff, self.beta, self.speed_cutoff = min_cutoff, beta, speed_cutoff
        self._last: tuple[float, Tensor, Tensor] | None = None

    def __call__(self, value: Tensor, seconds: float) -> Tensor:
        """Return the smoothed value.

        Args:
            value: Of any shape, the same in every call.
            seconds: When it was seen; one that is not later than the last starts anew.
        """
        if self._last is None or seconds <= self._last[0]:
            self._last = (seconds, value, torch.zeros_like(value))
            return value
        then, before, speed = self._last
        passed = seconds - then
        speed = torch.lerp(speed, (value - before) / passed, _share(self.speed_cutoff, passed))
        cutoff = self.min_cutoff + self.beta * speed.abs()
        smoothed = before + (value - before) / (1 + 1 / (2 * math.pi * cutoff * passed))
        self._last = (seconds, smoothed, speed)
        return smoothed


def _share(cutoff: float, passed: float) -> float:
    """Return how much of a new value counts after so many seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * passed))
