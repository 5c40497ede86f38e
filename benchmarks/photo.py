"""Whole photos: do tiles agree, and what do they cost?

    nox -s bench -- photo [--large]

The shipped "toon-photo" on the astronaut enlarged to several sizes: largest difference between the
joined tiles and the untiled picture (where that fits into memory), seconds, and the growth of
resident memory. --large adds 8K (7680 x 4320).
"""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
import tyro
from results import write_section
from skimage.data import astronaut
from torch.nn import functional as F

import snowai
from snowai.filters.photo import PhotoFilter
from snowai.image import to_tensor


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        threads: Of torch.
        large: Also 8K.
        only: Used by the benchmark itself: one size in a process of its own.
    """

    threads: int = 2
    large: bool = False
    only: tuple[int, int] | None = None


def main(arguments: Arguments) -> None:
    """Measure every size in a process of its own, for its memory, and write the table."""
    if arguments.only:
        one(arguments.only, arguments)
        return
    sizes = [(512, 512), (1080, 1920), (2160, 3840)]
    if arguments.large:
        sizes.append((4320, 7680))
    lines = [
        'The shipped "toon-photo", tiles of 640, '
        f"{arguments.threads} threads. The untiled picture is compared up to 1920 x 1080. Memory: "
        "growth of the resident memory while the photo is drawn, photo and picture included. "
        f"Command: `nox -s bench -- photo{' --large' if arguments.large else ''}`",
        "",
        "| photo | largest difference to untiled | seconds | memory, GB |",
        "|---|---|---|---|",
    ]
    for height, width in sizes:
        command = [sys.executable, __file__, "--only", str(height), str(width)]
        command += ["--threads", str(arguments.threads)]
        told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        lines.append(f"| {width} x {height} | " + told.stdout.strip().splitlines()[-1] + " |")
    write_section("photo", "\n".join(lines))


def one(size: tuple[int, int], arguments: Arguments) -> None:
    """Print a row's cells."""
    torch.set_num_threads(arguments.threads)
    chosen = snowai.PhotoFilter.from_pretrained("toon-photo")
    photo = to_tensor(astronaut())[None]
    image = F.interpolate(photo, size, mode="bicubic").clamp(0, 1)[0]
    faces = snowai.MediaPipeLandmarker().detect(image)
    chosen.draw(image[:, :64, :64])
    before = peak()
    start = time.perf_counter()
    tiled = chosen.draw(image, faces)
    seconds, memory = time.perf_counter() - start, peak() - before
    difference = ""
    if image.shape[1] * image.shape[2] <= 1920 * 1080:
        whole = PhotoFilter(chosen.network, tile=4096).draw(image, faces)
        difference = f"{(whole - tiled).abs().max().item():.0e}"
    print(f"{difference} | {seconds:.1f} | {memory + 4 * image.numel() / 1e9:.2f}")


def peak() -> float:
    """Return the most resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main(tyro.cli(Arguments))
