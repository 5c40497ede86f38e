"""What long runs share: devices, averaged weights, and a state to go on from after a kill."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from snowai._files import write_bytes, write_text

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "DivergedError",
    "autocast",
    "forget_after",
    "get_random_state",
    "load_state",
    "make_accelerator",
    "place",
    "save_state",
    "set_random_state",
    "update_ema",
]

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class DivergedError(RuntimeError):
    """A loss became infinite or no number; the last good state is on the disk."""


def make_accelerator(
    trackers: Sequence[str] = (), folder: str | Path | None = None
) -> "Accelerator":
    """Return accelerate's view of the devices.

    Args:
        trackers: Names of its trackers, e.g. "tensorboard".
        folder: Where trackers that write files do so.

    Raises:
        ImportError: accelerate is missing.
        ValueError: An unknown tracker, or one whose package is missing.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError("Training needs accelerate: pip install 'snowai[train]'.") from error
    from accelerate.tracking import get_available_trackers

    able = sorted(str(tracker) for tracker in get_available_trackers())
    for name in trackers:
        if name not in able:
            raise ValueError(
                f"There is no tracker {name!r} here; there are {', '.join(able) or 'none'}. "
                "Others need their own package, e.g. pip install wandb."
            )
    return Accelerator(log_with=list(trackers) or None, project_dir=folder)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return torch's autocast to bfloat16 for the precision "bf16", and one that is off else."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def place(module: ModuleT, device: torch.device) -> ModuleT:
    """Move a module to the device, in the memory format that convolutions like best."""
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def update_ema(ema: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    r"""Move the averaged weights towards the network's, in place.

    Early on the average is short, so that the random start is soon forgotten:
    the decay is :math:`\min(\text{decay}, (1 + n) / (10 + n))`.

    Args:
        ema: Copy of the network.
        network: The network in training.
        decay: 0 copies, 0.999 averages over about a thousand steps.
        step: :math:`n`, steps done.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for average, value in zip(
            ema.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)


def save_state(
    path: str | Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    random_states: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Write the run's state; a file that was there before is replaced only by a whole one.

    Args:
        path: File to write.
        modules: Networks by name.
        optimizers: Optimisers by name.
        random_states: From :func:`get_random_state`, by rank.
        facts: Plain values: step, config.
    """
    tensors: dict[str, Tensor] = {}
    groups: dict[str, Any] = {}
    for name, module in modules.items():
        tensors |= {f"module.{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()
        groups[name] = state["param_groups"]
        for index, entries in state["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": v for key, v in entries.items()}
    tensors |= {f"random.{name}": state for name, state in random_states.items()}
    kept = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    about = {"facts": json.dumps(dict(facts)), "groups": json.dumps(groups)}
    write_bytes(path, to_safetensors(kept, metadata=about))


def load_state(
    path: str | Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Fill modules and optimisers from :func:`save_state`'s file, in place.

    Returns:
        The facts, and the random states by name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no training state {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        facts, groups = json.loads(metadata["facts"]), json.loads(metadata["groups"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no training state ({error}).") from None
    for name, module in modules.items():
        try:
            module.load_state_dict(_under(tensors, f"module.{name}."))
        except RuntimeError as error:
            raise ValueError(f"{path} holds another {name}: {str(error).splitlines()[1]}") from None
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, f"optimizer.{name}.").items():
            index, entry = key.split(".", 1)
            state.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({"state": state, "param_groups": groups[name]})
    return facts, _under(tensors, "random.")


def get_random_state(device: torch.device) -> dict[str, Tensor]:
    """Return torch's random state: of the CPU, and of the GPU when there is one."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore what :func:`get_random_state` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def forget_after(path: Path, step: int) -> None:
    """Drop logged lines of steps that will be taken again, and half a line that a kill left."""
    kept = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except json.JSONDecodeError:
            continue
    write_text(path, "".join(f"{line}\n" for line in kept))
