"""A network that learns: its weights, its optimiser, and one update made of several batches."""

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from snowai.models import AlphaGate
from snowai.runs import DivergedError

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["AlphaListener", "Learner"]


class Learner:
    """A network in training.

    Args:
        name: As in error messages.
        module: The bare network, on its device.
        accelerator: Wraps it for several devices.
        rate: Learning rate after the warm-up.
        betas: Of Adam.
        clip: Largest norm of the gradients; 0 is off.
        compiled: Run the network through ``torch.compile``.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        accelerator: "Accelerator",
        *,
        rate: float,
        betas: tuple[float, float],
        clip: float,
        compiled: bool = False,
    ) -> None:
        self.name, self.module, self.rate, self.clip = name, module, rate, clip
        self.accelerator = accelerator
        self.optimizer = torch.optim.Adam(module.parameters(), lr=rate, betas=betas)
        # Wrapped for several devices; self.module and self.optimizer stay the bare ones.
        self.wrapped: nn.Module = accelerator.prepare(module)
        self._stepped = accelerator.prepare(self.optimizer)
        self.run = torch.compile(self.wrapped) if compiled else self.wrapped

    def start(self, factor: float) -> None:
        """Forget the last gradients; learn at this share of the rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        self._stepped.zero_grad()

    def learn(self, loss: Tensor, *, share: float, last: bool) -> None:
        """Add one batch's gradients.

        Args:
            loss: Scalar.
            share: Of this batch in the update.
            last: The update's last batch: only now processes exchange their gradients.

        Raises:
            DivergedError: The loss, here or in another process, is infinite or no number.
        """
        finite = torch.isfinite(loss.detach()).float().reshape(1)
        if self.accelerator.num_processes > 1:
            finite = self.accelerator.gather(finite)
        if not bool(finite.all()):
            raise DivergedError(f"the {self.name}'s loss is {loss.item():.3g}")
        waits = contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped)
        with waits:
            self.accelerator.backward(loss * share)

    def finish(self) -> None:
        """Take the optimiser's step."""
        if self.clip > 0:
            self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.clip)
        self._stepped.step()


class AlphaListener:
    """Listens to a network's alpha while it trains, and leaves nothing of itself in it."""

    def __init__(self, network: nn.Module) -> None:
        self.seen: Tensor | None = None
        self._gates = [part for part in network.modules() if isinstance(part, AlphaGate)]
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> None:
        self._hooks = [gate.register_forward_hook(self._see) for gate in self._gates]

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self.seen = None

    def _see(self, _gate: nn.Module, _inputs: object, alpha: Tensor) -> None:
        self.seen = alpha
