"""A tiny training run that a test can start as a process, kill, and start again.

python tiny_run.py FOLDER STEPS, or python tiny_run.py FOLDER plain
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.utils.data import Dataset

from snowai.checkpoint import keeps_config
from snowai.models import EyeMaskInput, SEUNet
from snowai.pairs import Pair
from snowai.train import DiscriminatorConfig, FitResult, TrainConfig, fit
from snowai.train.config import LossWeights

STEPS = 12


class Squares(Dataset):
    """Ten random pictures and their mirror images."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if not 0 <= index < 10:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        photo = torch.rand(3, 32, 32, generator=generator)
        mask = (torch.rand(1, 32, 32, generator=generator) > 0.8).float()
        return Pair(photo, photo.flip(0), mask, torch.rand(478, 2, generator=generator) * 32)


def config(steps: int = STEPS, **changes) -> TrainConfig:
    return TrainConfig(
        **(
            {
                "steps": steps,
                "batch_size": 2,
                "size": 32,
                "warmup": 3,
                "adversarial_from": 0.25,
                "r1": 1.0,
                "log_every": 1,
                "sample_every": 6,
                "save_every": 2,
                "weights": LossWeights(perceptual=0.0),
                "discriminator": DiscriminatorConfig(width=4, n_layers=2, scales=2),
            }
            | changes
        )
    )


def network() -> EyeMaskInput:
    torch.manual_seed(0)
    return EyeMaskInput(
        SEUNet(4, widths=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1)), drop_probability=0.3
    )


def run(folder: Path, *, resume: bool = False, **changes) -> FitResult:
    return fit(network(), Squares(), folder, config=config(**changes), resume=resume)


class Plain(torch.nn.Module):
    """A network whose pictures do not depend on the rest of the batch, as BatchNorm's do."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(4, 8, 3, padding=1),
            torch.nn.Tanh(),
            torch.nn.Conv2d(8, 3, 3, padding=1),
        )

    def forward(self, photo, eye_mask):
        return self.layers(torch.cat([photo, eye_mask], dim=1))


keeps_config(Plain)


def plain_run(folder: Path, **changes) -> torch.Tensor:
    """Train without chance: the same pairs must give the same weights, however they are dealt."""
    torch.manual_seed(0)
    weights = LossWeights(perceptual=0.0, adversarial=0.0, feature_matching=0.0)
    same = {"r1": 0.0, "eye_gain": 0.0, "steps": 5, "weights": weights} | changes
    trained = Plain()
    fit(trained, Squares(), folder, config=config(**same), augment=torch.nn.Identity())
    return torch.cat([weight.detach().flatten() for weight in trained.parameters()])


if __name__ == "__main__" and sys.argv[2] == "plain":
    torch.set_num_threads(1)
    flat = plain_run(Path(sys.argv[1]))
    save_file({"weights": flat}, Path(sys.argv[1]) / f"rank{os.environ['RANK']}.safetensors")
elif __name__ == "__main__":
    torch.set_num_threads(1)
    trained = network()
    folder = Path(sys.argv[1])
    fit(trained, Squares(), folder, config=config(int(sys.argv[2])), resume=True)
    if "RANK" in os.environ:
        weights = torch.cat([weight.detach().flatten() for weight in trained.parameters()])
        save_file({"weights": weights}, folder / f"rank{os.environ['RANK']}.safetensors")
