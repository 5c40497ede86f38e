"""Open a generator by name, and say what the file is when it is something else."""

from pathlib import Path

import torch

from snowai.hub import from_pretrained
from snowai.models import StyleGAN2Discriminator, StyleGAN2Generator

__all__ = ["load_discriminator", "load_generator"]


def load_generator(name: str | Path, *, device: str | torch.device = "cpu") -> StyleGAN2Generator:
    """Open a generator: a file, a folder, a shipped name or a Hub id.

    Raises:
        FileNotFoundError: Nothing of that name.
        ValueError: It is no StyleGAN2 generator of ours.

    Example:
        >>> load_generator("toon")
        Traceback (most recent call last):
        ValueError: toon holds a FaceFilter, not a StyleGAN2Generator; ...
    """
    generator = from_pretrained(name, device=device)
    if not isinstance(generator, StyleGAN2Generator):
        raise ValueError(
            f"{name} holds a {type(generator).__name__}, not a StyleGAN2Generator; foreign "
            "checkpoints are read with: snowai convert IN OUT.safetensors."
        )
    return generator.requires_grad_(False)


def load_discriminator(
    base: str | Path, name: str | Path | None = None
) -> StyleGAN2Discriminator | None:
    """Open a generator's discriminator: the one named, or discriminator.safetensors beside it.

    Returns:
        None when none is named and none lies there.

    Raises:
        ValueError: The file holds something else.
    """
    beside = Path(base).with_name("discriminator.safetensors")
    if name is None and not beside.is_file():
        return None
    path = beside if name is None else name
    judge = from_pretrained(path)
    if not isinstance(judge, StyleGAN2Discriminator):
        raise ValueError(f"{path} holds a {type(judge).__name__}, not a discriminator.")
    return judge
