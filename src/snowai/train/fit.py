"""fit: train a network on pairs."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from snowai.pairs import Pair
from snowai.train.config import TrainConfig
from snowai.train.loop import FitResult, Run

__all__ = ["check_judges", "checkpoint_activations", "fit"]


def fit(
    network: nn.Module,
    pairs: Dataset[Pair],
    folder: str | Path,
    *,
    config: TrainConfig | None = None,
    perceptual: nn.Module | None = None,
    identity: nn.Module | None = None,
    augment: nn.Module | None = None,
    samples: Dataset[Pair] | None = None,
    validation: Dataset[Pair] | None = None,
    resume: bool = False,
) -> FitResult:
    """Train a network on pairs.

    Runs as it is on a CPU or one GPU, and on several under ``accelerate launch``. Every
    ``save_every`` steps the whole state goes to the disk at once; after a kill, ``resume=True``
    goes on from there, bit by bit as the run would have gone on the same machine. A run that
    diverges goes back there by itself, with half the learning rate, ``rollbacks`` times at most.

    Args:
        network: Called with (photo, eye_mask), e.g. :class:`snowai.EyeMaskInput`.
        pairs: The training pairs, e.g. :class:`snowai.PairDataset`.
        folder: Gets network.safetensors (averaged weights), state.safetensors, metrics.jsonl,
            config.json and samples/.
        config: The run's numbers.
        perceptual: Called with (prediction, target); required when its weight is above 0.
        identity: Called with (prediction, photo); required when its weight is above 0.
        augment: Changes a batch of pairs; default :class:`snowai.pairs.PairAugment`.
        samples: Pairs on the sample sheets; default the validation or the training pairs.
        validation: Pairs to measure on every ``validate_every`` steps; the best network goes to
            best.safetensors, and after ``patience`` validations without a better one the run stops.
        resume: Go on from the folder's state when there is one.

    Returns:
        The trained network and where things are.

    Raises:
        DivergedError: A loss became infinite or no number, and going back did not help.
        FileExistsError: The folder holds a run and ``resume`` is off.
        ValueError: The configuration does not fit the arguments.
        BadImage: A pair cannot be read, and ``bad_pairs`` is "error".
        OSError: The disk is full or broken; the last whole state is still there.
        ImportError: accelerate is missing.
    """
    config = config or TrainConfig()
    judges = check_judges(config, perceptual=perceptual, identity=identity)
    if config.activation_checkpointing:
        checkpoint_activations(network)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        run = Run(
            network,
            pairs,
            Path(folder),
            config,
            judges=judges,
            augment=augment,
            samples=samples,
            validation=validation,
        )
        return run.go(resume=resume)


def check_judges(
    config: TrainConfig, *, perceptual: nn.Module | None, identity: nn.Module | None
) -> dict[str, nn.Module | None]:
    """Return the measures that the weights ask for.

    Raises:
        ValueError: One is missing.
    """
    weights = config.weights
    wanted = {
        "perceptual": weights.perceptual > 0 or weights.eyes > 0,
        "identity": weights.identity > 0,
    }
    given = {"perceptual": perceptual, "identity": identity}
    makers = {
        "perceptual": "PerceptualLoss(...) or LPIPSLoss(...)",
        "identity": "IdentityLoss(embedder)",
    }
    for name, needed in wanted.items():
        if needed and given[name] is None:
            raise ValueError(
                f"weights.{name} is above 0 but there is no {name} loss: pass {name}="
                f"{makers[name]}, or set the weight to 0."
            )
    return {name: given[name] if wanted[name] else None for name in wanted}


def checkpoint_activations(network: nn.Module) -> None:
    """Let the parts of a network that can forget inner features and compute them again do so.

    Raises:
        ValueError: It has no such part.
    """
    able = [part for part in network.modules() if hasattr(part, "activation_checkpointing")]
    if not able:
        raise ValueError(f"{type(network).__name__} offers no activation checkpointing.")
    for part in able:
        part.__dict__["activation_checkpointing"] = True
