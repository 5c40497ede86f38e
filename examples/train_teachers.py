"""How the shipped generators "portraits" and "portraits-toon" were made, on a CPU.

    python examples/train_teachers.py PORTRAITS STYLE [--work runs/teachers] [--name toon]

First a base from scratch at 64 pixels, then the same grown to 128, then fine-tuned on the style's
pictures. PORTRAITS are aligned as filters cut faces (the 879 official portraits of the US
Government Printing Office, public domain); STYLE holds some of them drawn as toons by code, the
styled/ side of "snowai pairs draw PORTRAITS". Each stage writes sheets of samples: look at them,
and stop where they are best. A killed run goes on where it stopped. About three hours of one core.

The shipped two came by a detour that this script spares: until 44,000 pictures at 128 pixels they
also saw the 60 grey portraits, and until 66,000 they were allowed noise, which drew grain.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor

from snowai import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    StyleTrainConfig,
    checkpoint,
    load_generator,
    train_style,
)
from snowai.models import grow_discriminator, grow_generator
from snowai.styles import load_discriminator, load_pictures


@dataclass(frozen=True)
class Arguments:
    """What to make the generators from.

    Args:
        portraits: Folder of aligned photos.
        style: Folder of aligned pictures in the style.
        work: Folder of the runs and of the results.
        name: Of the style.
        small_images: Pictures shown at 64 pixels.
        large_images: Pictures shown at 128 pixels.
        style_images: Pictures shown while fine-tuning.
        threads: Of torch.
    """

    portraits: tyro.conf.Positional[Path]
    style: tyro.conf.Positional[Path]
    work: Path = Path("runs/teachers")
    name: str = "toon"
    small_images: int = 104_000
    large_images: int = 140_000
    style_images: int = 30_000
    threads: int = 1


BASE = StyleTrainConfig(
    batch_size=16,
    r1=2.0,
    path=0.0,
    mixing=0.5,
    noise=False,
    ema_images=4_000,
    snapshot_every=2_000,
)
STYLE = replace(BASE, batch_size=8, ada_start=0.1, ema_images=1_000)


def main(arguments: Arguments) -> None:
    """Train the three stages and write portraits.safetensors and portraits-NAME.safetensors."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    work = arguments.work
    fresh = StyleGAN2Generator(
        64, z_dim=128, w_dim=128, mapping_layers=4, channel_base=1024, channel_max=128
    )
    small = in_colour(load_pictures(arguments.portraits, 64))
    config = replace(BASE, images=arguments.small_images)
    train_style(fresh, small, work / "64", config=config, resume=True)

    generator, judge = opened(work / "64")
    large = in_colour(load_pictures(arguments.portraits, 128))
    config = replace(BASE, images=arguments.large_images)
    train_style(
        grow_generator(generator),
        large,
        work / "128",
        discriminator=grow_discriminator(judge),
        config=config,
        resume=True,
    )
    base, judge = opened(work / "128")
    facts = {
        "data": "879 official portraits, US Government Printing Office (public domain)",
        "licence": "Apache-2.0",
        "command": "examples/train_teachers.py",
        "images": {"64 px": arguments.small_images, "128 px": arguments.large_images},
    }
    checkpoint.save(base, work / "portraits.safetensors", provenance=facts, dtype=torch.float16)

    pictures = in_colour(load_pictures(arguments.style, 128))
    config = replace(STYLE, images=arguments.style_images)
    train_style(
        base, pictures, work / arguments.name, discriminator=judge, config=config, resume=True
    )
    styled, _ = opened(work / arguments.name)
    facts |= {
        "style": f"{len(pictures)} of the portraits, drawn by snowai.pairs.toon",
        "style images": arguments.style_images,
    }
    path = work / f"portraits-{arguments.name}.safetensors"
    checkpoint.save(styled, path, provenance=facts, dtype=torch.float16)


def in_colour(pictures: Tensor) -> Tensor:
    """Drop grey photos: a small generator spends half its strength on telling them apart."""
    spread = pictures.amax(dim=1).float() - pictures.amin(dim=1).float()
    return pictures[spread.mean(dim=(1, 2)) > 12]


def opened(folder: Path) -> tuple[StyleGAN2Generator, StyleGAN2Discriminator]:
    """Return a finished stage's generator and discriminator."""
    path = folder / "generator.safetensors"
    judge = load_discriminator(path)
    if judge is None:
        raise FileNotFoundError(f"{folder} holds no discriminator.")
    return load_generator(path), judge


if __name__ == "__main__":
    main(tyro.cli(Arguments))
