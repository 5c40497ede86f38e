"""A tiny style training that a test can start as a process, kill, and start again.

python tiny_style.py FOLDER IMAGES
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from snowai.models import StyleGAN2Generator
from snowai.styles import StyleTrainConfig, train_style


def generator() -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(
        16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=16
    )


def pictures() -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    low = torch.rand(12, 3, 4, 4, generator=source)
    large = torch.nn.functional.interpolate(low, 16, mode="bilinear")
    return (large * 255).round().to(torch.uint8)


def config(**changes) -> StyleTrainConfig:
    return StyleTrainConfig(
        **(
            {
                "images": 48,
                "batch_size": 4,
                "snapshot_every": 8,
                "ada_start": 0.3,
                "r1_every": 3,
                "path_every": 2,
            }
            | changes
        )
    )


def run(folder: Path, *, resume: bool = False, base=None, **changes):
    sides = {k: changes.pop(k) for k in ("perceptual", "identity", "discriminator") if k in changes}
    return train_style(
        base or generator(), pictures(), folder, config=config(**changes), resume=resume, **sides
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    result = run(folder, resume=True, images=int(sys.argv[2]))
    if "RANK" in os.environ:
        weights = torch.cat([value.flatten() for value in result.generator.state_dict().values()])
        save_file({"weights": weights}, folder / f"rank{os.environ['RANK']}.safetensors")
